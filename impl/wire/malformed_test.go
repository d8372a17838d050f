package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// rogue is a peer that shakes hands and then sends what it likes.
type rogue struct {
	send  func([]byte) error
	close func()
}

// newRogue connects node 2 to n by hand.
func newRogue(t *testing.T, n *node, transport string) *rogue {
	t.Helper()
	if transport == wrapped {
		transport = TCP
	}
	m := &Mesh{version: version, cfg: Config{
		Self: 2, Incarnation: 1, Cluster: n.cfg.Cluster, Token: n.cfg.Token, Transport: transport,
	}}
	l := &Link{mesh: m, peer: n.cfg.Self, incarnation: n.cfg.Incarnation, session: 7}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := new(rogue)
	var s handshaker
	switch transport {
	case TCP:
		c, err := dial(ctx, n.address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(framedMagic)); err != nil {
			t.Fatal(err)
		}
		s = messages{c}
		r.send = func(b []byte) error { _, err := c.Write(b); return err }
		r.close = func() { cancel(); c.Close() }
	case GRPC:
		client, err := grpc.NewClient("passthrough:///"+n.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		gs, err := wirepb.NewLinkClient(client).Frames(ctx, grpc.CallContentSubtype(codecName))
		if err != nil {
			t.Fatal(err)
		}
		s = streamMessages{gs}
		r.send = func(b []byte) error { return gs.SendMsg(b) }
		r.close = func() { cancel(); client.Close() }
	}
	t.Cleanup(r.close)
	h := &handshake{m: m, s: s, remote: "here"}
	if _, err := h.dialer(l, &attempt{ctx: t.Context()}); err != nil {
		t.Fatal(err)
	}
	await(t, n.h.up, "up")
	return r
}

// rogueHeader is what node 2 says to node 1.
func rogueHeader(seq uint64) *wirepb.Frame {
	return &wirepb.Frame{Seq: seq, Sender: 2, SenderIncarnation: 1, Receiver: 1, ReceiverIncarnation: 1}
}

// rawFrame encodes a frame with the generated code.
func rawFrame(t *testing.T, f *wirepb.Frame, payload int) []byte {
	t.Helper()
	head, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(head)))
	b = binary.LittleEndian.AppendUint32(b, uint32(payload))
	return append(append(b, head...), make([]byte, payload)...)
}

// failedFrame is what a node that has failed says.
func failedFrame(reason string) *wirepb.Frame {
	f := rogueHeader(0)
	f.Control, f.Cause, f.Reason = wirepb.Control_FAILED, 2, reason
	return f
}

// replace makes f what by is.
func replace(f, by *wirepb.Frame) {
	proto.Reset(f)
	proto.Merge(f, by)
}

func request() *wirepb.PageMessage { return &wirepb.PageMessage{Kind: wirepb.Kind_REQ} }
func page() *wirepb.PageMessage {
	return &wirepb.PageMessage{Kind: wirepb.Kind_DATA}
}

