package main

// Rights, operations, sources and destinations, as in spec/abstract/Types.tla.
var (
	None, Read, Owned, Write            = word(0), word(1), word(2), word(3)
	NoOp, ReadOp, WriteOp, WritebackOp  = word(0), word(1), word(2), word(3)
	NoSource, Sent, Zero, Have, Nowhere = word(0), word(1), word(2), word(3), word(4)
	Nobody, ToLeaf, ToHome              = word(0), word(1), word(2)
	HomeLeaf                            = app(Leaf, "home") // whom Data to the home is for
)

// Link is the state of one link, as in Link.tla. A channel holds one message of a
// kind at most: whoever sends a second one breaks the contract. In down a Grant is
// before a Recall.
type Link struct {
	inside  func(l *Term) *Term
	outside func(l *Term) *Term
	zero    *Term // the content of the page is the zeros

	reqOp, reqLeaf, reqHave *Term // the Req in up; NoOp: there is none
	ack, ackKeep, ackHit    *Term // the Ack in up
	ackFirst                *Term // it is before the Req, if there are both
	grantOp, grantSource    *Term // the Grant in down
	grantLeaf               *Term
	recall                  *Term // the Recall in down
	recallKeep, recallDst   *Term
	recallLeaf              *Term
	in, out                 func(l *Term) *Term // Data, current, by whom it is for

	right, askedOp, askedLeaf, sent *Term // of the child: its right and its request
	rec                             *Term // of the parent
	heldOp, heldLeaf, heldHave      *Term
	waits                           *Term // a Recall is not answered yet (asked)
}

// step is a step of one side of a link: where it may be taken, what must hold of
// the channels so that there is room for it, and the state after it.
type step struct {
	may   *Term
	room  *Term
	after *Link
}

func (s *Link) take(may *Term, edit func(t *Link)) step { return s.send(may, True, edit) }

func (s *Link) send(may, room *Term, edit func(t *Link)) step {
	t := *s
	edit(&t)
	return step{may, room, &t}
}

func noData(f func(l *Term) *Term) *Term {
	return forall(Leaf, func(l *Term) *Term { return not(f(l)) })
}

func with(f func(l *Term) *Term, is *Term) func(l *Term) *Term {
	return func(l *Term) *Term { return or(f(l), eq(l, is)) }
}

func without(f func(l *Term) *Term, is *Term) func(l *Term) *Term {
	return func(l *Term) *Term { return and(f(l), differ(l, is)) }
}

func (s *Link) reqIsHead() *Term    { return and(differ(s.reqOp, NoOp), not(and(s.ack, s.ackFirst))) }
func (s *Link) ackIsHead() *Term    { return and(s.ack, or(eq(s.reqOp, NoOp), s.ackFirst)) }
func (s *Link) grantIsHead() *Term  { return differ(s.grantOp, NoOp) }
func (s *Link) recallIsHead() *Term { return and(s.recall, eq(s.grantOp, NoOp)) }

// The child's side.

func (s *Link) pinned() *Term {
	return or(
		and(eq(s.reqOp, WriteOp), eq(s.reqHave, Read)),
		and(eq(s.heldOp, WriteOp), eq(s.heldHave, Read)),
		and(eq(s.grantOp, WriteOp), eq(s.grantSource, Have)))
}

func (s *Link) childAsks(op, leaf, have *Term) step {
	may := and(eq(s.askedOp, NoOp), s.inside(leaf), not(s.in(leaf)), or(
		and(eq(op, ReadOp), eq(s.right, None), eq(have, None)),
		and(eq(op, WriteOp), less(s.right, Owned), or(eq(have, None), eq(have, s.right))),
		and(eq(op, WriteOp), eq(s.right, Owned), eq(have, Owned)),
		and(eq(op, WritebackOp), atMost(Owned, s.right), eq(have, s.right))))
	return s.send(may, eq(s.reqOp, NoOp), func(t *Link) {
		t.askedOp, t.askedLeaf = op, leaf
		t.reqOp, t.reqLeaf, t.reqHave, t.ackFirst = op, leaf, have, s.ack
	})
}

func (s *Link) childTakesGrant(withData bool) step {
	return s.take(s.grantIsHead(), func(t *Link) {
		t.grantOp, t.askedOp = NoOp, NoOp
		t.right = ite(eq(s.grantOp, ReadOp), higher(s.right, Read), ite(eq(s.grantOp, WriteOp), Write, s.right))
		if withData {
			t.in = without(s.in, s.grantLeaf)
		}
	})
}

