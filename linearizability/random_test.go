package linearizability

import (
	"math/rand/v2"

	"github.com/mome-dsm/mome/impl/history"
)

// random makes histories of one word, or one lock, that are linearizable because
// every operation takes effect at one moment.
type random struct {
	*rand.Rand
	ops     []string // to choose from
	unique  bool     // every write stores a value of its own
	open    bool     // some operations are never answered
	clients int
	count   int // of operations
}

// running is a client's operation.
type running struct {
	op      Operation
	called  bool
	applied bool
}

func (r *random) history() []Operation {
	var (
		all     []Operation
		now     = int64(1)
		value   uint64
		next    = uint64(100)
		lock    lockState
		held    = make([]uint64, r.clients) // fences
		known   []uint64                    // of all turns whose holder was told
		clients = make([]running, r.clients)
	)
	tick := func() int64 {
		if r.IntN(4) > 0 { // else at the same instant
			now++
		}
		return now
	}
	fresh := func() uint64 {
		if next++; r.unique {
			return next
		}
		return r.Uint64N(4)
	}
	for len(all) < r.count {
		client := r.IntN(r.clients)
		c := &clients[client]
		switch o := &c.op; {
		case !c.called:
			*c = running{called: true, op: Operation{Line: len(all) + 2, Operation: history.Operation{Client: client, Object: "it",
				Op: r.ops[r.IntN(len(r.ops))], Call: tick(), Return: Never}}}
			switch o.Op {
			case history.OpWrite, history.OpCAS:
				o.Value = fresh()
				if o.Old = value; r.IntN(4) == 0 {
					o.Old = r.Uint64N(4)
				}
			case history.OpAdd:
				if o.Value = uint64(1 + r.IntN(3)); !r.unique && r.IntN(2) == 0 {
					o.Value = -o.Value
				}
			case history.OpRelease:
				if o.Value = held[client]; o.Value == 0 && len(known) > 0 {
					o.Value = known[r.IntN(len(known))]
				}
				held[client] = 0
			}
		case !c.applied:
			c.applied = true
			switch o.Op {
			case history.OpRead:
				o.Value = value
			case history.OpWrite:
				value = o.Value
			case history.OpCAS:
				if value == o.Old {
					value, o.Result = o.Value, 1
				}
			case history.OpAdd:
				value += o.Value
				o.Result = value
			case history.OpAcquire:
				died := r.IntN(8) == 0
				if lock.holder == 0 || died {
					lock.last += 1 + r.Uint64N(2)
					lock.holder, o.Value = lock.last, lock.last
					if died {
						o.Old = 1
					}
				}
			case history.OpRelease:
				if o.Value != 0 && lock.holder == o.Value {
					lock.holder, o.Result = 0, 1
				}
			}
		case r.open && r.IntN(40) == 0:
			// It never answers, and its client does nothing more.
			if o.Op == history.OpAcquire {
				o.Value, o.Old = 0, 0
			}
			if o.Op != history.OpCAS {
				o.Result = 0
			}
			all = append(all, *o)
			*c = running{}
		default:
			o.Return = tick()
			if o.Op == history.OpAcquire && o.Value != 0 {
				held[client] = o.Value
				known = append(known, o.Value)
			}
			all = append(all, *o)
			*c = running{}
		}
	}
	// Operations that took effect and are not written down were not called.
	for i := range clients {
		if c := &clients[i]; c.called && c.applied {
			o := c.op
			if o.Return = Never; !r.open {
				o.Return = tick()
			}
			if o.Op == history.OpAcquire && r.open {
				o.Value, o.Old = 0, 0
			}
			all = append(all, o)
		}
	}
	return all
}

// corrupt changes a history a little, so that it may not be linearizable any
// more.
func (r *random) corrupt(all []Operation) {
	for range 1 + r.IntN(3) {
		o, p := &all[r.IntN(len(all))], &all[r.IntN(len(all))]
		switch r.IntN(5) {
		case 0:
			if o.Op == p.Op { // the answers are those of each other
				o.Value, p.Value, o.Old, p.Old, o.Result, p.Result = p.Value, o.Value, p.Old, o.Old, p.Result, o.Result
			}
		case 1:
			if o.Op == history.OpAdd {
				o.Result -= r.Uint64N(3)
			} else if o.Op != history.OpAcquire && o.Op != history.OpRead {
				o.Result ^= 1
			} else if !o.open() {
				o.Value = p.Value
			}
		case 2: // it comes later
			if !o.open() {
				o.Call += r.Int64N(8)
				o.Return = max(o.Call, o.Return+r.Int64N(8))
			}
		case 3: // it comes earlier
			if !o.open() {
				o.Return = max(1, o.Return-r.Int64N(8))
				o.Call = min(o.Call, o.Return)
			}
		case 4: // it is shorter
			if !o.open() {
				o.Call += (o.Return - o.Call) / 2
			}
		}
	}
}
