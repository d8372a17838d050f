package sim

import (
	"cmp"
	"slices"

	"github.com/mome-dsm/mome/impl/protocol"
)

// Barriers is a world of processes that join, wait, leave and die.
type Barriers struct {
	*Syncs
	posts map[uint64][]protocol.BarrierState // at the homes: the generations, the oldest first
	lives map[lifeKey]*barrierLife
	given map[givenKey]uint64 // the generation of a seat that a node has heard of last
}

// seated says whether the home has given a seat to a process.
func seated(b *protocol.BarrierState, id uint64) bool {
	return slices.ContainsFunc(b.Seats, func(s protocol.HomeSeat) bool { return s.Party == id })
}

// behind says whether all who have or have had a seat have left the older
// generation.
func behind(b, older *protocol.BarrierState) bool {
	for _, s := range b.Seats {
		if !slices.Contains(older.Left, s.Index) {
			return false
		}
	}
	return !slices.ContainsFunc(b.Left, func(i uint32) bool { return !slices.Contains(older.Left, i) })
}

// lifeKey names a generation of a barrier, givenKey a seat and a process.
type (
	lifeKey  struct{ barrier, generation uint64 }
	givenKey struct {
		seatKey
		process uint64
	}
)

// barrierLife is what the processes did in a generation.
type barrierLife struct {
	came map[uint32]uint64 // seat: the last round that its party has come to
	lost uint64            // the first round that a party which is gone does not come to, or 0
}

func (w *Barriers) life(barrier, generation uint64) *barrierLife {
	key := lifeKey{barrier, generation}
	l := w.lives[key]
	if l == nil {
		l = &barrierLife{came: make(map[uint32]uint64)}
		w.lives[key] = l
	}
	return l
}

type seatKey struct {
	barrier uint64
	index   uint32
}

type barrierSeat struct {
	generation uint64
	round      uint64 // the next
	broken     bool
	left       bool // a Leave has no answer yet
}

// NewBarriers makes a world in which nothing has happened yet.
func NewBarriers(cfg SyncConfig) *Barriers {
	w := &Barriers{posts: make(map[uint64][]protocol.BarrierState), lives: make(map[lifeKey]*barrierLife), given: make(map[givenKey]uint64)}
	w.Syncs = newSyncs(cfg, w, 2)
	return w
}

// noticed implements objects: it keeps which generation a seat is of, of which a
// process is not told.
func (w *Barriers) noticed(e *protocol.SyncEvent) {
	if m := e.Message; e.Action == protocol.ActRecvJoined && m.Code == protocol.CodeOK {
		w.given[givenKey{seatKey{m.Object, m.Index}, m.Party}] = m.Generation
	}
}

// observed implements objects: rounds are over one after the other, none of a
// generation that is broken, and whoever dies with a seat breaks it; and nobody is
// ahead of one that needs him.
func (w *Barriers) observed(e *protocol.SyncEvent, home *protocol.SyncNode) {
	posts := home.Barrier(e.Object)
	was := w.posts[e.Object]
	w.posts[e.Object] = posts
	w.Counts["beside"] += max(0, len(posts)-1)
	for i := range posts {
		post := &posts[i]
		if e.Action == protocol.ActHomeRecvJoin && seated(post, e.Party) && !slices.Contains(w.alive, w.parties[e.Party-1]) {
			w.life(e.Object, post.Generation).loses(1)
		}
		if w.fell == nil {
			w.fell = w.watchGeneration(e, was, posts[:i], post)
		}
	}
}

func (w *Barriers) watchGeneration(e *protocol.SyncEvent, all, older []protocol.BarrierState, post *protocol.BarrierState) *Violation {
	var was protocol.BarrierState
	if i := slices.IndexFunc(all, func(b protocol.BarrierState) bool { return b.Generation == post.Generation }); i >= 0 {
		was = all[i]
	}
	about := post.Generation == e.Message.Generation
	dies := e.Action == protocol.ActHomeRecvLeave && e.Message.Code == protocol.CodePartyDied
	switch {
	case post.Over != was.Over && post.Over != was.Over+1:
		return violated("Rounds", "barrier %d: round %d is over after round %d", e.Object, post.Over, was.Over)
	case was.Broken && (!post.Broken || post.Over != was.Over):
		return violated("Broken", "barrier %d was broken: %+v", e.Object, *post)
	case dies && about && !post.Broken:
		return violated("Death", "barrier %d is not broken by the death of process %d", e.Object, e.Party)
	case e.Action == protocol.ActHomeRecvJoin && len(was.Left) > 0 && len(post.Seats) > len(was.Seats) && !post.Broken:
		w.Counts["late"]++
	}
	for i := range older {
		if !older[i].Broken && !behind(post, &older[i]) {
			return violated("Turn", "barrier %d: generation %d needs who is in generation %d", e.Object, older[i].Generation, post.Generation)
		}
	}
	return nil
}

