package main

// State is a manager between its parent and its children, as in MCLinkStep.tla:
// the manager has the fields of mgr[m] in Strong.tla, the sides beyond its links
// are the abstract ones of Link.tla. There is any number of children and leaves.
//
// What is a function there is one of a term here, so that the state after a step is
// written down as terms about the state before it.
type State struct {
	root bool // there is no parent, and the home's copy is here

	// The manager.
	right                               *Term
	rec                                 func(k *Term) *Term
	busyOp, busyKid, busyLeaf, busyHave *Term // the request that is being served
	busyUp                              *Term // phase "up"
	busySource                          *Term
	busyWait                            func(k *Term) *Term
	busyWaitHome                        *Term
	recall, recallKeep, recallDst       *Term // the Recall that was taken
	recallLeaf, recallHit               *Term
	recallWait                          func(k *Term) *Term
	// The queue. A child has one request at a time, and the parent one Recall; their
	// order is left out: any that waits may be next.
	queueOp, queueLeaf, queueHave             func(k *Term) *Term
	queued, queuedKeep, queuedDst, queuedLeaf *Term // a Recall that waits

	// The home, of a root.
	home *Term // Virgin, Valid, Stale

	// The children, and their channels.
	kidRight, kidOp, kidLeaf, kidSent                     func(k *Term) *Term
	reqOp, reqLeaf, reqHave                               func(k *Term) *Term
	ack, ackKeep, ackHit, ackFirst                        func(k *Term) *Term
	grantOp, grantSource, grantLeaf                       func(k *Term) *Term
	kidRecall, kidRecallKeep, kidRecallDst, kidRecallLeaf func(k *Term) *Term

	// The parent, and its channels.
	parentRec, parentOp, parentLeaf, parentHave, parentWaits  *Term
	upOp, upLeaf, upHave                                      *Term
	upAck, upAckKeep, upAckHit, upAckFirst                    *Term
	downOp, downSource, downLeaf                              *Term
	downRecall, downRecallKeep, downRecallDst, downRecallLeaf *Term

	// The page. Data in flight is current: a store shows that there is none.
	zero    *Term                  // the content is the zeros
	fromKid func(l, k *Term) *Term // Data for l, sent by the child k
	beyond  func(l *Term) *Term    // Data for l, sent by the parent or the home

	// The leaves.
	below  func(k, l *Term) *Term
	inside func(l *Term) *Term
}

// The states of the home.
var Virgin, Valid, Stale = word(0), word(1), word(2)

