package linearizability

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/history"
)

// turn is what is known of the holder of a lock with one fence.
type turn struct {
	acquire *Operation
	release *Operation   // that was answered well, or else the first open one
	refused []*Operation // releases that were answered "not held"
}

// byFences judges a lock without a search: the fences say in which order its
// turns came. It does not decide where a release was refused and an operation
// without an answer may be why. O(n log n).
func byFences(ops []*Operation) (c *conflict, decided bool) {
	turns := make(map[uint64]*turn)
	at := func(o *Operation) *turn {
		t := turns[o.Value]
		if t == nil {
			t = new(turn)
			turns[o.Value] = t
		}
		return t
	}
	open := false // there are acquires without an answer
	for _, o := range ops {
		if o.Op == history.OpAcquire && o.open() {
			open = true
			continue
		}
		// What was not granted says nothing.
		if o.Op == history.OpAcquire && o.Value != 0 {
			t := at(o)
			if t.acquire != nil {
				return &conflict{why: fmt.Sprintf("two turns have the fence %d", o.Value), ops: []*Operation{t.acquire, o},
					window: fences(o.Value)}, true
			}
			t.acquire = o
		}
		if o.Op != history.OpRelease {
			continue
		}
		if o.Value == 0 {
			if !o.open() && o.Result != 0 {
				return &conflict{why: "a turn without a fence has ended", ops: []*Operation{o}, window: &window{ops: []*Operation{o}}}, true
			}
			continue
		}
		t := at(o)
		switch {
		case o.open() && (t.release == nil || t.release.open() && o.Call < t.release.Call):
			t.release = o
		case o.open():
		case o.Result == 0:
			t.refused = append(t.refused, o)
		case t.release != nil && !t.release.open():
			return &conflict{why: fmt.Sprintf("the turn with fence %d ends twice", o.Value), ops: []*Operation{t.release, o},
				window: fences(o.Value)}, true
		default:
			t.release = o
		}
	}
	order := make([]uint64, 0, len(turns))
	for fence, t := range turns {
		if t.acquire != nil {
			order = append(order, fence)
			if t.release != nil && t.release.open() && len(t.refused) > 0 {
				return nil, false
			}
		} else if t.release != nil && !t.release.open() {
			return &conflict{why: fmt.Sprintf("nobody was granted the turn with fence %d that was given up", fence),
				ops: []*Operation{t.release}, window: fences(fence)}, true
		}
	}
	slices.SortFunc(order, cmp.Compare)
	return inTurn(order, turns, open)
}

// inTurn judges turns in their order. An open acquire may be why a release was
// refused: after the death of an owner, as far as anybody knows.
func inTurn(order []uint64, turns map[uint64]*turn, open bool) (c *conflict, decided bool) {
	chain := []*cluster{{lock: true}}
	enter := func(value uint64, by *Operation) *cluster {
		c := &cluster{lock: true, value: value, by: by, first: by, last: by}
		chain = append(chain, c)
		return c
	}
	for i, fence := range order {
		t := turns[fence]
		enter(fence, t.acquire).refused = t.refused
		last := i == len(order)-1
		if r := t.release; r != nil && (!r.open() || last || turns[order[i+1]].acquire.Old == 0) {
			enter(0, r)
			continue
		}
		if last {
			break
		}
		if next := turns[order[i+1]].acquire; next.Old == 0 {
			return &conflict{why: fmt.Sprintf("the lock is granted with fence %d, and the turn with fence %d has not ended", next.Value, fence),
				ops: []*Operation{t.acquire, next}, window: fences(fence, next.Value)}, true
		}
	}
	if c := inOrder(chain); c != nil {
		return c, true
	}
	_, c = newBlock(chain).earliest(always, Never)
	return c, c == nil || !open
}

// fences is a window of whole turns.
func fences(list ...uint64) *window {
	w := &window{values: make(map[uint64]bool)}
	for _, f := range list {
		w.values[f] = true
	}
	return w
}
