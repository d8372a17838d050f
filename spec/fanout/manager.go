package main

// Move is one step of the whole: of the manager, of a child, or of the parent.
// Strong.tla has a handler and all the decisions that follow it in one step. Here
// each decision is a step, and may come at any time that its guard holds: whatever
// Strong does is a sequence of these.
type Move struct {
	name  string
	may   *Term
	needs []Need // what must hold where the move is made, so that it is written down rightly
	after *State
	leaf  *Term  // for whom Data was taken, if some was
	mover *Term  // the child whose own step it is, or nil
	by    string // "manager", "kid", "parent"
}

// Need is something that must be shown.
type Need struct {
	name string
	is   *Term
}

func (s *State) move(name, by string, may *Term, edit func(t *State), needs ...Need) *Move {
	t := *s
	edit(&t)
	return &Move{name: name, by: by, may: may, after: &t, needs: needs, leaf: HomeLeaf}
}

func (s *State) rightOf() *Term {
	if s.root {
		return Write
	}
	return s.right
}

func (s *State) marked(k *Term) *Term { return differ(s.rec(k), None) }
func (s *State) owns(k *Term) *Term   { return atMost(Owned, s.rec(k)) }

func (s *State) noOwner() *Term { return forall(Kid, func(k *Term) *Term { return not(s.owns(k)) }) }

// recallFrom sends a Recall to a child.
func (t *State) recallFrom(s *State, k, keep, dst, leaf *Term) {
	t.kidRecall = at(s.kidRecall, k, True)
	t.kidRecallKeep = at(s.kidRecallKeep, k, keep)
	t.kidRecallDst = at(s.kidRecallDst, k, dst)
	t.kidRecallLeaf = at(s.kidRecallLeaf, k, leaf)
}

// recallAll sends one to all that are in a set: None is to be kept, and the owner
// sends the page to dst.
func (t *State) recallAll(s *State, set func(k *Term) *Term, dst, leaf *Term) {
	t.kidRecall = func(k *Term) *Term { return or(set(k), s.kidRecall(k)) }
	t.kidRecallKeep = func(k *Term) *Term { return ite(set(k), None, s.kidRecallKeep(k)) }
	t.kidRecallDst = func(k *Term) *Term { return ite(set(k), ite(s.owns(k), dst, Nobody), s.kidRecallDst(k)) }
	t.kidRecallLeaf = func(k *Term) *Term { return ite(set(k), leaf, s.kidRecallLeaf(k)) }
}

// climb sends the request that is served to the parent.
func (t *State) climb(s *State, have *Term) {
	t.busyUp = True
	t.upOp, t.upLeaf, t.upHave, t.upAckFirst = s.busyOp, s.busyLeaf, have, s.upAck
}

func (t *State) acknowledge(s *State, keep *Term) {
	if !broken("step-ack-keeps-right") {
		t.right = lower(s.right, keep)
	}
	if broken("step-recall-ends-request") {
		t.busyOp = NoOp
	}
	t.recall = False
	t.upAck, t.upAckKeep, t.upAckHit, t.upAckFirst = True, lower(s.right, keep), s.recallHit, eq(s.upOp, NoOp)
}

func (t *State) finish(s *State, right, source *Term) {
	t.rec = at(s.rec, s.busyKid, right)
	t.busyOp = NoOp
	t.grantOp = at(s.grantOp, s.busyKid, s.busyOp)
	t.grantSource = at(s.grantSource, s.busyKid, source)
	t.grantLeaf = at(s.grantLeaf, s.busyKid, s.busyLeaf)
}

