package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// The simple twin of the codec: the generated code, and these conversions.

// toProto is a header and its frame as the generated struct.
func toProto(h *header, f *Frame) *wirepb.Frame {
	out := &wirepb.Frame{
		Seq: h.seq, Ack: h.ack, Control: h.control,
		Sender: uint32(h.sender), SenderIncarnation: uint32(h.senderIncarnation),
		Receiver: uint32(h.receiver), ReceiverIncarnation: uint32(h.receiverIncarnation),
		Cause: uint32(h.cause), Reason: h.reason,
	}
	unless := func(v, usual uint32) *uint32 {
		if v == usual {
			return nil
		}
		return &v
	}
	for i := range f.Messages {
		m := &f.Messages[i]
		if like := likeProto(f.Messages[:i], *m); like != nil {
			out.Pages = append(out.Pages, like)
			continue
		}
		out.Pages = append(out.Pages, &wirepb.PageMessage{
			Kind: wirepb.Kind(m.Kind), Op: wirepb.Op(m.Op), Have: wirepb.Right(m.Have), Keep: wirepb.Right(m.Keep),
			Source: wirepb.Source(m.Source), Dst: wirepb.Dst(m.Dst), Hit: m.Hit,
			Leaf: uint32(m.Leaf), Page: uint32(m.Page), Generation: m.Generation,
			FromNode: unless(uint32(m.From.Node), out.Sender), FromTag: uint32(m.From.Tag),
			ToNode: unless(uint32(m.To.Node), out.Receiver), ToTag: uint32(m.To.Tag),
			FromIncarnation: unless(uint32(m.FromIncarnation), out.SenderIncarnation),
			ToIncarnation:   unless(uint32(m.ToIncarnation), out.ReceiverIncarnation),
			Epoch:           m.Epoch, Term: m.Term, Cut: m.Cut, Prepared: m.Prepared, Lamport: m.Lamport, Version: m.Version,
			TxnLeaf: uint32(m.Txn.Leaf), TxnCounter: m.Txn.Counter,
			TxnIncarnation: unless(uint32(m.Txn.Incarnation), out.SenderIncarnation),
		})
	}
	for j := range f.Syncs {
		s := &f.Syncs[j]
		out.Syncs = append(out.Syncs, &wirepb.SyncMessage{
			Kind: uint32(s.Kind), Code: uint32(s.Code), Try: s.Try, Index: s.Index, Parties: s.Parties, After: f.After[j],
			Object: s.Object, Party: s.Party, Request: s.Request, Fence: s.Fence, Round: s.Round, Generation: s.Generation,
			Lamport: s.Lamport, Epoch: s.Epoch, Cut: s.Cut, Term: s.Term,
			FromNode: unless(uint32(s.From.Node), out.Sender), FromTag: uint32(s.From.Tag),
			ToNode: unless(uint32(s.To.Node), out.Receiver), ToTag: uint32(s.To.Tag),
			FromIncarnation: unless(uint32(s.FromIncarnation), out.SenderIncarnation),
			ToIncarnation:   unless(uint32(s.ToIncarnation), out.ReceiverIncarnation),
		})
	}
	return out
}

// likeProto is m, where one of the last two messages is like it.
func likeProto(before []protocol.Message, m protocol.Message) *wirepb.PageMessage {
	for back := 1; back <= min(2, len(before)); back++ {
		base := before[len(before)-back]
		out := &wirepb.PageMessage{Like: uint32(back)}
		if m.Lamport != base.Lamport {
			out.Lamport = m.Lamport
		}
		if m.Version != base.Version {
			out.Version = m.Version
		}
		if likeBase(base, out) == m && m.Lamport != 0 {
			return out
		}
	}
	return nil
}

// likeBase is the message that is like base.
func likeBase(base protocol.Message, m *wirepb.PageMessage) protocol.Message {
	base.Page++
	base.Txn.Counter++
	if m.Lamport != 0 {
		base.Lamport = m.Lamport
	}
	if m.Version != 0 {
		base.Version = m.Version
	}
	return base
}