func (s *Link) childTakesData(leaf *Term) step {
	return s.take(and(s.in(leaf), or(eq(s.askedOp, NoOp), differ(s.askedLeaf, leaf))), func(t *Link) {
		t.in = without(s.in, leaf)
	})
}

func (s *Link) childSends() step {
	may := and(s.recallIsHead(), differ(s.recallDst, Nobody), not(s.sent), atMost(Read, s.right))
	return s.take(may, func(t *Link) {
		t.sent = True
		t.out = with(s.out, ite(eq(s.recallDst, ToHome), HomeLeaf, s.recallLeaf))
	})
}

func (s *Link) childAcks() step {
	keep := ite(and(differ(s.recallKeep, None), not(s.sent)), None, lower(s.right, s.recallKeep))
	may := and(s.recallIsHead(),
		unless("contract-owner-misses", implies(and(atMost(Owned, s.right), differ(s.recallDst, Nobody)), s.sent)),
		unless("contract-leaves-with-data-coming", implies(eq(keep, None), noData(s.in))),
		implies(and(differ(s.recallKeep, None), not(s.sent)), or(eq(s.right, None), not(s.pinned()))))
	return s.send(may, not(s.ack), func(t *Link) {
		t.recall, t.sent, t.right = False, False, lower(s.right, keep)
		t.ack, t.ackKeep, t.ackHit, t.ackFirst = True, keep, s.sent, eq(s.reqOp, NoOp)
	})
}

func (s *Link) childEvicts() step {
	return s.take(and(eq(s.right, Read), unless("contract-evicts-pinned", not(s.pinned())), noData(s.in)), func(t *Link) { t.right = None })
}

func (s *Link) childMayStore() *Term {
	return and(eq(s.right, Write), unless("contract-stores-after-sending", not(s.sent)), unless("contract-stores-with-data-coming", noData(s.in)))
}

func (s *Link) childStores(zero *Term) step {
	return s.take(s.childMayStore(), func(t *Link) { t.zero = zero })
}

// The parent's side.

func (s *Link) fed() *Term {
	return and(or(eq(s.heldOp, ReadOp), eq(s.heldOp, WriteOp)), s.in(s.heldLeaf))
}

func (s *Link) supported() *Term {
	return and(differ(s.heldHave, None), unless("contract-have-unsupported", atMost(s.heldHave, s.rec)))
}

func (s *Link) parentTakesReq() step {
	return s.take(and(s.reqIsHead(), eq(s.heldOp, NoOp)), func(t *Link) {
		t.heldOp, t.heldLeaf, t.heldHave = s.reqOp, s.reqLeaf, s.reqHave
		t.reqOp = NoOp
	})
}

func (s *Link) parentUnmarks() step {
	return s.take(and(eq(s.heldOp, ReadOp), differ(s.rec, None), not(s.waits)), func(t *Link) { t.rec = None })
}

func (s *Link) parentFeeds() step {
	may := and(not(s.waits), not(s.fed()), or(
		and(eq(s.heldOp, ReadOp), eq(s.rec, None)),
		and(eq(s.heldOp, WriteOp), not(s.supported()))))
	return s.take(may, func(t *Link) { t.in = with(s.in, s.heldLeaf) })
}

func (s *Link) parentGrants(source *Term) step {
	fresh := or(and(s.fed(), eq(source, Sent)), and(not(s.fed()), s.zero, eq(source, Zero)))
	may := and(unless("contract-grants-while-asked", not(s.waits)), or(
		and(eq(s.heldOp, ReadOp), eq(s.rec, None), fresh),
		and(eq(s.heldOp, WriteOp), unless("contract-grants-write-with-data-out", noData(s.out)), or(fresh, and(s.supported(), not(s.fed()), eq(source, Have)))),
		and(eq(s.heldOp, WritebackOp), eq(source, Have))))
	return s.send(may, and(eq(s.grantOp, NoOp), not(s.recall)), func(t *Link) {
		t.heldOp = NoOp
		t.rec = ite(eq(s.heldOp, ReadOp), Read, ite(eq(s.heldOp, WriteOp), Write, s.rec))
		t.grantOp, t.grantSource, t.grantLeaf = s.heldOp, source, s.heldLeaf
	})
}

