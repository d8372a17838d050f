package trace

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

func TestOff(t *testing.T) {
	var r *Recorder
	l := r.Shard(5)
	if l != nil {
		t.Fatal("a recorder that is off has a log")
	}
	m := aMessage()
	e := protocol.Event{Message: &m}
	in := protocol.Input{Msg: &m}
	page := make([]byte, addr.PageSize)
	shard := protocol.NewShard(0, 1, 0, &protocol.Configuration{}, nil)
	allocs := testing.AllocsPerRun(100, func() {
		l.Action(&e, shard)
		l.Input(&in)
		l.Configure(page)
		l.Content(Give, 1, leaf1, page)
	})
	if allocs != 0 {
		t.Errorf("%v allocations while off", allocs)
	}
	if err := errors.Join(r.Flush(), r.Close(nil)); err != nil {
		t.Error(err)
	}
}

func TestOnDoesNotAllocate(t *testing.T) {
	r := newTestRecorder(t, t.TempDir(), 1)
	l := r.Shard(0)
	m := aMessage()
	e := protocol.Event{Action: protocol.ActLeafRecvRecall, At: leaf1, Message: &m}
	var post State = states(`{}`)
	record := func() {
		for range 100 {
			l.Action(&e, post)
		}
	}
	// The two buffers grow once.
	for range 2 {
		record()
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if allocs := testing.AllocsPerRun(1, record); allocs > 2 {
		t.Errorf("%v allocations for 100 records", allocs)
	}
}

func TestShards(t *testing.T) {
	const shards, each = 4, 500
	dir := t.TempDir()
	r, err := newRecorder(dir, testHeader(), shards, 4096)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range shards {
		wg.Go(func() {
			for n := range each {
				e := protocol.Event{At: leaf1, Page: addr.PageNum(i), Lamport: uint64(n)}
				r.Shard(i).Action(&e, states(`{}`))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := r.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if err := errors.Join(r.Close(nil), r.Close(nil)); err != nil {
		t.Fatal(err)
	}
	files, err := Read(dir)
	if err != nil || len(files) != shards {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, f := range files {
		n := 0
		for rec, err := range f.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Page != addr.PageNum(i) {
				t.Fatalf("%v in the log of shard %d", rec.Page, i)
			}
			n++
		}
		if n != each {
			t.Fatalf("%d records of shard %d, want %d", n, i, each)
		}
	}
}

func TestNewRecorderErrors(t *testing.T) {
	dir := t.TempDir()
	newTestRecorder(t, dir, 2)
	_, err := NewRecorder(dir, testHeader(), 2)
	if !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "empty directory") {
		t.Errorf("in a used directory: %v", err)
	}
	h := testHeader()
	h.Slots = json.RawMessage("{")
	if _, err := NewRecorder(t.TempDir(), h, 1); err == nil {
		t.Error("a header that is not JSON was accepted")
	}
}
