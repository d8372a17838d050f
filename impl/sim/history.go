package sim

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/history"
)

// History is what the processes of a World have seen: their loads and stores in
// simulated time, which goes on by one with each event. A world that records one
// is blind: what a broken core lets the processes see is to be found in the
// history.
type History struct {
	Operations []history.Operation
	// Stale are the loads that returned something else than the atomic memory
	// had at that moment. A load that was under way for some time may be right
	// nevertheless.
	Stale int
	// Wrong are the stale loads that no order of the operations explains: their
	// value was replaced by a store that was called after the value's own store
	// had returned, and that had returned before the load was called.
	Wrong int

	now    int64
	calls  map[access]int64
	stores map[word][]interval
	stored map[uint64]interval // by value; that of 0 is the zero interval
}

type access struct {
	node addr.NodeID
	proc int
	page addr.PageNum
}

// interval is the time from the call of an operation to its return.
type interval struct{ call, end int64 }

// RecordHistory begins a history, and makes the world blind (Config.Blind).
//
// Preconditions: nothing has happened yet.
func (w *World) RecordHistory() *History {
	w.cfg.Blind = true
	w.history = &History{calls: make(map[access]int64), stores: make(map[word][]interval), stored: make(map[uint64]interval)}
	return w.history
}

func (h *History) tick() int64 {
	h.now++
	return h.now
}

// called notes that an access waits from now on: in place of a load that has
// waited, if it is a store.
func (h *History) called(n addr.NodeID, proc int, p addr.PageNum) {
	if h != nil {
		h.calls[access{n, proc, p}] = h.tick()
	}
}

// done records an access, one that has waited or that is done at once. last is
// what the atomic memory has, before a store.
func (h *History) done(w *World, n *node, proc int, p addr.PageNum, waited, write bool, value, last uint64) {
	if h == nil {
		return
	}
	call := h.now + 1
	if waited {
		call = h.calls[access{n.id, proc, p}]
	} else {
		h.tick()
	}
	here := interval{call, h.tick()}
	generation := w.generation(n, p)
	// A process has a thread for the loads and one for the stores of each page:
	// it may wait for several pages, and load while it waits to store.
	client := 2 * ((int(n.id)*w.cfg.Processes+proc)*w.cfg.Pages + int(p))
	o := history.Operation{Client: client, Op: history.OpRead, Object: fmt.Sprintf("simulated@%d", generation), Word: uint64(p),
		Value: value, Call: here.call, Return: here.end}
	k := word{generation, p}
	if write {
		o.Op = history.OpWrite
		o.Client++
		h.stores[k] = append(h.stores[k], here)
		h.stored[value] = here
	} else if value != last {
		h.Stale++
		for _, s := range h.stores[k] {
			if s.call > h.stored[value].end && s.end < here.call {
				h.Wrong++
				break
			}
		}
	}
	h.Operations = append(h.Operations, o)
}

// Play takes random steps, and then, to settle, lets everything come to an end,
// which a broken core may never do. It returns the Failure that ended it earlier,
// if one did.
func (w *World) Play(steps int, settle bool) (f *Failure) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Failure:
			f = r
		default:
			panic(r)
		}
	}()
	for range steps {
		w.Random()
	}
	if settle {
		w.Settle()
	}
	return nil
}
