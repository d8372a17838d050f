package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// FuzzConfiguration reads what a header says of the cluster, and a change of
// its segments. What is taken is a configuration that the core can run with:
// every slot has a tree of all nodes, and every segment has slots. It survives
// being written again.
func FuzzConfiguration(f *testing.F) {
	header := func(nodes, slots int) []byte {
		members := protocol.Founders(nodes)
		b, err := SlotsOf(&protocol.Configuration{Epoch: 1, Fanout: 2, Members: members, Slots: protocol.DealSlots(slots, members)})
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	change := []byte(`{"Epoch":3,"Segments":[{"First":64,"Pages":64,"Generation":1,"Policy":1},{"First":0,"Pages":1,"Generation":2,"Policy":0}]}`)
	f.Add(4, header(4, 8), change)
	f.Add(1, header(1, 1), []byte(`{"Epoch":1,"Segments":null}`))
	f.Add(1, header(1, 1), []byte(`{"Epoch":1}more`))
	f.Add(3, header(4, 8), change)
	f.Add(2, header(2, 2), []byte(`{"Epoch":1,"Segments":[{"First":4294967295,"Pages":9223372036854775807,"Generation":1,"Policy":1}]}`))
	f.Add(2, []byte(`{"Members":[1,1],"Fanout":1,"Slots":[{}]}`), change)
	f.Fuzz(func(t *testing.T, nodes int, slots, conf []byte) {
		before, err := (Header{Nodes: nodes, Slots: slots}).Configuration()
		if err != nil {
			return
		}
		again, err := SlotsOf(before)
		if err != nil {
			t.Fatal(err)
		}
		second, err := (Header{Nodes: nodes, Slots: again}).Configuration()
		if err != nil {
			t.Fatalf("%v, for %s", err, again)
		}
		if d := cmp.Diff(before, second, cmp.AllowUnexported(protocol.Configuration{})); d != "" {
			t.Fatal(d)
		}
		for slot := range min(len(before.Slots), 16) {
			root := before.Tree(slot).Root()
			for n := range min(nodes, 64) {
				at := addr.Place{Node: addr.NodeID(n), Tag: addr.Leaf}
				for steps := 0; at != root; steps++ {
					if steps > 64 || !before.Tree(slot).Has(at) {
						t.Fatalf("node %d does not come to the root of %v", n, before.Tree(slot))
					}
					at, _ = before.Tree(slot).Parent(at)
				}
			}
		}
		after, err := (&Record{Conf: conf}).Configure(before)
		if err != nil {
			return
		}
		var c Change
		if err := json.Unmarshal(conf, &c); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Segments {
			is := after.Segment(s.First)
			if is == nil {
				t.Fatalf("page %d has no segment, of %+v", s.First, c.Segments)
			}
			last := addr.PageNum(int64(is.First) + is.Pages - 1)
			for _, p := range []addr.PageNum{is.First, last} {
				if slot := is.Slot(p, len(after.Slots)); slot < 0 || slot >= len(after.Slots) {
					t.Fatalf("page %d of %+v has slot %d of %d", p, *is, slot, len(after.Slots))
				}
			}
		}
	})
}

// What the reader accepts, the writer's encoders write again, and it is the
// same.
func FuzzReadLog(f *testing.F) {
	dir := f.TempDir()
	r := newTestRecorder(f, dir, 1)
	m := aMessage()
	r.Shard(0).Configure([]byte(`{"a":1}`))
	r.Shard(0).Input(&protocol.Input{Kind: protocol.InMessage, Msg: &m, Stamp: 1, Cut: 2})
	r.Shard(0).Action(&protocol.Event{At: leaf1, Message: &m, Lamport: 3}, states(`{"x":[]}`))
	r.Shard(0).Output(&protocol.Input{Kind: protocol.InMessage, Msg: &m}, []protocol.Effect{{Kind: protocol.Send, Msg: m}}, nil)
	r.Shard(0).Output(&protocol.Input{Kind: protocol.InEvict}, nil, errors.New("refused"))
	r.Shard(0).Content(Give, 3, leaf1, nil)
	if err := r.Close(nil); err != nil {
		f.Fatal(err)
	}
	h := testHeader()
	text, err := os.ReadFile(filepath.Join(dir, h.fileName()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(goodHeader + "\n" + action + "\n" + end1 + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, recs, err := ReadLog("fuzz", bytes.NewReader(text))
		if err != nil {
			return
		}
		var first []Record
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, '\n')
		for rec, err := range recs {
			if err != nil {
				return
			}
			again = appendRecord(again, h.Shard, rec)
			first = append(first, rec)
		}
		again = append(again, fmt.Sprintf("{\"end\":%d}\n", len(first))...)
		second, err := readAll(string(again))
		if err != nil {
			t.Fatalf("%v, in\n%s", err, again)
		}
		if d := cmp.Diff(first, second); d != "" {
			t.Fatal(d)
		}
	})
}

func appendRecord(b []byte, shard int, rec Record) []byte {
	b = appendHead(b, rec.Lamport, rec.At, shard, rec.Seq)
	switch rec.Kind {
	case KindAction:
		b = append(b, `,"act":"`+rec.Act+`"`...)
		b = appendPage(b, rec.Page)
		b = appendPhase(b, rec.Before)
	case KindInput:
		b = append(b, `,"in":"`+rec.Act+`"`...)
		b = appendPage(b, rec.Page)
		b = ndjson.AppendUint(b, `,"stamp":`, uint64(rec.Stamp))
		b = ndjson.AppendUint(b, `,"cut":`, rec.Cut)
	case KindConfigure:
		b = append(append(b, `,"conf":`...), rec.Conf...)
	case KindContent:
		b = append(b, `,"content":"`+rec.Moment.String()+`"`...)
		b = appendPage(b, rec.Page)
		b = append(b, `,"digest":"`+rec.Digest.String()+`"`...)
	case KindOutput:
		b = append(b, `,"out":"`+rec.Out.Digest.String()+`"`...)
		b = appendPage(b, rec.Page)
		if rec.Out.Effects != nil {
			names, err := json.Marshal(rec.Out.Effects)
			if err != nil {
				panic(err)
			}
			b = append(append(b, `,"effects":`...), names...)
		}
		if rec.Out.Refused != "" {
			b = ndjson.AppendString(append(b, `,"refused":`...), rec.Out.Refused)
		}
	}
	if rec.From != nil {
		b = appendPlace(append(b, `,"f":`...), *rec.From)
	}
	if rec.Message != nil {
		b = appendMessage(append(b, `,"m":`...), rec.Message)
	}
	if rec.Post != nil {
		b = append(append(b, `,"post":`...), rec.Post...)
	}
	return appendTail(b, rec.T)
}