// fromProto is the opposite.
func fromProto(in *wirepb.Frame) (header, Frame) {
	h := header{seq: in.Seq, ack: in.Ack, control: in.Control, cause: addr.NodeID(in.Cause), reason: in.Reason, ends: ends{
		addr.NodeID(in.Sender), addr.Incarnation(in.SenderIncarnation),
		addr.NodeID(in.Receiver), addr.Incarnation(in.ReceiverIncarnation),
	}}
	or := func(v *uint32, usual uint32) uint32 {
		if v == nil {
			return usual
		}
		return *v
	}
	var f Frame
	for i, m := range in.Pages {
		f.Pages = append(f.Pages, nil)
		if m.Like > 0 {
			f.Messages = append(f.Messages, likeBase(f.Messages[i-int(m.Like)], m))
			continue
		}
		f.Messages = append(f.Messages, protocol.Message{
			Envelope: protocol.Envelope{
				From:            addr.Place{Node: addr.NodeID(or(m.FromNode, in.Sender)), Tag: addr.Tag(m.FromTag)},
				To:              addr.Place{Node: addr.NodeID(or(m.ToNode, in.Receiver)), Tag: addr.Tag(m.ToTag)},
				FromIncarnation: addr.Incarnation(or(m.FromIncarnation, in.SenderIncarnation)),
				ToIncarnation:   addr.Incarnation(or(m.ToIncarnation, in.ReceiverIncarnation)),
				Generation:      m.Generation, Epoch: m.Epoch, Term: m.Term, Cut: m.Cut, Lamport: m.Lamport,
			},
			Kind: protocol.Kind(m.Kind), Op: protocol.Op(m.Op), Have: protocol.Right(m.Have), Keep: protocol.Right(m.Keep),
			Source: protocol.Source(m.Source), Dst: protocol.Dst(m.Dst), Hit: m.Hit,
			Leaf: addr.NodeID(m.Leaf), Page: addr.PageNum(m.Page), Prepared: m.Prepared, Version: m.Version,
			Txn: protocol.Txn{
				Leaf: addr.NodeID(m.TxnLeaf), Counter: m.TxnCounter,
				Incarnation: addr.Incarnation(or(m.TxnIncarnation, in.SenderIncarnation)),
			},
		})
	}
	for _, s := range in.Syncs {
		f.Syncs = append(f.Syncs, protocol.Sync{
			Envelope: protocol.Envelope{
				From:            addr.Place{Node: addr.NodeID(or(s.FromNode, in.Sender)), Tag: addr.Tag(s.FromTag)},
				To:              addr.Place{Node: addr.NodeID(or(s.ToNode, in.Receiver)), Tag: addr.Tag(s.ToTag)},
				FromIncarnation: addr.Incarnation(or(s.FromIncarnation, in.SenderIncarnation)),
				ToIncarnation:   addr.Incarnation(or(s.ToIncarnation, in.ReceiverIncarnation)),
				Generation:      s.Generation, Epoch: s.Epoch, Term: s.Term, Cut: s.Cut, Lamport: s.Lamport,
			},
			Kind: protocol.SyncKind(s.Kind), Code: protocol.SyncCode(s.Code), Try: s.Try, Index: s.Index, Parties: s.Parties,
			Object: s.Object, Party: s.Party, Request: s.Request, Fence: s.Fence, Round: s.Round,
		})
		f.After = append(f.After, s.After)
	}
	return h, f
}

// encode writes a header and its frame as a link does.
func encode(h *header, f *Frame) []byte {
	b := appendHeader(nil, h)
	if h.control == wirepb.Control_FAILED {
		b = appendFailure(b, &PeerFailure{h.cause, h.reason})
	}
	var r recent
	j := 0
	for i := range f.Messages {
		for ; j < len(f.Syncs) && int(f.After[j]) <= i; j++ {
			b = appendSync(b, &f.Syncs[j], i, &h.ends)
		}
		b = appendMessage(b, &f.Messages[i], &h.ends, &r)
	}
	for ; j < len(f.Syncs); j++ {
		b = appendSync(b, &f.Syncs[j], len(f.Messages), &h.ends)
	}
	return b
}