// managerMoves are the manager's steps. c is a child that a step is about.
func (s *State) managerMoves(c *Term) []*Move {
	var moves []*Move
	do := func(name string, may *Term, edit func(t *State), needs ...Need) {
		m := s.move(name, "manager", may, edit, needs...)
		moves = append(moves, m)
	}
	busy := differ(s.busyOp, NoOp)
	link := s.kidLink(c)

	// Messages.
	do("RecvReq", link.reqIsHead(), func(t *State) {
		t.queueOp = at(s.queueOp, c, s.reqOp(c))
		t.queueLeaf = at(s.queueLeaf, c, s.reqLeaf(c))
		t.queueHave = at(s.queueHave, c, s.reqHave(c))
		t.reqOp = at(s.reqOp, c, NoOp)
	}, Need{"one request of a child", eq(s.queueOp(c), NoOp)})

	do("RecvAck", link.ackIsHead(), func(t *State) {
		t.rec = at(s.rec, c, lower(s.rec(c), s.ackKeep(c)))
		t.ack = at(s.ack, c, False)
		t.recallWait = at(s.recallWait, c, and(not(s.recall), s.recallWait(c)))
		t.recallHit = or(s.recallHit, and(s.recall, s.ackHit(c)))
		t.busyWait = at(s.busyWait, c, and(s.recall, s.busyWait(c)))
		t.busySource = ite(and(not(s.recall), s.ackHit(c), differ(s.busyOp, WritebackOp)), Sent, s.busySource)
	}, Need{"an Ack is for somebody", or(s.recall, busy)})

	if !s.root {
		do("RecvGrant", and(differ(s.downOp, NoOp), busy, s.busyUp), func(t *State) {
			t.right = ite(eq(s.downOp, ReadOp), higher(s.right, Read), ite(eq(s.downOp, WriteOp), Write, s.right))
			t.busyUp = False
			t.busySource = ite(and(boolean(!broken("step-have-down")), differ(s.downOp, WritebackOp), eq(s.downSource, Have)), NoSource, s.downSource)
			t.downOp = NoOp
		})
		do("RecvRecall", and(s.downRecall, eq(s.downOp, NoOp)), func(t *State) {
			t.queued, t.queuedKeep, t.queuedDst, t.queuedLeaf = True, s.downRecallKeep, s.downRecallDst, s.downRecallLeaf
			t.downRecall = False
		}, Need{"one Recall of the parent", and(not(s.queued), not(s.recall))})

		// Being recalled by the parent.
		take := and(not(s.recall), s.queued, unless("step-recall-while-serving", or(not(busy), s.busyUp)))
		taken := func(t *State) {
			t.queued = False
			t.recall, t.recallKeep, t.recallDst, t.recallLeaf, t.recallHit = True, s.queuedKeep, s.queuedDst, s.queuedLeaf, False
			t.recallWait = nobody
		}
		do("TakeRecall, of all", and(take, eq(s.queuedKeep, None)), func(t *State) {
			taken(t)
			t.recallWait = s.marked
			t.recallAll(s, s.marked, s.queuedDst, s.queuedLeaf)
		})
		do("TakeRecall, of the owner", and(take, differ(s.queuedKeep, None), s.owns(c)), func(t *State) {
			taken(t)
			t.recallWait = at(nobody, c, True)
			t.recallFrom(s, c, s.queuedKeep, s.queuedDst, s.queuedLeaf)
		})
		do("TakeRecall, of nobody", and(take, differ(s.queuedKeep, None), s.noOwner()), taken)

		collect := and(s.recall, or(and(boolean(broken("step-ack-early")), s.recallHit), forall(Kid, func(k *Term) *Term { return not(s.recallWait(k)) })))
		missed := and(collect, differ(s.recallKeep, None), not(s.recallHit))
		do("Collect, all", and(collect, or(eq(s.recallKeep, None), s.recallHit)), func(t *State) {
			t.acknowledge(s, s.recallKeep)
		})
		do("Collect, nobody is left", and(missed, forall(Kid, func(k *Term) *Term { return not(s.marked(k)) })), func(t *State) {
			t.acknowledge(s, None)
		})
		do("Collect, the next", and(missed, s.marked(c)), func(t *State) {
			t.recallWait = at(nobody, c, True)
			t.recallFrom(s, c, s.recallKeep, s.recallDst, s.recallLeaf)
		})
	}

	// The next request. Strong serves it in the same step, where the mutant does it too.
	recalled := and(boolean(broken("step-recalled-serves")), s.recall, eq(s.queueOp(c), WriteOp), eq(s.right, Write),
		forall(Kid, func(k *Term) *Term { return or(eq(k, c), not(s.marked(k))) }))
	do("TakeReq", and(or(not(s.recall), recalled), not(busy), differ(s.queueOp(c), NoOp)), func(t *State) {
		t.busyOp, t.busyKid, t.busyLeaf, t.busyHave = s.queueOp(c), c, s.queueLeaf(c), s.queueHave(c)
		t.busyUp, t.busySource, t.busyWait, t.busyWaitHome = False, NoSource, nobody, False
		t.queueOp = at(s.queueOp, c, NoOp)
		t.rec = at(s.rec, c, ite(eq(s.queueOp(c), ReadOp), None, s.rec(c)))
	})

	// Serving it.
	serve := func(op *Term) *Term {
		return and(unless("step-recalled-serves", not(s.recall)), eq(s.busyOp, op), not(s.busyUp), not(s.busyWaitHome), forall(Kid, func(k *Term) *Term { return not(s.busyWait(k)) }))
	}
	fromHome := func(t *State) {
		switch {
		case !s.root:
			t.busySource = Nowhere
		default:
			t.busySource = ite(eq(s.home, Stale), Nowhere, ite(eq(s.home, Virgin), Zero, Sent))
			t.beyond = func(l *Term) *Term { return or(s.beyond(l), and(eq(s.home, Valid), eq(l, s.busyLeaf))) }
		}
	}
	right := s.rightOf()
	none := eq(s.busySource, NoSource)
	read := serve(ReadOp)
	do("ServeRead, finish", and(read, not(none)), func(t *State) { t.finish(s, Read, s.busySource) })
	if !s.root {
		do("ServeRead, climb", and(read, none, less(right, Read)), func(t *State) { t.climb(s, None) },
			Need{"one request to the parent", eq(s.upOp, NoOp)})
	}
	read = and(read, none, atMost(Read, right))
	do("ServeRead, from the owner", and(read, boolean(!(s.root && broken("home-despite-owner"))), s.owns(c)), func(t *State) {
		t.busyWait = at(nobody, c, True)
		keep := Owned
		if broken("step-downgrade-to-read") {
			keep = Read
		}
		t.recallFrom(s, c, keep, ToLeaf, s.busyLeaf)
	})
	if s.root {
		do("ServeRead, from the home", and(read, unless("home-despite-owner", s.noOwner())), fromHome)
	} else {
		do("ServeRead, from a copy", and(read, s.noOwner(), s.marked(c)), func(t *State) {
			t.busyWait = at(nobody, c, True)
			t.recallFrom(s, c, Read, ToLeaf, s.busyLeaf)
		})
		// Strong climbs in the same step.
		do("ServeRead, a miss", and(read, forall(Kid, func(k *Term) *Term { return not(s.marked(k)) })), func(t *State) { t.right = None })
	}

	write := serve(WriteOp)
	supported := ite(unless("step-have-unchecked", atMost(s.busyHave, s.rec(s.busyKid))), s.busyHave, None)
	enough := Write
	if broken("step-write-under-owned") {
		enough = Owned
	}
	if !s.root {
		do("ServeWrite, climb", and(write, less(right, enough)), func(t *State) {
			have := supported
			switch {
			case broken("step-have-verbatim"):
				have = s.busyHave
			case broken("step-claim-own-read"):
				have = s.right
			}
			t.climb(s, ite(atMost(Owned, s.right), s.right, have))
		}, Need{"one request to the parent", eq(s.upOp, NoOp)})
	}
	write = and(write, atMost(enough, right))
	other := func(k *Term) *Term { return and(s.marked(k), differ(k, s.busyKid)) }
	lacks := and(none, eq(supported, None))
	keeps := and(boolean(broken("step-granted-keeps-readers")), not(none))
	do("ServeWrite, from the others", and(write, not(keeps), other(c)), func(t *State) {
		t.busyWait = other
		t.recallAll(s, other, ite(lacks, ToLeaf, Nobody), s.busyLeaf)
	})
	write = and(write, or(keeps, forall(Kid, func(k *Term) *Term { return not(other(k)) })))
	do("ServeWrite, from the home", and(write, lacks), fromHome)
	do("ServeWrite, finish", and(write, not(lacks)), func(t *State) {
		t.finish(s, Write, ite(none, Have, s.busySource))
		if s.root {
			t.home = Stale
		}
	})

	back := serve(WritebackOp)
	moot := or(not(none), not(s.owns(s.busyKid)))
	do("ServeWriteback, finish", and(back, moot), func(t *State) { t.finish(s, s.rec(s.busyKid), Have) })
	if s.root {
		do("ServeWriteback, recall", and(back, not(moot)), func(t *State) {
			t.busyWait, t.busyWaitHome = at(nobody, s.busyKid, True), boolean(!broken("writeback-without-data"))
			t.recallFrom(s, s.busyKid, Read, ToHome, s.busyLeaf)
		})
		do("HomeRecvData", s.fromKid(HomeLeaf, c), func(t *State) {
			t.home, t.busyWaitHome = Valid, False
			t.fromKid = func(l, k *Term) *Term { return and(s.fromKid(l, k), or(differ(l, HomeLeaf), differ(k, c))) }
		}, Need{"the home's Data is for somebody", busy})
	} else {
		do("ServeWriteback, climb", and(back, not(moot)), func(t *State) { t.climb(s, s.right) },
			Need{"one request to the parent", eq(s.upOp, NoOp)})
	}
	return moves
}
