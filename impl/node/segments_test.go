package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// A message about a segment that came and went between two views waits for the
// view that tells of it, and no longer.
func TestEarlyMessageOfSegmentMissed(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	n, peer := nodes[0], nodes[1]
	missed := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Page: 5, Envelope: protocol.Envelope{Generation: 3, From: peer.leaf(), To: n.root(),
		FromIncarnation: peer.incarnation, ToIncarnation: n.incarnation, Epoch: n.config.View().Epoch, Term: 1}}
	receiver{n}.Deliver(peer.id, &wire.Frame{Messages: []protocol.Message{missed}, Pages: [][]byte{nil}})
	if got := n.tables()["early messages"]; got != 1 {
		t.Fatalf("%d messages wait for the segment of generation 3, want 1", got)
	}
	v := *n.config.View()
	v.Rev++
	v.Generation = 3
	if err := n.apply(&v); err != nil {
		t.Fatal(err)
	}
	if got := n.tables()["early messages"]; got != 0 {
		t.Errorf("%d messages wait for a segment that is gone", got)
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	if n.conf.Generation != 3 {
		t.Errorf("generation %d is in force, want 3", n.conf.Generation)
	}
}

// A message that says it is from another node than the one that sent it ends the
// run: it would count as the other's.
func TestSpeaksForAnother(t *testing.T) {
	nodes := startNodes(t, 3, func(*Config) {})
	n, peer, other := nodes[0], nodes[1], nodes[2]
	m := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Page: 5, Envelope: protocol.Envelope{Generation: 3, From: other.leaf(), To: n.root(),
		FromIncarnation: other.incarnation, ToIncarnation: n.incarnation, Epoch: n.config.View().Epoch, Term: 1}}
	receiver{n}.Deliver(peer.id, &wire.Frame{Messages: []protocol.Message{m}, Pages: [][]byte{nil}})
	if err := n.Err(); !errors.Is(err, protocol.ErrForeign) {
		t.Errorf("the node ends with %v, want %v", err, protocol.ErrForeign)
	}
	if got := n.tables()["early messages"]; got != 0 {
		t.Errorf("%d messages are kept, want none", got)
	}
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Ten thousand segments take no descriptor until they are used, and then one each:
// less than 20,000 in all.
func TestManySegments(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	const many = 10_000
	before := openFiles(t)
	var segments []*segment
	for i := range many {
		s, err := newSegment(addr.DefaultBase, coord.Segment{Name: fmt.Sprint("segment-", i), Generation: uint64(i + 1), First: addr.PageNum(i), Pages: 1})
		if err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
		segments = append(segments, s)
	}
	if now := openFiles(t); now > before {
		t.Errorf("%d descriptors with %d segments, and %d without", now, many, before)
	}
	for i, s := range segments {
		if err := n.openFrame(s); err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
		content := make([]byte, addr.PageSize)
		binary.NativeEndian.PutUint64(content, uint64(i))
		if err := s.frame.Fill(s.core.First, content); err != nil {
			t.Fatal(err)
		}
	}
	if now := openFiles(t); now > before+many {
		t.Errorf("%d descriptors with %d segments in use, and %d without", now, many, before)
	}
	for i, s := range segments {
		if got := binary.NativeEndian.Uint64(s.frame.Page(s.core.First)); got != uint64(i) {
			t.Fatalf("segment %d has %d", i, got)
		}
		n.closeFrame(s)
		s.release()
	}
	if now := openFiles(t); now > before {
		t.Errorf("%d descriptors when all segments are gone, and %d before", now, before)
	}
}