// same compares frames; a nil slice equals an empty one.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, h1, h2 header, f1, f2 *Frame) {
	t.Helper()
	if h1 != h2 {
		t.Fatalf("%s: header %+v, expected %+v", what, h2, h1)
	}
	equal := len(f1.Messages) == len(f2.Messages) && len(f1.Syncs) == len(f2.Syncs) &&
		len(f1.Pages) == len(f2.Pages) && len(f1.After) == len(f2.After)
	for i := 0; equal && i < len(f1.Messages); i++ {
		equal = f1.Messages[i] == f2.Messages[i]
	}
	for j := 0; equal && j < len(f1.Syncs); j++ {
		equal = f1.Syncs[j] == f2.Syncs[j] && f1.After[j] == f2.After[j]
	}
	if !equal {
		t.Fatalf("%s: %s", what, cmp.Diff(f1, f2))
	}
}

// bothWays holds the codec and the generated code together, from a frame.
func bothWays(t interface {
	Helper()
	Fatalf(string, ...any)
}, h *header, f *Frame) {
	t.Helper()
	flat := encode(h, f)
	var p wirepb.Frame
	if err := proto.Unmarshal(flat, &p); err != nil {
		t.Fatalf("the generated code refuses %x: %v", flat, err)
	}
	if want := toProto(h, f); !proto.Equal(&p, want) {
		t.Fatalf("the generated code reads %v, expected %v", &p, want)
	}
	slow, err := proto.MarshalOptions{Deterministic: true}.Marshal(toProto(h, f))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(slow) != len(flat) {
		t.Fatalf("%d bytes, the generated code writes %d", len(flat), len(slow))
	}
	for _, b := range [][]byte{flat, slow} {
		var h2 header
		var f2 Frame
		if _, err := decodeFrame(b, &h2, &f2); err != nil {
			t.Fatalf("decode %x: %v", b, err)
		}
		same(t, "decoded", *h, h2, f, &f2)
	}
}

// number draws numbers of all lengths.
func number(bits int) *rapid.Generator[uint64] {
	return rapid.Custom(func(t *rapid.T) uint64 {
		return rapid.Uint64().Draw(t, "bits") >> (64 - rapid.IntRange(0, bits).Draw(t, "length"))
	})
}

func drawFrame(t *rapid.T) (header, Frame) {
	u16 := func() uint16 { return uint16(number(16).Draw(t, "u16")) }
	u32 := func() uint32 { return uint32(number(32).Draw(t, "u32")) }
	u64 := func() uint64 { return number(64).Draw(t, "u64") }
	upTo := func(n uint8) uint8 { return rapid.Uint8Range(0, n).Draw(t, "enum") }
	h := header{seq: u64(), ack: u64(), control: wirepb.Control(upTo(1)), ends: ends{
		addr.NodeID(u16()), addr.Incarnation(u32()), addr.NodeID(u16()), addr.Incarnation(u32()),
	}}
	if rapid.IntRange(0, 9).Draw(t, "failed") == 0 {
		h.control, h.cause, h.reason = wirepb.Control_FAILED, addr.NodeID(u16()), oneLine(rapid.String().Draw(t, "reason"))
		return h, Frame{}
	}
	// Half of what has a usual value has it.
	node := func(usual addr.NodeID) addr.NodeID {
		if rapid.Bool().Draw(t, "usual") {
			return usual
		}
		return addr.NodeID(u16())
	}
	incarnation := func(usual addr.Incarnation) addr.Incarnation {
		if rapid.Bool().Draw(t, "usual") {
			return usual
		}
		return addr.Incarnation(u32())
	}
	envelope := func() protocol.Envelope {
		return protocol.Envelope{
			From: addr.Place{Node: node(h.sender), Tag: addr.Tag(u16())}, To: addr.Place{Node: node(h.receiver), Tag: addr.Tag(u16())},
			FromIncarnation: incarnation(h.senderIncarnation), ToIncarnation: incarnation(h.receiverIncarnation),
			Generation: u64(), Epoch: u64(), Term: u64(), Cut: u64(), Lamport: u64(),
		}
	}
	var f Frame
	for range rapid.IntRange(0, 6).Draw(t, "items") {
		if rapid.Bool().Draw(t, "sync") {
			f.Syncs = append(f.Syncs, protocol.Sync{
				Envelope: envelope(),
				Kind:     protocol.SyncKind(upTo(254) + 1), Code: protocol.SyncCode(upTo(255)), Try: rapid.Bool().Draw(t, "try"),
				Index: u32(), Parties: u32(), Object: u64(), Party: u64(), Request: u64(), Fence: u64(), Round: u64(),
			})
			f.After = append(f.After, uint32(len(f.Messages)))
			continue
		}
		f.Pages = append(f.Pages, nil)
		if n := len(f.Messages); n > 0 && rapid.Bool().Draw(t, "like") {
			m := f.Messages[max(n-rapid.IntRange(1, 3).Draw(t, "back"), 0)]
			m.Page++
			m.Txn.Counter++
			switch upTo(3) {
			case 0:
				m.Lamport = u64()
			case 1:
				m.Version = u64()
			case 2:
				m.Cut++
			}
			f.Messages = append(f.Messages, m)
			continue
		}
		f.Messages = append(f.Messages, protocol.Message{
			Envelope: envelope(),
			Kind:     protocol.Kind(upTo(uint8(protocol.Data)-1) + 1), Op: protocol.Op(upTo(3)),
			Have: protocol.Right(upTo(3)), Keep: protocol.Right(upTo(3)), Source: protocol.Source(upTo(3)),
			Dst: protocol.Dst(upTo(2)), Hit: rapid.Bool().Draw(t, "hit"),
			Leaf: addr.NodeID(u16()), Page: addr.PageNum(u32()), Prepared: u64(), Version: u64(),
			Txn: protocol.Txn{Leaf: addr.NodeID(u16()), Incarnation: incarnation(h.senderIncarnation), Counter: u64()},
		})
	}
	return h, f
}

func TestCodecAgainstGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, f := drawFrame(t)
		bothWays(t, &h, &f)
	})
}

// TestEveryField sets one field after the other: the day a message gets another
// one, this fails until the codec carries it.
func TestEveryField(t *testing.T) {
	var set func(v reflect.Value, visit func(name string), name string)
	set = func(v reflect.Value, visit func(string), name string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				set(v.Field(i), visit, name+"."+v.Type().Field(i).Name)
			}
		case reflect.Bool:
			v.SetBool(true)
			visit(name)
		default:
			old := v.Uint()
			v.SetUint(1 + old) // every kind has two values
			visit(name)
			v.SetUint(old)
		}
	}
	check := func(f *Frame) func(string) {
		return func(name string) {
			t.Run(name, func(t *testing.T) {
				bothWays(t, &header{seq: 1, ends: ends{sender: 5, senderIncarnation: 6, receiver: 7, receiverIncarnation: 8}}, f)
			})
		}
	}
	f := &Frame{Messages: make([]protocol.Message, 1), Pages: make([][]byte, 1)}
	f.Messages[0].Kind = protocol.Req
	set(reflect.ValueOf(&f.Messages[0]).Elem(), check(f), "Message")
	f = &Frame{Syncs: make([]protocol.Sync, 1), After: make([]uint32, 1)}
	f.Syncs[0].Kind = 1
	set(reflect.ValueOf(&f.Syncs[0]).Elem(), check(f), "Sync")
}

// longest is the message that takes most bytes.
func longest() (protocol.Message, ends) {
	m := protocol.Message{
		Envelope: protocol.Envelope{
			From: addr.Place{Node: math.MaxUint16, Tag: math.MaxUint16}, To: addr.Place{Node: math.MaxUint16, Tag: math.MaxUint16},
			FromIncarnation: math.MaxUint32, ToIncarnation: math.MaxUint32,
			Generation: math.MaxUint64, Epoch: math.MaxUint64, Term: math.MaxUint64, Cut: math.MaxUint64, Lamport: math.MaxUint64,
		},
		Kind: protocol.Data, Op: 3, Have: 3, Keep: 3, Source: 3, Dst: 2, Hit: true,
		Leaf: math.MaxUint16, Page: math.MaxUint32, Prepared: math.MaxUint64, Version: math.MaxUint64,
		Txn: protocol.Txn{Leaf: math.MaxUint16, Incarnation: math.MaxUint32, Counter: math.MaxUint64},
	}
	return m, ends{sender: math.MaxUint16 - 1, senderIncarnation: math.MaxUint32 - 1, receiver: math.MaxUint16 - 1, receiverIncarnation: math.MaxUint32 - 1}
}

