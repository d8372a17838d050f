package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
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
	m.Source, m.Dst, m.Data = protocol.Have, protocol.ToHome, protocol.DiffData
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
	t.Cleanup(func() { r.Close() })
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
	l.Input(&protocol.Input{Kind: protocol.InReadFault, Page: 9, Stamp: 4})
	l.Action(&protocol.Event{Action: protocol.ActReadFault, At: leaf1, Page: 9, Lamport: 1}, states(`{"right":"none"}`))
	l.Input(&protocol.Input{Kind: protocol.InMessage, Msg: &m})
	l.Action(&protocol.Event{Action: protocol.ActLeafRecvRecall, At: leaf1, Page: m.Page, Lamport: 5,
		Before: protocol.RecalledClimbing, Message: &m}, states(`{}`))
	effects := []protocol.Effect{{Kind: protocol.Send, Page: m.Page, Msg: m}, {Kind: protocol.FrameGrant, Page: m.Page, Right: protocol.Read}}
	l.Output(&protocol.Input{Kind: protocol.InMessage, Msg: &m}, effects, nil)
	l.Content(Give, m.Page, leaf1, page)
	elsewhere := m
	elsewhere.To = addr.Place{Node: 9, Tag: 4}
	refusal := errors.New("a \"reason\"")
	l.Input(&protocol.Input{Kind: protocol.InMessage, Msg: &elsewhere})
	l.Output(&protocol.Input{Kind: protocol.InMessage, Msg: &elsewhere}, nil, refusal)
	if err := r.Close(); err != nil {
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
		{Kind: KindInput, At: leaf1, Act: "ReadFault", Page: 9, Stamp: 4},
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
		Epoch: 1, Members: []addr.Incarnation{1}, Fanout: 2, Slots: []protocol.Slot{{Term: 1}},
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
	if err := r.Close(); err != nil {
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
		if err := r.Close(); err != nil {
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
		Kind:    rapid.SampledFrom([]protocol.Kind{protocol.Req, protocol.Grant, protocol.Recall, protocol.Ack, protocol.Data}).Draw(t, "kind"),
		Op:      protocol.Op(rapid.Uint8Range(0, 3).Draw(t, "op")),
		Have:    protocol.Right(rapid.Uint8Range(0, 3).Draw(t, "have")),
		Hit:     rapid.Bool().Draw(t, "hit"),
		Leaf:    addr.NodeID(rapid.Uint16().Draw(t, "leaf")),
		Page:    addr.PageNum(rapid.Uint32().Draw(t, "page")),
		Version: rapid.Uint64().Draw(t, "version"),
		From:    addr.Place{Node: 1, Tag: addr.Tag(rapid.Uint16Range(0, 2).Draw(t, "tag"))},
	}
	m.Txn.Counter = rapid.Uint64().Draw(t, "txn")
	return m
}

func TestOff(t *testing.T) {
	var r *Recorder
	var h *History
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
		h.Record(&o)
	})
	if allocs != 0 {
		t.Errorf("%v allocations while off", allocs)
	}
	if err := errors.Join(r.Flush(), r.Close(), h.Flush(), h.Close()); err != nil {
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
	if err := errors.Join(r.Close(), r.Close()); err != nil {
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
	b.pending = append(b.pending, `{"format":2,"node":1}`+"\n"...)
	go func() {
		e := protocol.Event{At: leaf1}
		for range records {
			l.Action(&e, states(`{}`))
		}
		l.end()
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
	<-w.done
	if held := max(cap(b.pending), cap(b.spare)); held > 4*limit {
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

const goodHeader = `{"format":2,"spec":"strong","node":1,"shard":0,"slots":null}`

const (
	n      = `"n":{"node":1,"tag":1},"s":0`
	action = `{"lc":5,` + n + `,"seq":1,"act":"RecvReq","p":0,"post":{},"t":1}`
	end1   = `{"end":1}`
)

// Each malformed log is refused, at its line.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  error
		line  int
	}{
		{"empty", nil, ErrTruncated, 1},
		{"no_header", []string{action}, ErrMalformed, 1},
		{"not_json", []string{"hello"}, ErrMalformed, 1},
		{"other_format", []string{`{"format":1,"new":1}`}, ErrFormat, 1},
		{"unknown_in_header", []string{`{"format":2,"new":1}`}, ErrMalformed, 1},
		{"header_only", []string{goodHeader}, ErrTruncated, 2},
		{"no_end", []string{goodHeader, action}, ErrTruncated, 3},
		{"gap", []string{goodHeader, strings.Replace(action, `"seq":1`, `"seq":2`, 1), `{"end":2}`}, ErrGap, 2},
		{"twice", []string{goodHeader, action, action, end1}, ErrGap, 3},
		{"gap_at_end", []string{goodHeader, action, `{"end":2}`}, ErrGap, 3},
		{"after_end", []string{goodHeader, action, end1, action}, ErrMalformed, 4},
		{"odd_end", []string{goodHeader, action, `{"end":1,"t":1}`}, ErrMalformed, 3},
		{"half_json", []string{goodHeader, action[:30], end1}, ErrMalformed, 2},
		{"two_values", []string{goodHeader, action + action, end1}, ErrMalformed, 2},
		{"unknown_field", []string{goodHeader, `{"x":1}`, end1}, ErrMalformed, 2},
		{"empty_record", []string{goodHeader, `{}`, end1}, ErrMalformed, 2},
		{"no_kind", []string{goodHeader, `{"lc":1,` + n + `,"seq":1}`}, ErrMalformed, 2},
		{"two_kinds", []string{goodHeader, strings.Replace(action, `"act"`, `"conf":1,"act"`, 1)}, ErrMalformed, 2},
		{"other_node", []string{goodHeader, strings.Replace(action, `"node":1`, `"node":2`, 1)}, ErrMalformed, 2},
		{"other_shard", []string{goodHeader, strings.Replace(action, `"s":0`, `"s":1`, 1)}, ErrMalformed, 2},
		{"no_page", []string{goodHeader, strings.Replace(action, `"p":0,`, ``, 1)}, ErrMalformed, 2},
		{"no_post", []string{goodHeader, strings.Replace(action, `"post":{},`, ``, 1)}, ErrMalformed, 2},
		{"big_page", []string{goodHeader, strings.Replace(action, `"p":0`, `"p":4294967296`, 1)}, ErrMalformed, 2},
		{"odd_action", []string{goodHeader, strings.Replace(action, `RecvReq`, `Recv Req`, 1)}, ErrMalformed, 2},
		{"odd_input", []string{goodHeader, `{` + n + `,"seq":1,"in":"Sneeze","p":0}`}, ErrMalformed, 2},
		{"input_without_message", []string{goodHeader, `{` + n + `,"seq":1,"in":"Message","p":0}`}, ErrMalformed, 2},
		{"odd_moment", []string{goodHeader, `{` + n + `,"seq":1,"content":"invalid","p":0,"digest":"0000000000000000"}`}, ErrMalformed, 2},
		{"short_out", []string{goodHeader, `{` + n + `,"seq":1,"out":"00","p":0}`}, ErrMalformed, 2},
		{"out_without_page", []string{goodHeader, `{` + n + `,"seq":1,"out":"0000000000000000"}`}, ErrMalformed, 2},
		{"effects_of_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"effects":[]`, 1)}, ErrMalformed, 2},
		{"refused_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"refused":"x"`, 1)}, ErrMalformed, 2},
		{"short_digest", []string{goodHeader, `{` + n + `,"seq":1,"content":"give","p":0,"digest":"00"}`}, ErrMalformed, 2},
		{"digest_of_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"digest":"00"`, 1)}, ErrMalformed, 2},
		{"odd_phase", []string{goodHeader, strings.Replace(action, `"t":1`, `"phase":"asleep"`, 1)}, ErrMalformed, 2},
		{"phase_of_input", []string{goodHeader, `{` + n + `,"seq":1,"in":"Evict","p":0,"phase":"serving"}`}, ErrMalformed, 2},
		{"odd_kind_of_message", []string{goodHeader, strings.Replace(action, `"t":1`, `"m":{"kind":"Rec"}`, 1)}, ErrMalformed, 2},
		{"message_without_kind", []string{goodHeader, strings.Replace(action, `"t":1`, `"m":{}`, 1)}, ErrMalformed, 2},
		{"odd_sender", []string{goodHeader, strings.Replace(action, `"t":1`, `"f":{"node":1},"m":{"kind":"Req"}`, 1)}, ErrMalformed, 2},
		{"clock_backwards", []string{goodHeader, action,
			strings.NewReplacer(`"seq":1`, `"seq":2`, `"lc":5`, `"lc":4`).Replace(action)}, ErrMalformed, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			for _, line := range c.lines {
				text += line + "\n"
			}
			wantReadError(t, text, c.want, c.line)
		})
	}
	// Cut anywhere, a log is truncated.
	whole := goodHeader + "\n" + action + "\n" + end1 + "\n"
	if _, err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		wantReadError(t, whole[:i], ErrTruncated, 1+strings.Count(whole[:i], "\n"))
	}
}

func wantReadError(t *testing.T, text string, want error, line int) {
	t.Helper()
	_, err := readAll(text)
	if !errors.Is(err, want) || !strings.Contains(err.Error(), fmt.Sprintf("file:%d:", line)) {
		t.Errorf("reading %q: %v, want %v at line %d", text, err, want, line)
	}
}

func readAll(text string) ([]Record, error) {
	_, all, err := ReadLog("file", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var recs []Record
	for rec, err := range all {
		if err != nil {
			return recs, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// The configuration of a log is the one that was recorded, and what cannot be
// one is refused.
func TestConfiguration(t *testing.T) {
	want := &protocol.Configuration{Epoch: 3, Members: []addr.Incarnation{1, 1}, Fanout: 2, Slots: protocol.DealSlots(4, 2)}
	slots, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	h := Header{Nodes: 2, Slots: slots}
	got, err := h.Configuration()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	segments := []protocol.Segment{{First: 64, Pages: 64, Generation: 5}}
	conf, err := json.Marshal(Change{Epoch: 4, Generation: 6, Segments: segments})
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Conf: conf}
	got, err = r.Configure(got)
	want = want.WithSegments(segments)
	want.Epoch, want.Generation = 4, 6
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{`null`, `{}`, `{"Slot":[]}`, strings.Replace(string(slots), `"Fanout":2`, `"Fanout":1`, 1),
		strings.Replace(string(slots), `"Home":1`, `"Home":2`, 1), strings.Replace(string(slots), `[1,1]`, `[1]`, 1)} {
		h.Slots = json.RawMessage(bad)
		if got, err := h.Configuration(); err == nil {
			t.Errorf("%s is %+v", bad, got)
		}
	}
	for _, bad := range []string{`{"Epoc":1}`, `{"Segments":[{"First":1}]}`} {
		r.Conf = json.RawMessage(bad)
		if got, err := r.Configure(want); err == nil {
			t.Errorf("%s is %+v", bad, got)
		}
	}
}

func TestReadDirErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, ErrNoTrace) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := newTestRecorder(t, dir, 1).Close(); err != nil {
		t.Fatal(err)
	}
	h := testHeader()
	h.Node, h.Seed = 2, 8
	r, err := NewRecorder(dir, h, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrMalformed) {
		t.Errorf("logs of two runs: %v", err)
	}
	h.Shard = 0
	if err := os.Rename(filepath.Join(dir, h.fileName()), filepath.Join(dir, "node00009-i1-s000.ndjson")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrMalformed) {
		t.Errorf("a renamed log: %v", err)
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.ndjson")
	h, err := NewHistory(path, HistoryHeader{Model: "strong", Seed: 3, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Operation{
		{Client: 1, Op: "write", Word: 8, Value: 1<<64 - 1, Call: 10, Return: 20},
		{Client: 2, Op: "cas", Word: 8, Value: 5, Old: 4, Result: 1, Call: 12, Return: 12},
		{Client: 2, Op: "read", Word: 9, Call: 30},
	}
	for i := range want {
		h.Record(&want[i])
	}
	if err := errors.Join(h.Flush(), h.Close(), h.Close()); err != nil {
		t.Fatal(err)
	}
	header, got, err := ReadHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(HistoryHeader{Format: HistoryFormat, Model: "strong", Seed: 3, Build: "test"}, header); d != "" {
		t.Error(d)
	}
	if _, err := NewHistory(path, HistoryHeader{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old history: %v", err)
	}
}

func TestReadHistoryErrors(t *testing.T) {
	const header, op = `{"format":2}`, `{"client":1,"op":"read","word":1,"value":1,"call_ns":5,"return_ns":6}`
	for _, c := range []struct {
		name  string
		lines []string
		want  error
		line  int
		ops   int
	}{
		{"empty", nil, ErrTruncated, 1, 0},
		{"other_format", []string{`{"format":9}`}, ErrFormat, 1, 0},
		{"no_end", []string{header, op}, ErrTruncated, 3, 1},
		{"gap", []string{header, op, `{"end":2}`}, ErrGap, 3, 0},
		{"after_end", []string{header, op, `{"end":1}`, op}, ErrMalformed, 4, 0},
		{"odd_end", []string{header, op, `{"end":1,"word":1}`}, ErrMalformed, 3, 0},
		{"odd_op", []string{header, strings.Replace(op, "read", "", 1)}, ErrMalformed, 2, 0},
		{"returns_early", []string{header, strings.Replace(op, ":6", ":4", 1)}, ErrMalformed, 2, 0},
		{"unknown_field", []string{header, `{"x":1}`}, ErrMalformed, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Join(append(c.lines, ""), "\n")
			_, ops, err := ReadHistoryFrom("file", strings.NewReader(text))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), fmt.Sprintf("file:%d:", c.line)) {
				t.Errorf("%v, want %v at line %d", err, c.want, c.line)
			}
			if len(ops) != c.ops {
				t.Errorf("%d operations, want %d", len(ops), c.ops)
			}
		})
	}
}

// A clock that is far away is found within the bound, however uneven the two
// ways are.
func TestCompareClock(t *testing.T) {
	const far = 123_456_789_000
	spin := func(ns int64) {
		for end := Now() + ns; Now() < end; {
		}
	}
	for _, way := range [][2]int64{{0, 0}, {200_000, 0}, {0, 200_000}, {50_000, 150_000}} {
		asked := 0
		offset, bound, err := CompareClock(5, func() (int64, error) {
			asked++
			spin(way[0])
			now := Now() + far
			spin(way[1])
			return now, nil
		})
		if err != nil || asked != 5 || offset < far-bound || offset > far+bound || bound < (way[0]+way[1])/2 {
			t.Errorf("%v: offset %d within %d, want %d: %v", way, offset, bound, far, err)
		}
	}
	if _, _, err := CompareClock(5, func() (int64, error) { return 0, io.EOF }); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	c := Clock{Offset: 100, Bound: 10}.cover(130, 5)
	if c.Offset-c.Bound > 90 || c.Offset+c.Bound < 135 {
		t.Errorf("%+v does not cover both readings", c)
	}
}

func TestNow(t *testing.T) {
	last := Now()
	for range 1000 {
		now := Now()
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}

// What the reader accepts, the writer's encoders write again, and it is the
// same.
func FuzzReadLog(f *testing.F) {
	dir := f.TempDir()
	r := newTestRecorder(f, dir, 1)
	m := aMessage()
	r.Shard(0).Configure([]byte(`{"a":1}`))
	r.Shard(0).Input(&protocol.Input{Kind: protocol.InMessage, Msg: &m, Stamp: 1})
	r.Shard(0).Action(&protocol.Event{At: leaf1, Message: &m, Lamport: 3}, states(`{"x":[]}`))
	r.Shard(0).Output(&protocol.Input{Kind: protocol.InMessage, Msg: &m}, []protocol.Effect{{Kind: protocol.Send, Msg: m}}, nil)
	r.Shard(0).Output(&protocol.Input{Kind: protocol.InEvict}, nil, errors.New("refused"))
	r.Shard(0).Content(Give, 3, leaf1, nil)
	if err := r.Close(); err != nil {
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
		b = uintField(b, `,"stamp":`, uint64(rec.Stamp))
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
			b = appendString(append(b, `,"refused":`...), rec.Out.Refused)
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

// FuzzHistoryLine compares the reader of operations with encoding/json, which
// reads every line that it reads, to the same values.
func FuzzHistoryLine(f *testing.F) {
	for _, line := range []string{
		`{"client":1,"op":"cas","object":"a \"b\\@3","word":1,"value":18446744073709551615,"old":2,"result":1,"call_ns":5,"return_ns":6}`,
		`{"end":7,"clock_offset_ns":-5,"clock_bound_ns":0}`, ` { "op" : "read" , "word" : 0 } `, `{}`, `{"client":01}`, `{"client":-}`, `{"word":-1}`,
		`{"op":"read","op":"read"}`, `{"op":"re\u0061d"}`, `{"object":"\u0000"}`, `{"op":"read"`, `{"value":1.5}`, `{"Value":1}`, "{\"object\":\"\xff\"}", `{"op":"a",}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := newHistoryLines().read(line)
		if err != nil {
			return
		}
		var want struct {
			Operation
			End    *uint64 `json:"end"`
			Offset *int64  `json:"clock_offset_ns"`
			Bound  *int64  `json:"clock_bound_ns"`
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if d := cmp.Diff(historyLine(want), got); d != "" {
			t.Fatalf("%q: %s", line, d)
		}
	})
}

func FuzzReadHistory(f *testing.F) {
	f.Add([]byte("{\"format\":2}\n{\"client\":1,\"op\":\"cas\",\"word\":1,\"value\":1,\"old\":2,\"result\":1,\"call_ns\":5,\"return_ns\":6}\n{\"end\":1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, ops, err := ReadHistoryFrom("fuzz", bytes.NewReader(text))
		if err != nil {
			return
		}
		again := []byte("{\"format\":2}\n")
		for i := range ops {
			again = appendOperation(again, &ops[i])
		}
		again = append(again, fmt.Sprintf("{\"end\":%d}\n", len(ops))...)
		_, second, err := ReadHistoryFrom("again", bytes.NewReader(again))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(ops, second); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkAction(b *testing.B) {
	m := aMessage()
	e := protocol.Event{Action: protocol.ActRecvReq, At: leaf1, Page: 7, Message: &m, Lamport: 5}
	post := State(states(`{"right":"owned","marked":[0,2],"owner":2,"ownerRight":"owned","version":17}`))
	b.Run("log=off", func(b *testing.B) {
		var l *Log
		b.ReportAllocs()
		for b.Loop() {
			l.Action(&e, post)
		}
	})
	b.Run("log=on", func(b *testing.B) {
		r := newTestRecorder(b, b.TempDir(), 1)
		l := r.Shard(0)
		line := appendHead(nil, e.Lamport, e.At, 0, 1)
		line = appendTail(post.AppendState(appendMessage(line, &m), 0, leaf1), Now())
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			l.Action(&e, post)
		}
	})
	b.Run("log=encode", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = appendMessage(buf[:0], &m)
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	m := aMessage()
	in := protocol.Input{Kind: protocol.InMessage, Msg: &m}
	effects := []protocol.Effect{{Kind: protocol.FrameDrop}, {Kind: protocol.Send, Msg: m}}
	r := newTestRecorder(b, b.TempDir(), 1)
	for _, l := range []*Log{nil, r.Shard(0)} {
		b.Run(fmt.Sprintf("on=%v", l != nil), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Output(&in, effects, nil)
			}
		})
	}
}

func BenchmarkContent(b *testing.B) {
	r := newTestRecorder(b, b.TempDir(), 1)
	page := make([]byte, addr.PageSize)
	for _, l := range []*Log{nil, r.Shard(0)} {
		b.Run(fmt.Sprintf("on=%v", l != nil), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Content(Give, 1, leaf1, page)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	r := newTestRecorder(b, dir, 1)
	m := aMessage()
	for i := range 10000 {
		r.Shard(0).Action(&protocol.Event{At: leaf1, Lamport: uint64(i), Message: &m}, states(`{"right":"none"}`))
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	h := testHeader()
	text, err := os.ReadFile(filepath.Join(dir, h.fileName()))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, all, err := ReadLog("bench", bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range all {
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
		}
	}
}