// symbolic is a state of which nothing is known.
func symbolic(root bool) *State {
	constant := func(sort Sort, name string) *Term { return app(sort, name) }
	ofKid := func(sort Sort, name string) func(k *Term) *Term {
		return func(k *Term) *Term { return app(sort, name, k) }
	}
	s := &State{
		root: root,

		right: constant(Word, "right"), rec: ofKid(Word, "rec"),
		busyOp: constant(Word, "busyOp"), busyKid: constant(Kid, "busyKid"), busyLeaf: constant(Leaf, "busyLeaf"), busyHave: constant(Word, "busyHave"),
		busyUp: constant(Bool, "busyUp"), busySource: constant(Word, "busySource"),
		busyWait: ofKid(Bool, "busyWait"), busyWaitHome: constant(Bool, "busyWaitHome"),
		recall: constant(Bool, "recall"), recallKeep: constant(Word, "recallKeep"), recallDst: constant(Word, "recallDst"),
		recallLeaf: constant(Leaf, "recallLeaf"), recallHit: constant(Bool, "recallHit"), recallWait: ofKid(Bool, "recallWait"),
		queueOp: ofKid(Word, "queueOp"), queueLeaf: ofKid(Leaf, "queueLeaf"), queueHave: ofKid(Word, "queueHave"),
		queued: constant(Bool, "queued"), queuedKeep: constant(Word, "queuedKeep"), queuedDst: constant(Word, "queuedDst"), queuedLeaf: constant(Leaf, "queuedLeaf"),

		home: constant(Word, "homeState"),

		kidRight: ofKid(Word, "kidRight"), kidOp: ofKid(Word, "kidOp"), kidLeaf: ofKid(Leaf, "kidLeaf"), kidSent: ofKid(Bool, "kidSent"),
		reqOp: ofKid(Word, "reqOp"), reqLeaf: ofKid(Leaf, "reqLeaf"), reqHave: ofKid(Word, "reqHave"),
		ack: ofKid(Bool, "ack"), ackKeep: ofKid(Word, "ackKeep"), ackHit: ofKid(Bool, "ackHit"), ackFirst: ofKid(Bool, "ackFirst"),
		grantOp: ofKid(Word, "grantOp"), grantSource: ofKid(Word, "grantSource"), grantLeaf: ofKid(Leaf, "grantLeaf"),
		kidRecall: ofKid(Bool, "kidRecall"), kidRecallKeep: ofKid(Word, "kidRecallKeep"), kidRecallDst: ofKid(Word, "kidRecallDst"), kidRecallLeaf: ofKid(Leaf, "kidRecallLeaf"),

		parentRec: constant(Word, "parentRec"), parentOp: constant(Word, "parentOp"), parentLeaf: constant(Leaf, "parentLeaf"),
		parentHave: constant(Word, "parentHave"), parentWaits: constant(Bool, "parentWaits"),
		upOp: constant(Word, "upOp"), upLeaf: constant(Leaf, "upLeaf"), upHave: constant(Word, "upHave"),
		upAck: constant(Bool, "upAck"), upAckKeep: constant(Word, "upAckKeep"), upAckHit: constant(Bool, "upAckHit"), upAckFirst: constant(Bool, "upAckFirst"),
		downOp: constant(Word, "downOp"), downSource: constant(Word, "downSource"), downLeaf: constant(Leaf, "downLeaf"),
		downRecall: constant(Bool, "downRecall"), downRecallKeep: constant(Word, "downRecallKeep"), downRecallDst: constant(Word, "downRecallDst"), downRecallLeaf: constant(Leaf, "downRecallLeaf"),

		zero:    constant(Bool, "zero"),
		fromKid: func(l, k *Term) *Term { return app(Bool, "fromKid", l, k) },
		beyond:  func(l *Term) *Term { return app(Bool, "beyond", l) },

		below:  func(k, l *Term) *Term { return app(Bool, "below", k, l) },
		inside: func(l *Term) *Term { return app(Bool, "inside", l) },
	}
	if root {
		s.right = Write
	}
	return s
}

// initial says that nothing has happened yet. What a request or a message that there
// is not would say is 0.
func (s *State) initial() *Term {
	var words []*Term
	for _, w := range []*Term{s.busyHave, s.busySource, s.recallKeep, s.recallDst, s.queuedKeep, s.queuedDst, s.parentHave, s.upHave,
		s.upAckKeep, s.downSource, s.downRecallKeep, s.downRecallDst} {
		words = append(words, eq(w, word(0)))
	}
	ofKid := []func(k *Term) *Term{s.queueHave, s.reqHave, s.ackKeep, s.grantSource, s.kidRecallKeep, s.kidRecallDst}
	kid := func(f func(k *Term) *Term) *Term { return forall(Kid, f) }
	return and(and(words...),
		kid(func(k *Term) *Term {
			var list []*Term
			for _, w := range ofKid {
				list = append(list, eq(w(k), word(0)))
			}
			return and(list...)
		}),
		or(boolean(s.root), eq(s.right, None)), eq(s.home, Virgin), s.zero,
		eq(s.busyOp, NoOp), not(s.busyUp), not(s.recall), not(s.queued), not(s.busyWaitHome),
		kid(func(k *Term) *Term {
			return and(eq(s.rec(k), None), not(s.busyWait(k)), not(s.recallWait(k)), eq(s.queueOp(k), NoOp),
				eq(s.kidRight(k), None), eq(s.kidOp(k), NoOp), not(s.kidSent(k)),
				eq(s.reqOp(k), NoOp), not(s.ack(k)), eq(s.grantOp(k), NoOp), not(s.kidRecall(k)),
				forall(Leaf, func(l *Term) *Term { return not(s.fromKid(l, k)) }))
		}),
		eq(s.parentRec, None), eq(s.parentOp, NoOp), not(s.parentWaits),
		eq(s.upOp, NoOp), not(s.upAck), eq(s.downOp, NoOp), not(s.downRecall),
		noData(s.beyond))
}

// leaves is what is so of the leaves, always: each is below one child at most, the
// home is none.
func (s *State) leaves() *Term {
	return and(
		forall(Leaf, func(l *Term) *Term {
			return forall(Kid, func(k *Term) *Term {
				return and(
					implies(s.below(k, l), s.inside(l)),
					forall(Kid, func(j *Term) *Term { return implies(and(s.below(k, l), s.below(j, l)), eq(k, j)) }))
			})
		}),
		not(s.inside(HomeLeaf)),
		forall(Leaf, func(l *Term) *Term {
			return implies(s.inside(l), exists(Kid, func(k *Term) *Term { return s.below(k, l) }))
		}))
}