func (s *Link) parentRecalls(keep, dst, leaf *Term) step {
	owner := atMost(Owned, s.rec)
	may := and(differ(s.rec, None), not(s.waits), unless("contract-recalls-after-feeding", not(s.fed())), or(
		and(s.outside(leaf), or(
			and(eq(keep, None), eq(dst, Nobody)),
			and(owner, or(eq(keep, None), eq(keep, Owned)), eq(dst, ToLeaf)),
			and(not(owner), eq(keep, Read), eq(dst, ToLeaf)))),
		and(owner, eq(s.heldOp, WritebackOp), eq(keep, Read), eq(dst, ToHome), eq(leaf, s.heldLeaf))))
	return s.send(may, not(s.recall), func(t *Link) {
		t.waits = True
		t.recall, t.recallKeep, t.recallDst, t.recallLeaf = True, keep, dst, leaf
	})
}

func (s *Link) parentTakesAck() step {
	return s.take(s.ackIsHead(), func(t *Link) {
		t.ack, t.waits, t.rec = False, False, lower(s.rec, s.ackKeep)
	})
}

func (s *Link) parentTakesData(leaf *Term) step {
	return s.take(s.out(leaf), func(t *Link) { t.out = without(s.out, leaf) })
}

func (s *Link) parentMayStore() *Term {
	least := eq(s.rec, None)
	if broken("contract-parent-stores-beside-reader") {
		least = atMost(s.rec, Read)
	}
	return and(least, unless("contract-parent-stores-after-feeding", not(s.fed())), unless("contract-parent-stores-with-data-out", noData(s.out)))
}

func (s *Link) parentStores(zero *Term) step {
	return s.take(s.parentMayStore(), func(t *Link) { t.zero = zero })
}

// equal says that two states of a link are the same.
func (s *Link) equal(t *Link) *Term {
	req := differ(s.reqOp, NoOp)
	return and(
		eq(s.zero, t.zero),
		eq(s.reqOp, t.reqOp), implies(req, and(eq(s.reqLeaf, t.reqLeaf), eq(s.reqHave, t.reqHave))),
		eq(s.ack, t.ack), implies(s.ack, and(eq(s.ackKeep, t.ackKeep), eq(s.ackHit, t.ackHit))),
		implies(and(req, s.ack), eq(s.ackFirst, t.ackFirst)),
		eq(s.grantOp, t.grantOp), implies(differ(s.grantOp, NoOp), and(eq(s.grantSource, t.grantSource), eq(s.grantLeaf, t.grantLeaf))),
		eq(s.recall, t.recall), implies(s.recall, and(eq(s.recallKeep, t.recallKeep), eq(s.recallDst, t.recallDst), eq(s.recallLeaf, t.recallLeaf))),
		forall(Leaf, func(l *Term) *Term { return and(eq(s.in(l), t.in(l)), eq(s.out(l), t.out(l))) }),
		eq(s.right, t.right), eq(s.askedOp, t.askedOp), implies(differ(s.askedOp, NoOp), eq(s.askedLeaf, t.askedLeaf)), eq(s.sent, t.sent),
		eq(s.rec, t.rec), eq(s.heldOp, t.heldOp), implies(differ(s.heldOp, NoOp), and(eq(s.heldLeaf, t.heldLeaf), eq(s.heldHave, t.heldHave))),
		eq(s.waits, t.waits))
}

// is says that t is reached from s by one of the steps, or by none.
func (s *Link) is(t *Link, steps ...step) *Term {
	list := []*Term{s.equal(t)}
	for _, x := range steps {
		list = append(list, and(x.may, x.room, x.after.equal(t)))
	}
	return or(list...)
}

// parentStep says that t is reached from s by one step of the parent's side at
// most. leaf is whose Data may have been taken.
func (s *Link) parentStep(t *Link, leaf *Term) *Term {
	return s.is(t, s.parentTakesReq(), s.parentUnmarks(), s.parentFeeds(), s.parentGrants(t.grantSource),
		s.parentRecalls(t.recallKeep, t.recallDst, t.recallLeaf), s.parentTakesAck(), s.parentTakesData(leaf), s.parentStores(t.zero))
}

// childStep says that t is reached from s by one step of the child's side at most.
func (s *Link) childStep(t *Link, leaf *Term) *Term {
	return s.is(t, s.childAsks(t.reqOp, t.reqLeaf, t.reqHave), s.childTakesGrant(false), s.childTakesGrant(true), s.childTakesData(leaf),
		s.childSends(), s.childAcks(), s.childEvicts(), s.childStores(t.zero))
}
