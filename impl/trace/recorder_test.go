package trace

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

func TestOff(t *testing.T) {
	var r *Recorder
	var h *History
	c := h.Client()
	l := r.Shard(5)
	if l != nil {
		t.Fatal("a recorder that is off has a log")
	}
	m := aMessage()
	e := protocol.Event{Message: &m}
	in := protocol.Input{Msg: &m}
	o := Operation{Op: "read"}
	page := make([]byte, addr.PageSize)
	shard := protocol.NewShard(0, 1, 0, &protocol.Configuration{}, nil)
	allocs := testing.AllocsPerRun(100, func() {
		l.Action(&e, shard)
		l.Input(&in)
		l.Configure(page)
		l.Content(Give, 1, leaf1, page)
		c.Begin(o)
		c.End(true, nil)
	})
	if allocs != 0 {
		t.Errorf("%v allocations while off", allocs)
	}
	if err := errors.Join(r.Flush(), r.Close(nil), h.Flush(), h.Close()); err != nil {
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

// A disk that is slower than the caller: nothing is lost, and no more than the
// limit is held.
func TestSlowDisk(t *testing.T) {
	const limit, records = 4096, 20000
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	w := newWriter()
	b := newBuffer(to, limit, w.kick)
	w.buffers = []*buffer{b}
	go w.run()
	l := &Log{out: b, node: 1}
	b.pending = append(b.pending, `{"format":5,"node":1}`+"\n"...)
	held := make(chan int, 1) // in bytes, before closing frees them
	go func() {
		e := protocol.Event{At: leaf1}
		for range records {
			l.Action(&e, states(`{}`))
		}
		l.end()
		if err := w.drain(); err != nil {
			t.Error(err)
		}
		w.writing.Lock() // nobody drains, and nobody appends
		held <- max(cap(b.pending), cap(b.spare))
		w.writing.Unlock()
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	_, all, err := ReadLog("pipe", from)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != records {
		t.Fatalf("%d records, want %d", n, records)
	}
	if held := <-held; held < limit || held > 4*limit {
		t.Fatalf("%d bytes were held, the limit is %d", held, limit)
	}
}

// A disk that is full: recording ends, with an error, and nobody waits.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	w := newWriter()
	b := newBuffer(full, 100, w.kick)
	w.buffers = []*buffer{b}
	go w.run()
	l := &Log{out: b, node: 1}
	for range 1000 {
		l.Content(Take, 1, leaf1, nil)
	}
	l.end()
	if err := w.drain(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("drain = %v", err)
	}
	if err := w.close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close = %v", err)
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