// testMalformed sends one good frame and then a bad one, in which other messages
// are good: only the first is delivered, and the link is over.
func testMalformed(t *testing.T, transport string) {
	for _, c := range []struct {
		name    string
		edit    func(f *wirepb.Frame)
		payload int
	}{
		{"kind", func(f *wirepb.Frame) { f.Pages[1].Kind = 6 }, 0},
		{"no kind", func(f *wirepb.Frame) { f.Pages[1].Kind = 0 }, 0},
		{"right", func(f *wirepb.Frame) { f.Pages[1].Have = 4 }, 0},
		{"negative", func(f *wirepb.Frame) { f.Pages[1].Op = -1 }, 0},
		{"node", func(f *wirepb.Frame) { f.Pages[1].Leaf = 1 << 16 }, 0},
		{"sync kind", func(f *wirepb.Frame) { f.Syncs = []*wirepb.SyncMessage{{Kind: 256}} }, 0},
		{"sync order", func(f *wirepb.Frame) {
			f.Syncs = []*wirepb.SyncMessage{{Kind: 1, After: 2}, {Kind: 1, After: 1}}
		}, 0},
		{"sync behind the end", func(f *wirepb.Frame) { f.Syncs = []*wirepb.SyncMessage{{Kind: 1, After: 3}} }, 0},
		{"gap", func(f *wirepb.Frame) { f.Seq = 3 }, 0},
		{"unnumbered", func(f *wirepb.Frame) { f.Seq = 0 }, 0},
		{"acknowledges the future", func(f *wirepb.Frame) { f.Ack = 9 }, 0},
		{"sender", func(f *wirepb.Frame) { f.Sender = 3 }, 0},
		{"sender's incarnation", func(f *wirepb.Frame) { f.SenderIncarnation = 2 }, 0},
		{"receiver", func(f *wirepb.Frame) { f.Receiver = 3 }, 0},
		{"receiver's incarnation", func(f *wirepb.Frame) { f.ReceiverIncarnation = 2 }, 0},
		{"control", func(f *wirepb.Frame) { f.Control = wirepb.Control_BYE }, 0},
		{"unknown control", func(f *wirepb.Frame) { f.Control = 3 }, 0},
		{"failed with messages", func(f *wirepb.Frame) {
			f.Control, f.Seq, f.Reason = wirepb.Control_FAILED, 0, "r"
		}, 0},
		{"failed without a reason", func(f *wirepb.Frame) { replace(f, failedFrame("")) }, 0},
		{"two lines", func(f *wirepb.Frame) { replace(f, failedFrame("one\ntwo")) }, 0},
		{"escape", func(f *wirepb.Frame) { replace(f, failedFrame("\x1b[2J")) }, 0},
		{"right to left", func(f *wirepb.Frame) { replace(f, failedFrame("\u202e")) }, 0},
		{"long reason", func(f *wirepb.Frame) { replace(f, failedFrame(strings.Repeat("x", maxReason+1))) }, 0},
		{"reason of nothing", func(f *wirepb.Frame) { replace(f, rogueHeader(0)); f.Reason = "r" }, 0},
		{"cause of nothing", func(f *wirepb.Frame) { replace(f, rogueHeader(0)); f.Cause = 1 }, 0},
		{"page without payload", func(f *wirepb.Frame) { f.Pages[1] = page() }, 0},
		{"payload without page", func(f *wirepb.Frame) {}, addr.PageSize},
		{"half a page", func(f *wirepb.Frame) { f.Pages[1] = page() }, addr.PageSize / 2},
		{"too many", func(f *wirepb.Frame) {
			for range maxItems {
				f.Pages = append(f.Pages, request())
			}
		}, 0},
		{"too long", func(f *wirepb.Frame) {
			for range maxHeader {
				f.Pages = append(f.Pages, request())
			}
		}, 0},
		{"unknown field", func(f *wirepb.Frame) { f.ProtoReflect().SetUnknown([]byte{31 << 3 & 0x7f, 1}) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNode(t, transport, 1)
			got := make(chan uint64, 16)
			n.h.deliver = func(_ addr.NodeID, f *Frame) {
				for i := range f.Messages {
					got <- f.Messages[i].Lamport
				}
			}
			good := rogueHeader(1)
			good.Pages = []*wirepb.PageMessage{request()}
			good.Pages[0].Lamport = 42
			bad := rogueHeader(2)
			bad.Pages = []*wirepb.PageMessage{request(), request()}
			c.edit(bad)
			// Before it connects: it would be silent for long.
			first, second := rawFrame(t, good, 0), rawFrame(t, bad, c.payload)
			r := newRogue(t, n, transport)
			if err := r.send(first); err != nil {
				t.Fatal(err)
			}
			if err := r.send(second); err != nil {
				t.Fatal(err)
			}
			if err := await(t, n.h.down, "down"); !errors.Is(err, ErrMalformed) {
				t.Error(err)
			} else {
				t.Log(err)
			}
			if len(got) != 1 || <-got != 42 {
				t.Error("not exactly the good frame was delivered")
			}
		})
	}
}

// testTruncated ends a connection within a frame: nothing of it is delivered,
// and the link waits for repair.
func testTruncated(t *testing.T, transport string) {
	n := startNode(t, transport, 1, brief)
	n.h.deliver = func(addr.NodeID, *Frame) { t.Error("delivered") }
	f := rogueHeader(1)
	f.Pages = []*wirepb.PageMessage{request(), page()}
	raw := rawFrame(t, f, addr.PageSize)
	r := newRogue(t, n, transport)
	want := ErrSilent
	if transport == GRPC {
		want = ErrMalformed // a message of a stream comes whole or not at all
	}
	if err := r.send(raw[:len(raw)-1]); err != nil {
		t.Fatal(err)
	}
	if transport != GRPC {
		r.close()
	}
	if err := await(t, n.h.down, "down"); !errors.Is(err, want) {
		t.Error(err)
	}
}

// testDuplicate sends a frame twice on one connection, which an honest peer does
// not: it is dropped, with its page, and the next one is delivered.
func testDuplicate(t *testing.T, transport string) {
	n := startNode(t, transport, 1)
	got := make(chan uint64, 16)
	n.h.deliver = func(_ addr.NodeID, f *Frame) { got <- f.Messages[0].Lamport }
	r := newRogue(t, n, transport)
	for _, seq := range []uint64{1, 2, 1, 2, 3} {
		f := rogueHeader(seq)
		f.Pages = []*wirepb.PageMessage{page()}
		f.Pages[0].Lamport = seq
		if err := r.send(rawFrame(t, f, addr.PageSize)); err != nil {
			t.Fatal(err)
		}
	}
	for want := uint64(1); want <= 3; want++ {
		if seq := await(t, got, "a frame"); seq != want {
			t.Errorf("frame %d, expected %d", seq, want)
		}
	}
	if len(got) > 0 {
		t.Errorf("%d frames too many", len(got))
	}
	if s := n.Link(2).Stats(); s.Duplicates != 2 || s.FramesIn != 3 {
		t.Errorf("%+v", s)
	}
}
