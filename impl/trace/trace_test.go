package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testHeader() Header {
	return Header{
		Spec: "strong", Node: 1, Incarnation: 1, Nodes: 3, PageSize: addr.PageSize,
		Slots: json.RawMessage(`[{"home":0}]`), Seed: 7, Build: "test",
	}
}

// states answers AppendState with itself.
type states string

func (s states) AppendState(b []byte, _ addr.PageNum, _ addr.Place) []byte { return append(b, s...) }

var leaf1 = addr.Place{Node: 1, Tag: addr.Leaf}

// aMessage has every field set.
func aMessage() protocol.Message {
	var m protocol.Message
	fill(reflect.ValueOf(&m).Elem())
	m.Kind, m.Op, m.Have, m.Keep = protocol.Recall, protocol.OpWriteback, protocol.Owned, protocol.Write
	m.Source, m.Dst = protocol.Have, protocol.ToHome
	m.From, m.To = addr.Place{Node: 2, Tag: 3}, leaf1
	return m
}

// fill sets every field of a struct to a value of its own, so that a field that
// is added to it and not to its encoding is found out.
func fill(v reflect.Value) {
	next := uint64(100)
	var set func(reflect.Value)
	set = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				set(v.Field(i))
			}
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Uint8:
			v.SetUint(1)
		default:
			next++
			v.SetUint(next)
		}
	}
	set(v)
}

func newTestRecorder(t testing.TB, dir string, shards int) *Recorder {
	t.Helper()
	r, err := NewRecorder(dir, testHeader(), shards)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(nil) })
	return r
}

