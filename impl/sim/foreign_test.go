package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// state is what every node remembers of every page.
func (w *World) state() string {
	var b strings.Builder
	for p := range w.cfg.Pages {
		s := w.snapshot(addr.PageNum(p))
		for i, at := range s.Places {
			sh := w.nodes[at.Node].shard
			b.Write(sh.AppendState(nil, addr.PageNum(p), at))
			if i < s.Leaves {
				l := sh.Leaf(addr.PageNum(p))
				fmt.Fprint(&b, l.Arrived, l.Grant, l.Recall)
			}
		}
	}
	return b.String()
}

// forge changes some fields of a message at random.
func forge(r *rand.Rand, m protocol.Message, nodes int) protocol.Message {
	place := func() addr.Place {
		return addr.Place{Node: addr.NodeID(r.IntN(nodes)), Tag: addr.Tag(r.IntN(4))}
	}
	change := []func(){
		func() { m.Kind = protocol.Kind(r.IntN(7)) },
		func() { m.Op = protocol.Op(r.IntN(5)) },
		func() { m.Have = protocol.Right(r.IntN(5)) },
		func() { m.Keep = protocol.Right(r.IntN(5)) },
		func() { m.Source = protocol.Source(r.IntN(5)) },
		func() { m.Dst = protocol.Dst(r.IntN(4)) },
		func() { m.Hit = !m.Hit },
		func() { m.Leaf = addr.NodeID(r.IntN(nodes + 1)) },
		func() { m.From = place() },
		func() { m.To = place() },
		func() { m.Generation = uint64(r.IntN(3)) },
		func() { m.Term = uint64(r.IntN(3)) },
		func() { m.FromIncarnation = addr.Incarnation(r.IntN(3)) },
		func() { m.ToIncarnation = addr.Incarnation(r.IntN(3)) },
	}
	for range 1 + r.IntN(3) {
		change[r.IntN(len(change))]()
	}
	return m
}

// foreign gives forged messages to cores in the middle of a run, and counts what
// became of them. A message that is refused or dropped must have changed nothing,
// and the run goes on as if it had never come; one that could have been true ends
// the run. The core panics only where another manager of the node, which the
// first one told, knows better. No legal message is ever refused: that is checked
// by every run of the suite.
func foreign(r *rand.Rand, cfg Config, steps int) (refused, dropped, taken int, err error) {
	w := New(cfg)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Failure:
			err = r
		default:
			panic(r)
		}
	}()
	var seen []protocol.Message
	w.cfg.Effects = func(_ addr.NodeID, e *protocol.Effect) {
		if e.Kind == protocol.Send {
			seen = append(seen, e.Msg)
		}
	}
	for range steps {
		w.Random()
		if len(seen) == 0 {
			continue
		}
		m := forge(r, seen[len(seen)-1-r.IntN(min(len(seen), 20))], cfg.Nodes)
		sh := w.nodes[m.To.Node].shard
		before, count := w.state(), sh.Counters().Dropped
		var b protocol.Batch
		panicked, stepErr := func() (panicked string, err error) {
			defer func() {
				switch r := recover().(type) {
				case nil:
				case *Failure: // the core took it, and the world follows what messages carry
					panicked = believed
				default:
					panicked = fmt.Sprint(r)
				}
			}()
			return "", sh.Step(protocol.Input{Kind: protocol.InMessage, Msg: &m}, &b)
		}()
		switch {
		case panicked == believed:
			return refused, dropped, taken + 1, nil
		case strings.HasPrefix(panicked, "mome: a message within node "):
			// It fitted at its manager, and contradicts what another manager of
			// this node knows.
			return refused, dropped, taken + 1, nil
		case panicked != "":
			return refused, dropped, taken, fmt.Errorf("%+v\nmade the core panic: %s", m, panicked)
		case errors.Is(stepErr, protocol.ErrForeign):
			refused++
		case stepErr != nil && !errors.Is(stepErr, protocol.ErrEarly):
			return refused, dropped, taken, fmt.Errorf("%+v: %w", m, stepErr)
		case stepErr == nil && sh.Counters().Dropped == count:
			return refused, dropped, taken + 1, nil
		default:
			dropped++
		}
		if after := w.state(); after != before || len(b.Effects) > 0 {
			return refused, dropped, taken, fmt.Errorf("%+v\nwas not taken (%v) and changed\n%s\nto\n%s", m, stepErr, before, after)
		}
	}
	w.Settle()
	return refused, dropped, taken, nil
}

// believed is in place of a panic: the world has failed, and not the core.
const believed = "believed"

const replayForeign = "go test ./impl/sim -run '^TestForeignMessages$'"

func TestForeignMessages(t *testing.T) {
	refused, dropped, taken := 0, 0, 0
	wd := world{}
	wd.each(1000, func(seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		a, b, c, err := foreign(r, Config{Nodes: 2 + r.IntN(5), Fanout: 2 + r.IntN(2), Pages: 1, Lateral: r.IntN(2) == 0,
			Check: 1, Seed: seed, Replay: replayForeign}, 400)
		if err != nil {
			t.Fatalf("%v\n%s -seed %d", err, replayForeign, seed)
		}
		refused, dropped, taken = refused+a, dropped+b, taken+c
	})
	t.Logf("%d refused, %d dropped, %d runs ended by one that could be true", refused, dropped, taken)
	if *seed < 0 && (refused == 0 || dropped == 0) {
		t.Error("the forgeries were not refused and dropped")
	}
}

// choices is a source of random numbers that begins with the fuzzer's bytes.
type choices struct {
	bytes []byte
	rest  rand.PCG
}

func (c *choices) Uint64() uint64 {
	if len(c.bytes) < 8 {
		return c.rest.Uint64()
	}
	v := binary.LittleEndian.Uint64(c.bytes)
	c.bytes = c.bytes[8:]
	return v
}

// FuzzForeign is the same, with the forgeries chosen by the fuzzer.
func FuzzForeign(f *testing.F) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		var forgeries []byte
		for range 64 {
			forgeries = binary.LittleEndian.AppendUint64(forgeries, r.Uint64())
		}
		f.Add(seed, uint8(seed), forgeries)
	}
	f.Fuzz(func(t *testing.T, seed uint64, shape uint8, forgeries []byte) {
		cfg := Config{Nodes: 2 + int(shape)%5, Fanout: 2 + int(shape)/5%2, Pages: 1, Lateral: shape&1 == 0, Check: 1, Seed: seed}
		if _, _, _, err := foreign(rand.New(&choices{bytes: forgeries}), cfg, 20+len(forgeries)/16); err != nil {
			t.Fatal(err)
		}
	})
}
