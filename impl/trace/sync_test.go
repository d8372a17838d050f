package trace

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

type syncStates string

func (s syncStates) AppendState(b []byte, _ *protocol.SyncEvent) []byte { return append(b, s...) }

// aSync has a value in every field.
func aSync() protocol.Sync {
	var m protocol.Sync
	v := reflect.ValueOf(&m).Elem()
	for i, field := range reflect.VisibleFields(v.Type()) {
		if f := v.FieldByIndex(field.Index); f.CanUint() {
			f.SetUint(uint64(2 + i))
		}
	}
	m.Kind, m.Code, m.Try = protocol.SyncGrant, protocol.CodeBusy, true
	m.From, m.To = addr.Place{Node: 2, Tag: addr.Root}, addr.Place{Node: 3, Tag: addr.Leaf}
	return m
}

func TestSyncRoundTrip(t *testing.T) {
	dir := t.TempDir()
	r := newTestRecorder(t, dir, 1)
	l, err := r.Sync()
	if err != nil {
		t.Fatal(err)
	}
	call := protocol.SyncInput{Kind: protocol.InLockAcquire, Try: true, Index: 1, Parties: 2, Party: 3, Request: 4, Object: 1<<63 + 5,
		Target: 6, Fence: 7, Round: 8}
	m := aSync()
	batch := protocol.SyncBatch{Send: []protocol.Sync{m},
		Answers: []protocol.Answer{{Kind: protocol.InLockAcquire, OwnerDied: true, Party: 3, Request: 4, Fence: 7}}}
	refusal := errors.New("a \"reason\"")
	l.Input(&call)
	l.Action(&protocol.SyncEvent{Action: protocol.ActAcquireLock, Protocol: protocol.Locks, At: leaf1, Object: call.Object, Party: 3, Input: &call, Lamport: 4}, syncStates(`{"turn":1}`))
	l.Output(&call, &batch, nil)
	in := protocol.SyncInput{Kind: protocol.InSync, Sync: &m}
	l.Input(&in)
	l.Action(&protocol.SyncEvent{Action: protocol.ActRecvDone, Protocol: protocol.Barriers, At: leaf1, Object: m.Object, Message: &m, Lamport: 9}, syncStates(`{}`))
	l.Output(&in, &protocol.SyncBatch{}, refusal)
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	files, err := ReadSync(dir)
	if err != nil || len(files) != 1 || files[0].Header.Spec != SyncSpec {
		t.Fatalf("ReadSync = %+v, %v", files, err)
	}
	var got []Record
	for rec, err := range files[0].Records() {
		if err != nil {
			t.Fatal(err)
		}
		rec.T = 0
		got = append(got, rec)
	}
	acted := call
	acted.Kind = protocol.InSync
	output, _ := SyncOutputOf(&batch, nil)
	refused, _ := SyncOutputOf(&protocol.SyncBatch{}, refusal)
	from := m.From
	want := []Record{
		{Kind: KindInput, At: leaf1, Seq: 1, Line: 2, Act: "LockAcquire", Object: call.Object, Call: &call},
		{Kind: KindAction, Lamport: 4, At: leaf1, Seq: 2, Line: 3, Act: "AcquireLock", Object: call.Object, Of: protocol.Locks, Party: 3, Call: &acted, Post: []byte(`{"turn":1}`)},
		{Kind: KindOutput, Lamport: 4, At: leaf1, Seq: 3, Line: 4, Object: call.Object, Out: &output},
		{Kind: KindInput, Lamport: 4, At: leaf1, Seq: 4, Line: 5, Act: "Sync", Object: m.Object, Sync: &m},
		{Kind: KindAction, Lamport: 9, At: leaf1, Seq: 5, Line: 6, Act: "RecvDone", Object: m.Object, Of: protocol.Barriers, From: &from, Sync: &m, Post: []byte(`{}`)},
		{Kind: KindOutput, Lamport: 9, At: leaf1, Seq: 6, Line: 7, Object: m.Object, Out: &refused},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(output.Effects) != 2 || len(refused.Effects) != 0 {
		t.Errorf("effects %q, %q", output.Effects, refused.Effects)
	}
	// The logs of the shards are apart.
	if files, err := Read(dir); err != nil || len(files) != 1 || files[0].Header.Spec == SyncSpec {
		t.Errorf("Read = %v, %v", files, err)
	}
}

// TestSyncMalformed: a line that this package does not write is refused, with
// the file and the line.
func TestSyncMalformed(t *testing.T) {
	const head = `{"lc":1,"n":{"node":1,"tag":0},"s":0,"seq":1,`
	for _, line := range []string{
		head + `"act":"RecvGrant","p":1,"of":"lock","post":{},"t":1}`,
		head + `"act":"RecvGrant","of":"lock","call":{"party":1},"post":{},"t":1}`,
		head + `"act":"RecvGrant","p":1,"of":"lock","call":{"party":1},"t":1}`,
		head + `"act":"RecvGrant","p":1,"call":{"party":1},"post":{},"t":1}`,
		head + `"act":"RecvGrant","p":1,"of":"page","call":{"party":1},"post":{},"t":1}`,
		head + `"in":"LockAcquire","p":1,"of":"lock","call":{"party":1},"t":1}`,
		head + `"in":"LockAcquire","p":1,"m":{"kind":"Acquire","code":"OK","object":1,"from":{"node":1,"tag":0}},"t":1}`,
		head + `"in":"LockAcquire","p":1,"call":{"party":1},"party":1,"t":1}`,
		head + `"in":"Nothing","p":1,"call":{"party":1},"t":1}`,
		head + `"in":"Sync","p":1,"m":{"kind":"Nothing","code":"OK","object":1,"from":{"node":1,"tag":0}},"t":1}`,
		head + `"out":"12","p":1,"t":1}`,
		head + `"conf":{},"p":1,"t":1}`,
		`{"lc":1,"n":{"node":1,"tag":0},"s":0,"seq":2,"out":"0000000000000012","p":1,"t":1}`,
	} {
		h := `{"format":7,"spec":"heaplock","node":1,"incarnation":1,"shard":0,"shards":1,"nodes":3,"page_size":4096,"slots":null,"seed":0,"build":""}`
		_, records, err := ReadLog("a.ndjson", strings.NewReader(h+"\n"+line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range records {
		}
		if !errors.Is(err, ndjson.ErrMalformed) && !errors.Is(err, ndjson.ErrGap) || !strings.Contains(err.Error(), "a.ndjson:2") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestSyncMissing: the log of one node is not there.
func TestSyncMissing(t *testing.T) {
	dir := t.TempDir()
	for node := range 2 {
		h := testHeader()
		h.Node, h.Nodes, h.Incarnation = addr.NodeID(node), 2, 1
		h.Slots = []byte(`{"Epoch":1,"Fanout":8,"Members":[1,1],"Slots":[{"Home":0}],"Generation":0}`)
		r, err := NewRecorder(dir, h, 1)
		if err != nil {
			t.Fatal(err)
		}
		if node == 0 {
			if _, err := r.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenRun(dir); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), filepath.Join(dir)) {
		t.Errorf("OpenRun: %v", err)
	}
}