// The request of k that the manager has taken.
func (s *State) held(k *Term) (op, leaf, have *Term) {
	served := and(differ(s.busyOp, NoOp), eq(s.busyKid, k))
	return ite(served, s.busyOp, s.queueOp(k)), ite(served, s.busyLeaf, s.queueLeaf(k)), ite(served, s.busyHave, s.queueHave(k))
}

// kidLink is the link to the child k.
func (s *State) kidLink(k *Term) *Link {
	op, leaf, have := s.held(k)
	return &Link{
		inside:  func(l *Term) *Term { return s.below(k, l) },
		outside: func(l *Term) *Term { return and(not(s.below(k, l)), differ(l, HomeLeaf)) },
		zero:    s.zero,
		reqOp:   s.reqOp(k), reqLeaf: s.reqLeaf(k), reqHave: s.reqHave(k),
		ack: s.ack(k), ackKeep: s.ackKeep(k), ackHit: s.ackHit(k), ackFirst: s.ackFirst(k),
		grantOp: s.grantOp(k), grantSource: s.grantSource(k), grantLeaf: s.grantLeaf(k),
		recall: s.kidRecall(k), recallKeep: s.kidRecallKeep(k), recallDst: s.kidRecallDst(k), recallLeaf: s.kidRecallLeaf(k),
		in: func(l *Term) *Term {
			return and(s.below(k, l), or(s.beyond(l), exists(Kid, func(j *Term) *Term { return and(differ(j, k), s.fromKid(l, j)) })))
		},
		out:   func(l *Term) *Term { return and(not(s.below(k, l)), s.fromKid(l, k)) },
		right: s.kidRight(k), askedOp: s.kidOp(k), askedLeaf: s.kidLeaf(k), sent: s.kidSent(k),
		rec: s.rec(k), heldOp: op, heldLeaf: leaf, heldHave: have,
		waits: or(and(differ(s.busyOp, NoOp), s.busyWait(k)), and(s.recall, s.recallWait(k))),
	}
}

// upLink is the link to the parent. A Recall that was taken and is not answered
// counts as still in the channel.
func (s *State) upLink() *Link {
	climbed := and(differ(s.busyOp, NoOp), s.busyUp)
	pick := func(taken, waiting, under *Term) *Term { return ite(s.recall, taken, ite(s.queued, waiting, under)) }
	return &Link{
		inside:  s.inside,
		outside: func(l *Term) *Term { return and(not(s.inside(l)), differ(l, HomeLeaf)) },
		zero:    s.zero,
		reqOp:   s.upOp, reqLeaf: s.upLeaf, reqHave: s.upHave,
		ack: s.upAck, ackKeep: s.upAckKeep, ackHit: s.upAckHit, ackFirst: s.upAckFirst,
		grantOp: s.downOp, grantSource: s.downSource, grantLeaf: s.downLeaf,
		recall:     or(s.recall, s.queued, s.downRecall),
		recallKeep: pick(s.recallKeep, s.queuedKeep, s.downRecallKeep),
		recallDst:  pick(s.recallDst, s.queuedDst, s.downRecallDst),
		recallLeaf: pick(s.recallLeaf, s.queuedLeaf, s.downRecallLeaf),
		in:         func(l *Term) *Term { return and(s.inside(l), s.beyond(l)) },
		out: func(l *Term) *Term {
			return and(not(s.inside(l)), exists(Kid, func(k *Term) *Term { return s.fromKid(l, k) }))
		},
		right:   s.right,
		askedOp: ite(climbed, s.busyOp, NoOp), askedLeaf: s.busyLeaf,
		sent: and(s.recall, or(s.recallHit, exists(Kid, func(k *Term) *Term {
			return and(s.recallWait(k), or(s.kidSent(k), and(s.ack(k), s.ackHit(k))))
		}))),
		rec: s.parentRec, heldOp: s.parentOp, heldLeaf: s.parentLeaf, heldHave: s.parentHave,
		waits: s.parentWaits,
	}
}

// at is f, but for one argument.
func at(f func(k *Term) *Term, k, value *Term) func(k *Term) *Term {
	return func(x *Term) *Term { return ite(eq(x, k), value, f(x)) }
}

func nobody(*Term) *Term { return False }
