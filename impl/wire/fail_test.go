package wire

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// expectFailure waits for the Down that tells of a peer's failure.
func expectFailure(t *testing.T, n *node, cause addr.NodeID, reason string) {
	t.Helper()
	err := await(t, n.h.down, "down")
	t.Log(err)
	var f *PeerFailure
	if !errors.Is(err, ErrPeerFailed) || !errors.As(err, &f) || *f != (PeerFailure{cause, reason}) {
		t.Errorf("%v, expected the failure of node %d: %s", err, cause, reason)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("%v does not say %q", err, reason)
	}
}

// eitherFails runs a test where the node of the lower id fails, and of the higher.
func eitherFails(t *testing.T, run func(t *testing.T, low bool)) {
	t.Run("low", func(t *testing.T) { run(t, true) })
	t.Run("high", func(t *testing.T) { run(t, false) })
}

// testFail has a node fail while it takes a message: the peer hears why, nothing
// else is delivered at either end, and nothing is down at the one that failed.
func testFail(t *testing.T, transport string) {
	eitherFails(t, func(t *testing.T, low bool) {
		a, b := startNode(t, transport, 1), startNode(t, transport, 2)
		fails, stays := a, b
		if !low {
			fails, stays = b, a
		}
		taken := make(chan struct{}, 16)
		fails.h.deliver = func(peer addr.NodeID, f *Frame) {
			l := fails.Link(peer)
			l.Append(&protocol.Message{Kind: protocol.Grant}, nil)
			fails.Fail(7, "a segment\nis lost\x1b[2J")
			fails.Fail(8, "because of it")
			l.Append(&protocol.Message{Kind: protocol.Grant}, nil)
			l.Flush()
			taken <- struct{}{}
		}
		stays.h.deliver = func(addr.NodeID, *Frame) { t.Error("a message of a node that has failed") }
		connect(t, a, b, a.address())
		await(t, a.h.up, "up")
		await(t, b.h.up, "up")
		l := stays.Link(fails.cfg.Self)
		l.Append(&protocol.Message{Kind: protocol.Req}, nil)
		l.Flush()
		await(t, taken, "the first message")
		l.Append(&protocol.Message{Kind: protocol.Req}, nil)
		l.Flush()
		expectFailure(t, stays, 7, "a segment is lost [2J")
		if _, err := fails.Connect(9, "", 1); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		fails.close()
		if len(fails.h.down) > 0 {
			t.Error("down at the node that failed")
		}
		if len(taken) > 0 {
			t.Error("a message was delivered after the failure")
		}
	})
}

// testFailStuck has a node fail while more waits to be sent than its peer takes:
// the peer is told as soon as it reads again, behind what was on its way.
func testFailStuck(t *testing.T, transport string) {
	const total = 4000
	a, b := startNode(t, transport, 1, narrow), startNode(t, transport, 2, narrow)
	stuck, release := make(chan struct{}), make(chan struct{})
	var got atomic.Int64
	b.h.deliver = func(_ addr.NodeID, f *Frame) {
		if got.Load() == 0 {
			close(stuck)
			<-release
		}
		for i := range f.Messages {
			if want := got.Add(1) - 1; f.Messages[i].Lamport != uint64(want) {
				t.Errorf("message %d, expected %d", f.Messages[i].Lamport, want)
			}
		}
	}
	la, _ := connect(t, a, b, a.address())
	page := make([]byte, addr.PageSize)
	for n := range total {
		m := pageMessage(n)
		la.Append(&m, page)
		la.Flush()
	}
	await(t, stuck, "a message")
	a.Fail(1, "stuck")
	close(release)
	expectFailure(t, b, 1, "stuck")
	if n := got.Load(); n == 0 || n == total {
		t.Errorf("%d messages of %d", n, total)
	}
}

// testFailApart has a node fail while its link is without a connection: the peer
// hears why on the next one.
func testFailApart(t *testing.T, transport string) {
	eitherFails(t, func(t *testing.T, low bool) {
		a, b := startNode(t, transport, 1), startNode(t, transport, 2)
		p := newProxy(t, a.address())
		x := newTraffic(t, a, b)
		x.a, x.b = connect(t, a, b, p.address())
		x.exchange()
		fails, stays, l := a, b, x.a
		if !low {
			fails, stays, l = b, a, x.b
		}
		nowhere, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nowhere.Close()
		p.redirect(nowhere.Addr().String())
		p.cut()
		eventually(t, "no connection", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.cur == nil
		})
		l.Append(&protocol.Message{Kind: protocol.Grant}, nil)
		l.Flush()
		fails.Fail(stays.cfg.Self, "the other one is the cause")
		p.redirect(a.address())
		expectFailure(t, stays, stays.cfg.Self, "the other one is the cause")
	})
}

// TestCut says that of a batch on its way only what has begun goes on.
func TestCut(t *testing.T) {
	frame := func(seq uint64, pages int) *outFrame {
		f := &outFrame{seq: seq, buf: make([]byte, frontRoom)}
		for range pages {
			p := new(pageBuffer)
			p.slice = p.data[:]
			f.pages = append(f.pages, p)
		}
		f.seal(&header{seq: seq})
		return f
	}
	rapid.Check(t, func(t *rapid.T) {
		var b batch
		var ends []int // of the frames
		for i := range rapid.IntRange(1, 5).Draw(t, "frames") {
			b.add(frame(uint64(i+1), rapid.IntRange(0, 3).Draw(t, "pages")))
			ends = append(ends, b.size)
		}
		frames := len(b.frames)
		b.sent = rapid.IntRange(0, b.size).Draw(t, "sent")
		want := 0
		for _, end := range ends {
			if want < b.sent {
				want = end
			}
		}
		b.cut()
		got := 0
		for _, buf := range b.bufs {
			got += len(buf)
		}
		if b.size != want || got != want || len(b.frames) != frames {
			t.Fatalf("%d bytes in %d, expected %d; %d frames of %d", got, b.size, want, len(b.frames), frames)
		}
	})
	var b batch
	b.add(frame(0, 0))
	if size := b.size; size == 0 {
		t.Fatal("an empty frame")
	} else if b.cut(); b.size != size {
		t.Error("a control frame was cut")
	}
}

// TestOneLine says that any text becomes a reason that may travel, and that one
// that may stays as it is.
func TestOneLine(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"node 3 is lost: 80 %", "node 3 is lost: 80 %"},
		{" a\r\nb\u2028c\u202ed\x00 ", "a  b c d"},
		{"\xff\xfe", "\ufffd\ufffd"},
		{"\n", "it does not say why"},
		{strings.Repeat("é", maxReason), strings.Repeat("é", (maxReason-3)/2) + "…"},
	} {
		if got := oneLine(c.in); got != c.out {
			t.Errorf("%q becomes %q, expected %q", c.in, got, c.out)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := oneLine(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")))
		if s == "" || !isClean(s) || oneLine(s) != s {
			t.Fatalf("%q", s)
		}
	})
}
