package node

import (
	"runtime"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
)

func TestJoin(t *testing.T) {
	var keep [][]byte // their memory stays in use
	defer func() { runtime.KeepAlive(keep) }()
	whole := make([]byte, 4*addr.PageSize)
	page := func(i int) []byte { return whole[i*addr.PageSize:][:addr.PageSize:addr.PageSize] }
	for _, c := range []struct {
		name string
		a, b []byte
		ok   bool
		n    int
	}{
		{"neighbours", page(0), page(1), true, 2 * addr.PageSize},
		{"a gap", page(0), page(2), false, addr.PageSize},
		{"backwards", page(1), page(0), false, addr.PageSize},
		{"nothing with nothing", nil, nil, true, 0},
		{"something with nothing", page(0), nil, false, addr.PageSize},
	} {
		if got, ok := join(c.a, c.b); ok != c.ok || len(got) != c.n {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), ok)
		}
	}
	// Where memory ends a pointer must not even be made.
	for range 64 {
		other := make([]byte, 4*addr.PageSize)
		last := other[3*addr.PageSize:]
		if got, ok := join(last, page(0)); ok || len(got) != addr.PageSize {
			t.Errorf("the end of other memory: %d bytes, %v", len(got), ok)
		}
		keep = append(keep, other)
	}
	three, _ := join(page(0), page(1))
	if three, ok := join(three, page(2)); !ok || &three[0] != &whole[0] || len(three) != 3*addr.PageSize {
		t.Error("three neighbours are not one")
	}
}

// A batch is carried out in passes only if that keeps the order of the effects
// on each page.
func TestInPasses(t *testing.T) {
	data := protocol.Message{Kind: protocol.Data}
	ack := protocol.Message{Kind: protocol.Ack}
	effect := func(k protocol.EffectKind, p addr.PageNum, m protocol.Message) protocol.Effect {
		return protocol.Effect{Kind: k, Page: p, Msg: m}
	}
	taken := func(p addr.PageNum) []protocol.Effect {
		return []protocol.Effect{effect(protocol.FrameProtect, p, ack), effect(protocol.Send, p, data),
			effect(protocol.FrameDrop, p, ack), effect(protocol.Send, p, ack)}
	}
	given := func(p addr.PageNum) []protocol.Effect {
		return []protocol.Effect{effect(protocol.FrameFill, p, ack), effect(protocol.FrameGrant, p, ack)}
	}
	for _, c := range []struct {
		name string
		list []protocol.Effect
		want bool
	}{
		{"pages that are taken away", append(taken(1), taken(2)...), true},
		{"pages that are given", append(given(1), given(2)...), true},
		{"one that is given, then taken", append(given(1), taken(1)...), false},
	} {
		s := shard{batch: protocol.Batch{Effects: c.list}}
		if got := s.inPasses(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Whatever reads a frame, or a home, finds what the batch has filled before, and
// nothing that it fills later, whether or not a process took the content.
func TestFillsInOrder(t *testing.T) {
	const page = addr.PageNum(5)
	fill, grant, drop := protocol.FrameFill, protocol.FrameGrant, protocol.FrameDrop
	toHome, fromHome := protocol.FrameToHome, protocol.HomeToFrame
	fillHome, dropHome, zero, protect := protocol.HomeFill, protocol.HomeDrop, protocol.FrameZero, protocol.FrameProtect
	for _, c := range []struct {
		name        string
		list        []protocol.EffectKind
		frame, home byte // what is there afterwards: the number of the payload, or zero
	}{
		{"filled, and nobody takes it", []protocol.EffectKind{fill}, 1, 0},
		{"filled, then read", []protocol.EffectKind{fill, grant, protect, toHome}, 1, 1},
		{"filled, read and dropped", []protocol.EffectKind{fill, grant, protect, toHome, drop}, 0, 1},
		{"filled and dropped", []protocol.EffectKind{fill, drop}, 0, 0},
		{"dropped, then filled", []protocol.EffectKind{fill, drop, fill}, 2, 0},
		{"read between two fills", []protocol.EffectKind{fill, toHome, drop, fill}, 2, 1},
		{"zeros, then read", []protocol.EffectKind{fillHome, zero, toHome}, 0, 0},
		{"filled from the home", []protocol.EffectKind{fill, fillHome, drop, fromHome}, 2, 2},
		{"the home is filled behind a reader", []protocol.EffectKind{fillHome, fromHome, fillHome}, 1, 2},
		{"the home is dropped, then filled", []protocol.EffectKind{fillHome, dropHome, fillHome}, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			seg, err := newSegment(addr.DefaultBase, coord.Segment{Pages: 8})
			if err == nil {
				err = seg.file.Open()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer seg.release()
			n := &Node{}
			n.segments.Store(new(segmentTable))
			n.segments.Load().pages.Set(0, seg)
			for _, inputs := range []int{1, len(c.list)} { // one by one, and perhaps in passes
				s := shard{node: n, inputs: inputs}
				for _, k := range c.list {
					s.batch.Effects = append(s.batch.Effects, protocol.Effect{Kind: k, Page: page, Access: protocol.Write})
					if k == fill || k == fillHome {
						content := make([]byte, addr.PageSize)
						content[0] = byte(len(s.payloads.list) + 1)
						s.payloads.add(content)
					}
				}
				s.carryOut()
				if got := seg.frame.Page(page)[0]; got != c.frame {
					t.Errorf("%d inputs: the frame has %d, want %d", inputs, got, c.frame)
				}
				home := byte(0)
				if seg.masters[0].Len() > 0 {
					home = s.master(page)[0]
					s.dropMaster(page)
				}
				if home != c.home {
					t.Errorf("%d inputs: the home has %d, want %d", inputs, home, c.home)
				}
				if err := seg.frame.Punch(page, 1); err != nil {
					t.Fatal(err)
				}
				if err := s.pool.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