// act implements objects.
func (w *Barriers) act() *Violation {
	p := w.someone()
	key := seatKey{uint64(w.rng.IntN(w.cfg.Objects)), uint32(w.rng.IntN(int(w.cfg.Parties)))}
	switch x := w.rng.IntN(40); {
	case x < 10:
		if p.joins(key) {
			return nil
		}
		v := w.join(p, key)
		if v == nil && w.rng.IntN(16) == 0 {
			v = w.die(p) // before it knows that it has the seat, if the home is elsewhere
		}
		return v
	case x < 37:
		if key, s := w.someSeat(p); s != nil {
			return w.await(p, key, w.rng.IntN(6) == 0)
		}
	case x < 39:
		if key, s := w.someSeat(p); s != nil && (s.broken || w.rng.IntN(4) == 0) {
			return w.leave(p, key)
		}
	case w.rng.IntN(3) == 0:
		return w.die(p)
	}
	return nil
}

// someSeat is one that the process has and does not leave, or nil.
func (w *Barriers) someSeat(p *party) (seatKey, *barrierSeat) {
	keys := p.kept()
	if len(keys) == 0 {
		return seatKey{}, nil
	}
	key := keys[w.rng.IntN(len(keys))]
	return key, p.seats[key]
}

// kept are the seats that it has and does not leave, in order.
func (p *party) kept() (keys []seatKey) {
	for key, s := range p.seats {
		if !s.left {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b seatKey) int {
		return cmp.Or(cmp.Compare(a.barrier, b.barrier), cmp.Compare(a.index, b.index))
	})
	return keys
}

// joins says whether a Join of the process for the seat has no answer yet, or it
// has the seat.
func (p *party) joins(key seatKey) bool {
	return p.asks(protocol.InBarrierJoin, key.barrier, key.index) || p.seats[key] != nil
}

func (p *party) waits(key seatKey) bool {
	return p.asks(protocol.InBarrierWait, key.barrier, key.index)
}

func (w *Barriers) join(p *party, key seatKey) *Violation {
	return w.request(p, protocol.SyncInput{Kind: protocol.InBarrierJoin, Object: key.barrier, Index: key.index, Parties: w.cfg.Parties})
}

// await comes to the next round, or asks for the one before it again.
func (w *Barriers) await(p *party, key seatKey, again bool) *Violation {
	s := p.seats[key]
	round := s.round
	if again && round > 1 {
		round--
	} else if came := w.life(key.barrier, s.generation).came; !s.broken {
		came[key.index] = round
	}
	return w.request(p, protocol.SyncInput{Kind: protocol.InBarrierWait, Object: key.barrier, Index: key.index, Parties: w.cfg.Parties, Round: round})
}

func (w *Barriers) leave(p *party, key seatKey) *Violation {
	p.seats[key].left = true
	l := w.life(key.barrier, p.seats[key].generation)
	l.loses(l.came[key.index] + 1)
	return w.request(p, protocol.SyncInput{Kind: protocol.InBarrierLeave, Object: key.barrier, Index: key.index})
}

func (l *barrierLife) loses(round uint64) {
	if l.lost == 0 || round < l.lost {
		l.lost = round
	}
}

// dies implements objects.
func (w *Barriers) dies(p *party) {
	for _, key := range p.kept() {
		w.life(key.barrier, p.seats[key].generation).loses(p.seats[key].round)
	}
	// What it does not know yet that it has it gives up at once.
	for _, in := range p.open {
		for _, post := range w.posts[in.Object] {
			if in.Kind == protocol.InBarrierJoin && seated(&post, p.id) {
				w.life(in.Object, post.Generation).loses(1)
			}
		}
	}
}

// answered implements objects.
func (w *Barriers) answered(p *party, in protocol.SyncInput, a protocol.Answer) *Violation {
	key := seatKey{in.Object, in.Index}
	switch a.Kind {
	case protocol.InBarrierJoin:
		return w.watchJoin(p, key, a)
	case protocol.InBarrierWait:
		return w.watchWait(p, key, in.Round, a)
	}
	if a.Code != protocol.CodeOK {
		return violated("NoLostRequest", "a leave of process %d: %v", p.id, a.Code)
	}
	delete(p.seats, key)
	return nil
}

func (w *Barriers) watchJoin(p *party, key seatKey, a protocol.Answer) *Violation {
	if a.Code != protocol.CodeOK {
		w.Counts["refused"]++
		return nil
	}
	generation := w.given[givenKey{key, p.id}]
	p.seats[key] = &barrierSeat{generation: generation, round: 1}
	for _, q := range w.alive {
		if s := q.seats[key]; q != p && s != nil && !s.left && s.generation == generation {
			return violated("Seat", "seat %+v: processes %d and %d have it", key, q.id, p.id)
		}
	}
	return nil
}