// readOne reads the only log of a directory.
func readOne(t testing.TB, dir string) (Header, []Record) {
	t.Helper()
	files, err := Read(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("Read = %v, %v, want one file", files, err)
	}
	var all []Record
	for rec, err := range files[0].Records() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	return files[0].Header, all
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	r := newTestRecorder(t, dir, 1)
	l := r.Shard(0)
	m := aMessage()
	page := bytes.Repeat([]byte{7}, addr.PageSize)

	l.Configure([]byte(`{"epoch":3}`))
	l.Input(&protocol.Input{Kind: protocol.InReadFault, Page: 9, Stamp: 4, Cut: 3})
	l.Action(&protocol.Event{Action: protocol.ActReadFault, At: leaf1, Page: 9, Lamport: 1}, states(`{"right":"none"}`))
	l.Input(&protocol.Input{Kind: protocol.InMessage, Msg: &m})
	l.Action(&protocol.Event{Action: protocol.ActLeafRecvRecall, At: leaf1, Page: m.Page, Lamport: 5,
		Before: protocol.RecalledClimbing, Message: &m}, states(`{}`))
	effects := []protocol.Effect{{Kind: protocol.Send, Page: m.Page, Msg: m}, {Kind: protocol.FrameGrant, Page: m.Page, Access: protocol.Read}}
	l.Output(&protocol.Input{Kind: protocol.InMessage, Msg: &m}, effects, nil)
	l.Content(Give, m.Page, leaf1, page)
	elsewhere := m
	elsewhere.To = addr.Place{Node: 9, Tag: 4}
	refusal := errors.New("a \"reason\"")
	l.Input(&protocol.Input{Kind: protocol.InMessage, Msg: &elsewhere})
	l.Output(&protocol.Input{Kind: protocol.InMessage, Msg: &elsewhere}, nil, refusal)
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	output, _ := OutputOf(effects, nil)
	refused, _ := OutputOf(nil, refusal)

	h, got := readOne(t, dir)
	wantHeader := testHeader()
	wantHeader.Format, wantHeader.Shards = Format, 1
	if d := cmp.Diff(wantHeader, h); d != "" {
		t.Fatal(d)
	}
	for i := range got {
		if got[i].T <= 0 || i > 0 && got[i].T < got[i-1].T {
			t.Fatalf("record %d is of %d", i, got[i].T)
		}
		got[i].T = 0
	}
	want := []Record{
		{Kind: KindConfigure, At: leaf1, Conf: json.RawMessage(`{"epoch":3}`)},
		{Kind: KindInput, At: leaf1, Act: "ReadFault", Page: 9, Stamp: 4, Cut: 3},
		{Kind: KindAction, At: leaf1, Lamport: 1, Act: "ReadFault", Page: 9, Post: json.RawMessage(`{"right":"none"}`)},
		{Kind: KindInput, At: leaf1, Lamport: 1, Act: "Message", Page: m.Page, Message: &m},
		{Kind: KindAction, At: leaf1, Lamport: 5, Act: "LeafRecvRecall", Page: m.Page, Before: protocol.RecalledClimbing,
			From: &m.From, Message: &m, Post: json.RawMessage(`{}`)},
		{Kind: KindOutput, At: leaf1, Lamport: 5, Page: m.Page, Out: &output},
		{Kind: KindContent, At: leaf1, Lamport: 5, Page: m.Page, Moment: Give, Digest: DigestOf(page)},
		{Kind: KindInput, At: addr.Place{Node: 1, Tag: 4}, Lamport: 5, Act: "Message", Page: m.Page, Message: &elsewhere},
		{Kind: KindOutput, At: addr.Place{Node: 1, Tag: 4}, Lamport: 5, Page: m.Page, Out: &refused},
	}
	for i := range want {
		want[i].Seq, want[i].Line = uint64(i+1), i+2
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff([]string{"Send Recall leaf@1", "FrameGrant read"}, output.Effects); d != "" {
		t.Error(d)
	}
}

// The digest is xxHash64 of the bytes, now and in every later version.
func TestDigest(t *testing.T) {
	for content, want := range map[string]string{"": "ef46db3751d8e999", "a": "d24ec4f1a98c6e5b"} {
		if got := DigestOf([]byte(content)).String(); got != want {
			t.Errorf("digest of %q is %s, want %s", content, got, want)
		}
	}
}

// The core's own events and states are what a log takes.
func TestCore(t *testing.T) {
	dir := t.TempDir()
	h := testHeader()
	h.Node, h.Nodes = 0, 1
	r, err := NewRecorder(dir, h, 1)
	if err != nil {
		t.Fatal(err)
	}
	l := r.Shard(0)
	conf := (&protocol.Configuration{
		Epoch: 1, Members: protocol.Founders(1), Fanout: 2, Slots: protocol.DealSlots(1, protocol.Founders(1)),
	}).WithSegments([]protocol.Segment{{Pages: 4, Generation: 1}})
	o := &observer{log: l}
	o.shard = protocol.NewShard(0, 1, 0, conf, o)
	var batch protocol.Batch
	for _, kind := range []protocol.InputKind{protocol.InReadFault, protocol.InWriteFault, protocol.InWriteback} {
		in := protocol.Input{Kind: kind, Page: 2}
		l.Input(&in)
		if err := o.shard.Step(in, &batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	_, got := readOne(t, dir)
	seen := map[string]int{}
	for _, rec := range got {
		if rec.Kind == KindAction {
			seen[rec.Act]++
			if !json.Valid(rec.Post) {
				t.Fatalf("state %s", rec.Post)
			}
		}
	}
	for _, act := range []string{"ReadFault", "WriteFault", "RecvReq", "LeafRecvGrant"} {
		if seen[act] == 0 {
			t.Errorf("no %s among %v", act, seen)
		}
	}
}

// observer is how a node connects its core to a log.
type observer struct {
	log   *Log
	shard *protocol.Shard
}

func (o *observer) Observe(e *protocol.Event) { o.log.Action(e, o.shard) }

func TestRandomRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "trace")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		r, err := newRecorder(dir, testHeader(), 1, rapid.IntRange(1, 2000).Draw(t, "limit"))
		if err != nil {
			t.Fatal(err)
		}
		l := r.Shard(0)
		var want []Record
		lamport := uint64(0)
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			rec := Record{At: leaf1, Page: addr.PageNum(rapid.Uint32().Draw(t, "page"))}
			switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); kind {
			case 0:
				lamport += rapid.Uint64Range(0, 1<<40).Draw(t, "clock")
				act := rapid.SampledFrom(protocol.Actions()).Draw(t, "act")
				e := protocol.Event{Action: act, At: leaf1, Page: rec.Page, Lamport: lamport}
				if rapid.Bool().Draw(t, "message") {
					m := randomMessage(t)
					e.Message, rec.Message = &m, &m
					if m.From != leaf1 {
						rec.From = &m.From
					}
				}
				l.Action(&e, states(`[1]`))
				rec.Kind, rec.Act, rec.Post = KindAction, act.String(), json.RawMessage(`[1]`)
			case 1:
				m := randomMessage(t)
				m.To = leaf1
				l.Input(&protocol.Input{Kind: protocol.InMessage, Msg: &m})
				rec.Kind, rec.Act, rec.Page, rec.Message = KindInput, "Message", m.Page, &m
			case 2:
				content := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "content")
				l.Content(Take, rec.Page, leaf1, content)
				rec.Kind, rec.Moment, rec.Digest = KindContent, Take, DigestOf(content)
			case 3:
				l.Configure([]byte(`null`))
				rec.Kind, rec.Page, rec.Conf = KindConfigure, 0, json.RawMessage(`null`)
			}
			rec.Lamport, rec.Seq, rec.Line = lamport, uint64(len(want)+1), len(want)+2
			want = append(want, rec)
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				if err := r.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.Close(nil); err != nil {
			t.Fatal(err)
		}
		files, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []Record
		for rec, err := range files[0].Records() {
			if err != nil {
				t.Fatal(err)
			}
			rec.T = 0
			got = append(got, rec)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func randomMessage(t *rapid.T) protocol.Message {
	m := protocol.Message{
		Kind:     rapid.SampledFrom([]protocol.Kind{protocol.Req, protocol.Grant, protocol.Recall, protocol.Ack, protocol.Data}).Draw(t, "kind"),
		Op:       protocol.Op(rapid.Uint8Range(0, 3).Draw(t, "op")),
		Have:     protocol.Right(rapid.Uint8Range(0, 3).Draw(t, "have")),
		Hit:      rapid.Bool().Draw(t, "hit"),
		Leaf:     addr.NodeID(rapid.Uint16().Draw(t, "leaf")),
		Page:     addr.PageNum(rapid.Uint32().Draw(t, "page")),
		Version:  rapid.Uint64().Draw(t, "version"),
		Envelope: protocol.Envelope{From: addr.Place{Node: 1, Tag: addr.Tag(rapid.Uint16Range(0, 2).Draw(t, "tag"))}},
	}
	m.Txn.Counter = rapid.Uint64().Draw(t, "txn")
	return m
}

// The canonical encoding of a batch tells any two batches apart: every field of
// an effect and of its message is in it, and so are order and number.
func TestEffectsAreCanonical(t *testing.T) {
	var whole protocol.Effect
	fill(reflect.ValueOf(&whole).Elem())
	whole.Msg = aMessage()
	other := map[reflect.Kind]func(reflect.Value){
		reflect.Bool: func(v reflect.Value) { v.SetBool(!v.Bool()) },
	}
	for _, k := range []reflect.Kind{reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64} {
		other[k] = func(v reflect.Value) { v.SetUint(v.Uint() - 1) }
	}
	seen := map[string]string{}
	add := func(name string, effects ...protocol.Effect) {
		text := string(appendEffects(nil, effects))
		if twin, ok := seen[text]; ok {
			t.Errorf("%s and %s have the same encoding: %s", name, twin, text)
		}
		seen[text] = name
	}
	changed := whole
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
			return
		}
		other[v.Kind()](v)
		add(path, changed)
		changed = whole
	}
	add("nothing")
	add("one", whole)
	add("two", whole, whole)
	walk("", reflect.ValueOf(&changed).Elem())
	less := whole
	less.Kind = protocol.FrameZero
	add("in order", whole, less)
	add("out of order", less, whole)
}
