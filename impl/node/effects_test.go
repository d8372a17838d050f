package node

import (
	"runtime"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
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
	data := protocol.Message{Kind: protocol.Data, Data: protocol.PageData}
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