func (w *Barriers) watchWait(p *party, key seatKey, round uint64, a protocol.Answer) *Violation {
	s := p.seats[key]
	l := w.life(key.barrier, s.generation)
	switch a.Code {
	case protocol.CodeOK:
		if round == s.round {
			s.round++
			w.Counts["passed"]++
		}
		for i := range w.cfg.Parties {
			if l.came[i] < round {
				return violated("Passed", "barrier %d: round %d is over, and seat %d has come to %d", key.barrier, round, i, l.came[i])
			}
		}
	case protocol.CodePartyDied:
		s.broken = true
		w.Counts["broken"]++
		if !s.left && (l.lost == 0 || round < l.lost) {
			return violated("Lost", "barrier %d: nobody is gone that round %d needs", key.barrier, round)
		}
	case protocol.CodeCanceled:
	default:
		return violated("Over", "a wait of process %d for round %d: %v", p.id, round, a.Code)
	}
	return nil
}

// finish implements objects: it has a party come to each seat until nobody waits, and demands that this
// is so soon. Then everybody leaves.
func (w *Barriers) finish() error {
	for again := 6*int(w.cfg.Parties) + 8; ; again-- {
		if v := w.settle(); v != nil {
			return v
		}
		waits := w.whoWaits()
		if waits == nil {
			break
		}
		if again == 0 {
			return violated("WaitEnds", "process %d waits in vain: %+v", waits.id, waits.open)
		}
		if v := w.everybodyComes(); v != nil {
			return v
		}
	}
	for len(w.seated()) > 0 {
		for _, p := range w.seated() {
			for _, key := range p.kept() {
				if v := w.leave(p, key); v != nil {
					return v
				}
			}
		}
		if v := w.settle(); v != nil {
			return v
		}
	}
	for _, p := range w.alive {
		if len(p.open) > 0 {
			return violated("NoLostRequest", "process %d has no answer: %+v", p.id, p.open)
		}
	}
	return nil
}

func (w *Barriers) whoWaits() *party {
	for _, p := range w.alive {
		for _, key := range p.kept() {
			if p.waits(key) {
				return p
			}
		}
	}
	return nil
}

func (w *Barriers) seated() (all []*party) {
	for _, p := range w.alive {
		if len(p.kept()) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// everybodyComes has the seats of all barriers where somebody waits taken, and
// those who have one come to the round that is waited for; who has heard that his
// generation is broken leaves, and who is waited for in a later one only.
func (w *Barriers) everybodyComes() *Violation {
	for b := range uint64(w.cfg.Objects) {
		if !slices.ContainsFunc(w.alive, func(p *party) bool { return p.waitsAt(b) }) {
			continue
		}
		for i := range w.cfg.Parties {
			if v := w.comes(seatKey{b, i}); v != nil {
				return v
			}
		}
	}
	return nil
}

// comes has whoever has a seat do what is next for him, and if nobody has it who
// can come to a round, somebody joins.
func (w *Barriers) comes(key seatKey) *Violation {
	var free *party
	taken := false
	for _, p := range w.alive {
		s := p.seats[key]
		var v *Violation
		switch {
		case s == nil:
			if !p.joins(key) && free == nil {
				free = p
			}
			taken = taken || p.joins(key)
		case s.left:
		case s.broken:
			v = w.leave(p, key)
		default:
			taken = true
			switch round, later := w.waitedFor(key.barrier, s.generation); {
			case s.round <= round && !p.waits(key):
				v = w.await(p, key, false)
			case s.round > round && later:
				v = w.leave(p, key)
			}
		}
		if v != nil {
			return v
		}
	}
	if taken || free == nil {
		return nil
	}
	return w.join(free, key)
}

func (p *party) waitsAt(barrier uint64) bool {
	for _, in := range p.open {
		if in.Kind == protocol.InBarrierWait && in.Object == barrier {
			return true
		}
	}
	return false
}

// waitedFor is the last round of a generation that somebody waits for, or 0, and
// whether somebody waits in a later one.
func (w *Barriers) waitedFor(barrier, generation uint64) (round uint64, later bool) {
	for _, p := range w.alive {
		for _, in := range p.open {
			if in.Kind != protocol.InBarrierWait || in.Object != barrier {
				continue
			}
			switch s := p.seats[seatKey{in.Object, in.Index}]; {
			case s.generation == generation:
				round = max(round, in.Round)
			case s.generation > generation:
				later = true
			}
		}
	}
	return round, later
}