// TestLimits says that the longest frame fits.
func TestLimits(t *testing.T) {
	m, e := longest()
	h := header{seq: math.MaxUint64, ack: math.MaxUint64, control: wirepb.Control_BYE, ends: e}
	if n := len(appendHeader(nil, &h)); n > maxFront {
		t.Errorf("the front of a header takes %d bytes, %d are left free", n, maxFront)
	}
	f := Frame{Messages: make([]protocol.Message, maxItems), Pages: make([][]byte, maxItems)}
	for i := range f.Messages {
		f.Messages[i] = m
	}
	bothWays(t, &h, &f)
	if n := len(encode(&h, &f)); n > maxHeader {
		t.Errorf("a header of %d bytes", n)
	}
	if prefixSize+maxHeader > readBuffer {
		t.Error("a header does not fit the read buffer")
	}
}

func TestCodecAllocates(t *testing.T) {
	f := sample()
	h := header{seq: 7, ack: 6, ends: ends{1, 1, 2, 1}}
	b := encode(&h, &f)
	var h2 header
	var f2 Frame
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		buf = appendHeader(buf[:0], &h)
		buf = appendMessage(buf, &f.Messages[0], &h.ends, new(recent))
		buf = appendSync(buf, &f.Syncs[0], 1, &h.ends)
		if _, err := decodeFrame(b, &h2, &f2); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// sample is an everyday frame.
func sample() Frame {
	return Frame{
		Messages: []protocol.Message{{
			Envelope: protocol.Envelope{From: addr.Place{Node: 1, Tag: 1}, To: addr.Place{Node: 2, Tag: 1},
				FromIncarnation: 1, ToIncarnation: 1, Generation: 1, Epoch: 3, Term: 2, Cut: 1, Lamport: 1234567},
			Kind: protocol.Data, Leaf: 2, Page: 123456, Version: 345,
			Txn: protocol.Txn{Leaf: 2, Incarnation: 1, Counter: 99999},
		}},
		Pages: make([][]byte, 1),
		Syncs: []protocol.Sync{{
			Envelope: protocol.Envelope{From: addr.Place{Node: 1, Tag: 1}, To: addr.Place{Node: 2},
				FromIncarnation: 1, ToIncarnation: 1, Term: 1, Lamport: 1234568},
			Kind: 1, Object: 5, Party: 1 << 40, Request: 77,
		}},
		After: []uint32{1},
	}
}

// FuzzFrame feeds the decoder with anything. What it takes, the generated code
// takes too, and both read the same; and the codec writes it back.
func FuzzFrame(f *testing.F) {
	h := header{seq: 7, ack: 6, ends: ends{1, 1, 2, 1}}
	s := sample()
	f.Add(encode(&h, &s))
	f.Add(encode(&header{ends: h.ends, control: wirepb.Control_BYE}, &Frame{}))
	f.Add(encode(&header{ends: h.ends, control: wirepb.Control_FAILED, cause: 3, reason: "node 3 is lost: 80 % of it"}, &Frame{}))
	m, e := longest()
	f.Add(encode(&header{ends: e}, &Frame{Messages: []protocol.Message{m}, Pages: make([][]byte, 1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h header
		var got Frame
		pages, err := decodeFrame(b, &h, &got)
		if err != nil {
			return
		}
		var p wirepb.Frame
		if err := proto.Unmarshal(b, &p); err != nil {
			t.Fatalf("the generated code refuses %x: %v", b, err)
		}
		wantHeader, want := fromProto(&p)
		same(t, "decoded", wantHeader, h, &want, &got)
		if !isClean(h.reason) {
			t.Fatalf("reason %q", h.reason)
		}
		n := 0
		for i := range got.Messages {
			if !valid(&got.Messages[i]) {
				t.Fatalf("invalid %+v", got.Messages[i])
			}
			if carriesPage(&got.Messages[i]) {
				n++
			}
		}
		if n != pages {
			t.Fatalf("%d pages, expected %d", pages, n)
		}
		bothWays(t, &h, &got)
	})
}

// FuzzHandshake feeds the handshake's decoder: what it takes is within bounds
// and survives being encoded again.
func FuzzHandshake(f *testing.F) {
	m := &Mesh{version: version, cfg: Config{Self: 2, Incarnation: 3, Cluster: "c", Token: []byte("t")}}
	h := &handshake{m: m}
	for _, step := range []wirepb.Step{wirepb.Step_HELLO, wirepb.Step_CHALLENGE, wirepb.Step_PROOF_STEP, wirepb.Step_WELCOME, wirepb.Step_REFUSED} {
		msg := h.message(step)
		switch step {
		case wirepb.Step_HELLO, wirepb.Step_CHALLENGE:
			msg.Nonce, msg.Session, msg.Attempt, msg.Transport = h.nonce(), 1, 1, TCP
		case wirepb.Step_PROOF_STEP, wirepb.Step_WELCOME:
			msg.Proof = h.proof("dialer", 0)
		case wirepb.Step_REFUSED:
			msg.Refusal = wirepb.Refusal_TOKEN
		}
		b, err := proto.Marshal(msg)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseHandshake(b, version); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := parseHandshake(b, version)
		if err != nil {
			return
		}
		if msg.Magic != magic || len(b) > maxHandshake || len(msg.Cluster) > maxCluster || msg.Node > math.MaxUint16 {
			t.Fatalf("accepted %v", msg)
		}
		again, err := proto.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		msg2, err := parseHandshake(again, version)
		if err != nil || !proto.Equal(msg, msg2) {
			t.Fatalf("%v becomes %v: %v", msg, msg2, err)
		}
	})
}

// TestQueue holds the ring together with a slice.
func TestQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q queue
	var want []*outFrame
	for range 10000 {
		if r.IntN(5) < 3 {
			f := new(outFrame)
			q.push(f)
			want = append(want, f)
		} else if len(want) > 0 {
			if q.pop() != want[0] {
				t.Fatal("not the oldest")
			}
			want = want[1:]
		}
		if q.n != len(want) {
			t.Fatal("length")
		}
		if n := len(want); n > 0 {
			if i := r.IntN(n); q.at(i) != want[i] {
				t.Fatal("at")
			}
		}
	}
}

func buffers(pieces [][]byte) (s mem.BufferSlice) {
	for _, p := range pieces {
		s = append(s, mem.SliceBuffer(p))
	}
	return s
}

// TestCursor reads in pieces what lies in other pieces.
func TestCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "pieces")
		all := bytes.Join(pieces, nil)
		cur := cursor{s: buffers(pieces)}
		var scratch []byte
		for len(all) > 0 {
			n := rapid.IntRange(1, len(all)).Draw(t, "n")
			var got []byte
			if rapid.Bool().Draw(t, "copy") {
				got = make([]byte, n)
				if k := cur.copy(got); k != n {
					t.Fatalf("copied %d of %d", k, n)
				}
			} else {
				got = cur.next(n, &scratch)
			}
			if !bytes.Equal(got, all[:n]) {
				t.Fatalf("%x, expected %x", got, all[:n])
			}
			all = all[n:]
		}
		if cur.next(1, &scratch) != nil {
			t.Fatal("more than there is")
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	f := sample()
	f.Syncs, f.After = nil, nil
	h := header{seq: 700000, ack: 600000, ends: ends{1, 1, 2, 1}}
	enc := encode(&h, &f)
	b.Run("way=encode", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 4096)
		for b.Loop() {
			buf = appendHeader(buf[:0], &h)
			buf = appendMessage(buf, &f.Messages[0], &h.ends, &recent{})
		}
		b.ReportMetric(float64(len(buf)), "bytes/message")
	})
	b.Run("way=decode", func(b *testing.B) {
		b.ReportAllocs()
		var h2 header
		var f2 Frame
		for b.Loop() {
			if _, err := decodeFrame(enc, &h2, &f2); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("way=decode-generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p wirepb.Frame
			if err := proto.Unmarshal(enc, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
