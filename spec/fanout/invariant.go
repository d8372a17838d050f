package main

// Lemma is a part of the invariant.
type Lemma struct {
	name string
	is   *Term
}

func (s *State) lemmas() []Lemma {
	var list []Lemma
	add := func(name string, is *Term) { list = append(list, Lemma{name, is}) }
	kid := func(name string, is func(k *Term) *Term) { add(name, forall(Kid, is)) }
	busy := differ(s.busyOp, NoOp)

	// Each link by itself.
	links := func(name string, is func(l *Link) *Term) {
		kid("kid: "+name, func(k *Term) *Term { return is(s.kidLink(k)) })
		if !s.root {
			add("up: "+name, is(s.upLink()))
		}
	}
	some := func(op *Term) *Term { return differ(op, NoOp) }
	links("a Recall or its Ack is under way while the parent waits", func(l *Link) *Term {
		return and(implies(l.recall, and(l.waits, not(l.ack))), implies(l.ack, l.waits), implies(l.waits, or(l.recall, l.ack)))
	})
	links("a request is in one place", func(l *Link) *Term {
		req, held, grant := some(l.reqOp), some(l.heldOp), some(l.grantOp)
		return and(
			implies(some(l.askedOp), or(req, held, grant)),
			implies(req, and(not(held), not(grant), eq(l.reqOp, l.askedOp), eq(l.reqLeaf, l.askedLeaf))),
			implies(held, and(not(req), not(grant), eq(l.heldOp, l.askedOp), eq(l.heldLeaf, l.askedLeaf))),
			implies(grant, and(not(req), not(held), eq(l.grantOp, l.askedOp), eq(l.grantLeaf, l.askedLeaf))))
	})
	links("a request is for a leaf inside", func(l *Link) *Term { return implies(some(l.askedOp), l.inside(l.askedLeaf)) })
	links("the child has no more than is recorded", func(l *Link) *Term { return atMost(l.right, l.rec) })
	links("an owner is one", func(l *Link) *Term {
		return implies(and(atMost(Owned, l.rec), not(l.ack), differ(l.grantOp, WriteOp)), eq(l.right, l.rec))
	})
	links("no Grant is before an Ack", func(l *Link) *Term { return implies(l.ack, eq(l.grantOp, NoOp)) })
	links("an Ack says what is left", func(l *Link) *Term {
		return implies(l.ack, and(atMost(l.right, l.ackKeep), implies(atMost(Owned, l.ackKeep), eq(l.right, l.ackKeep)), atMost(l.ackKeep, l.rec)))
	})
	links("who asks has less", func(l *Link) *Term {
		return and(implies(eq(l.askedOp, ReadOp), eq(l.right, None)), implies(eq(l.askedOp, WriteOp), less(l.right, Write)))
	})
	links("a Grant is recorded", func(l *Link) *Term {
		return and(
			implies(eq(l.grantOp, ReadOp), eq(l.rec, Read)),
			implies(eq(l.grantOp, WriteOp), and(eq(l.rec, Write), less(l.right, Write))))
	})
	links("have is true", func(l *Link) *Term {
		return implies(and(eq(l.grantOp, WriteOp), eq(l.grantSource, Have)), atMost(Read, l.right))
	})
	links("Data is for who has a copy, or is served", func(l *Link) *Term {
		return forall(Leaf, func(x *Term) *Term {
			return implies(l.in(x), or(differ(l.rec, None), and(or(eq(l.heldOp, ReadOp), eq(l.heldOp, WriteOp)), eq(x, l.heldLeaf))))
		})
	})
	links("who is fed is not asked", func(l *Link) *Term { return implies(l.fed(), not(l.waits)) })
	links("who has nothing left expects nothing", func(l *Link) *Term {
		return implies(and(l.ack, eq(l.ackKeep, None)), noData(l.in))
	})
	links("who may store has sent nothing", func(l *Link) *Term {
		return implies(or(and(eq(l.right, Write), not(l.sent)), eq(l.grantOp, WriteOp)), noData(l.out))
	})
	links("what was sent was asked for", func(l *Link) *Term {
		return and(implies(l.sent, and(l.recall, eq(l.grantOp, NoOp), differ(l.recallDst, Nobody))))
	})

	links("Data for a leaf that asks is for its request", func(l *Link) *Term {
		return implies(some(l.reqOp), not(l.in(l.askedLeaf)))
	})

	links("what a request claims is so, as far as it is recorded", func(l *Link) *Term {
		left := ite(l.ack, lower(l.rec, l.ackKeep), l.rec)
		claims := func(op, have *Term) *Term {
			return and(
				implies(and(eq(op, WriteOp), differ(have, None), atMost(have, left)), atMost(have, l.right)),
				implies(and(eq(op, WriteOp), atMost(Owned, left)), eq(have, Owned)),
				implies(eq(op, WriteOp), atMost(have, Owned)))
		}
		return and(claims(l.reqOp, l.reqHave), claims(l.heldOp, l.heldHave))
	})
	links("nothing is in flight for a writeback", func(l *Link) *Term {
		return implies(eq(l.heldOp, WritebackOp), not(l.in(l.heldLeaf)))
	})
	links("who has nothing and is not served expects nothing", func(l *Link) *Term {
		return forall(Leaf, func(x *Term) *Term {
			return implies(and(l.in(x), eq(l.right, None)), or(and(or(eq(l.heldOp, ReadOp), eq(l.heldOp, WriteOp)), eq(x, l.heldLeaf)), and(some(l.grantOp), eq(x, l.grantLeaf))))
		})
	})
	links("a Recall is one of the contract", func(l *Link) *Term {
		return implies(l.recall, and(
			atMost(l.recallKeep, Owned), atMost(l.recallDst, ToHome),
			implies(eq(l.recallDst, Nobody), eq(l.recallKeep, None)),
			implies(eq(l.recallDst, ToLeaf), eq(atMost(Owned, l.rec), differ(l.recallKeep, Read))),
			implies(eq(l.recallDst, ToHome), and(eq(l.recallKeep, Read), atMost(Owned, l.rec), eq(l.heldOp, WritebackOp), eq(l.recallLeaf, l.heldLeaf))),
			implies(differ(l.recallDst, ToHome), l.outside(l.recallLeaf))))
	})
	links("a Grant's source is true", func(l *Link) *Term {
		data := l.in(l.grantLeaf)
		return implies(some(l.grantOp), and(
			implies(eq(l.grantOp, WritebackOp), eq(l.grantSource, Have)),
			implies(eq(l.grantSource, Sent), data),
			implies(eq(l.grantSource, Zero), and(l.zero, not(data))),
			implies(eq(l.grantSource, Have), and(not(data), differ(l.grantOp, ReadOp))),
			differ(l.grantSource, NoSource), atMost(l.grantSource, Have)))
	})

	// Among the children.
	kid("words", func(k *Term) *Term {
		return and(atMost(s.rec(k), Write), atMost(s.queueOp(k), WritebackOp), atMost(s.queueHave(k), Write),
			atMost(s.kidRight(k), Write), atMost(s.kidOp(k), WritebackOp), atMost(s.reqHave(k), Write), atMost(s.ackKeep(k), Write),
			atMost(s.grantSource(k), Nowhere), atMost(s.kidRecallKeep(k), Write), atMost(s.kidRecallDst(k), ToHome))
	})
	add("words", and(atMost(s.busyOp, WritebackOp), atMost(s.busyHave, Write), atMost(s.busySource, Have), atMost(s.recallKeep, Write), atMost(s.recallDst, ToHome),
		atMost(s.right, Write), atMost(s.home, Stale), atMost(s.queuedKeep, Write), atMost(s.queuedDst, ToHome),
		atMost(s.parentRec, Write), atMost(s.parentOp, WritebackOp), atMost(s.parentHave, Write), atMost(s.upHave, Write), atMost(s.downSource, Have),
		atMost(s.downRecallKeep, Write), atMost(s.downRecallDst, ToHome), atMost(s.upAckKeep, Write)))
	kid("one owner", func(k *Term) *Term {
		return forall(Kid, func(j *Term) *Term { return implies(and(s.owns(k), s.owns(j)), eq(k, j)) })
	})
	kid("a writer is alone", func(k *Term) *Term {
		return forall(Kid, func(j *Term) *Term { return implies(and(eq(s.rec(k), Write), s.marked(j)), eq(k, j)) })
	})
	kid("no child has more than the manager", func(k *Term) *Term {
		return or(atMost(s.rec(k), s.rightOf()))
	})

	// The manager.
	serving := and(busy, not(s.busyUp))
	read, write, back := eq(s.busyOp, ReadOp), eq(s.busyOp, WriteOp), eq(s.busyOp, WritebackOp)
	supported := ite(atMost(s.busyHave, s.rec(s.busyKid)), s.busyHave, None)
	lacks := and(eq(s.busySource, NoSource), eq(supported, None))
	kid("what is served is not queued", func(k *Term) *Term { return implies(and(busy, eq(s.busyKid, k)), eq(s.queueOp(k), NoOp)) })
	kid("who is waited for", func(k *Term) *Term {
		return and(
			implies(s.busyWait(k), and(serving, not(s.recall), s.marked(k), implies(not(write), eq(s.busySource, NoSource)), atMost(ite(write, Write, Read), s.rightOf()),
				ite(back, and(boolean(s.root), eq(k, s.busyKid)), differ(k, s.busyKid)))),
			implies(s.recallWait(k), and(s.recall, s.marked(k))))
	})
	kid("what the served one asks for", func(k *Term) *Term {
		return implies(and(s.busyWait(k), s.kidRecall(k)), and(
			eq(s.kidRecallLeaf(k), s.busyLeaf),
			implies(read, and(eq(s.kidRecallDst(k), ToLeaf), eq(s.kidRecallKeep(k), ite(s.owns(k), Owned, Read)))),
			implies(write, and(eq(s.kidRecallKeep(k), None), eq(s.kidRecallDst(k), ite(and(s.owns(k), lacks), ToLeaf, Nobody)))),
			implies(back, and(eq(s.kidRecallKeep(k), Read), eq(s.kidRecallDst(k), ToHome)))))
	})
	kid("what the Recall asks for", func(k *Term) *Term {
		return implies(and(s.recallWait(k), s.kidRecall(k)), and(
			eq(s.kidRecallLeaf(k), s.recallLeaf), eq(s.kidRecallKeep(k), s.recallKeep),
			eq(s.kidRecallDst(k), ite(and(eq(s.recallKeep, None), not(s.owns(k))), Nobody, s.recallDst))))
	})
	kid("one is asked for a copy", func(k *Term) *Term {
		return forall(Kid, func(j *Term) *Term {
			return and(
				implies(and(s.busyWait(k), s.busyWait(j), not(write)), eq(k, j)),
				implies(and(s.recallWait(k), s.recallWait(j), differ(s.recallKeep, None)), eq(k, j)))
		})
	})
	kid("a copy is asked of the owner, if there is one", func(k *Term) *Term {
		return forall(Kid, func(j *Term) *Term {
			return and(
				implies(and(s.busyWait(k), read, s.owns(j)), eq(k, j)),
				implies(and(s.recallWait(k), differ(s.recallKeep, None), s.owns(j)), eq(k, j)))
		})
	})
	kid("the owner has sent what it was asked for", func(k *Term) *Term {
		return and(
			implies(and(s.busyWait(k), s.ack(k), s.owns(k), or(read, and(write, lacks))), s.ackHit(k)),
			implies(and(s.busyWait(k), s.ack(k), s.owns(k), read), eq(s.ackKeep(k), Owned)),
			implies(and(s.busyWait(k), s.ack(k), write), eq(s.ackKeep(k), None)),
			implies(and(s.busyWait(k), s.ack(k), read, s.ackHit(k)), atMost(s.ackKeep(k), Owned)),
			implies(and(s.busyWait(k), s.ack(k), s.ackHit(k), write), and(s.owns(k), lacks)),
			implies(and(s.recallWait(k), s.ack(k), s.owns(k), differ(s.recallDst, Nobody)), and(s.ackHit(k), eq(s.ackKeep(k), s.recallKeep))),
			implies(and(s.busyWait(k), s.ack(k), back), and(atMost(s.ackKeep(k), Read), implies(s.owns(k), s.ackHit(k)))),
			implies(and(s.recallWait(k), s.ack(k)), atMost(s.ackKeep(k), s.recallKeep)),
			implies(and(s.recallWait(k), s.ack(k), differ(s.recallKeep, None), busy, eq(s.busyKid, k), write, differ(supported, None)),
				and(s.ackHit(k), atMost(supported, s.ackKeep(k)))),
			implies(and(s.recallWait(k), s.ack(k), s.ackHit(k)), and(differ(s.recallDst, Nobody), implies(eq(s.recallKeep, None), s.owns(k)))))
	})
	add("who is served to read is unmarked", implies(and(busy, read), eq(s.rec(s.busyKid), None)))
	kid("who supplies is not a writer any more", func(k *Term) *Term {
		return and(
			implies(and(serving, not(back), differ(s.busySource, NoSource)), less(s.rec(k), Write)),
			implies(and(s.recall, s.recallHit, eq(s.recallKeep, None)), not(s.owns(k))),
			implies(and(s.recall, s.recallHit, differ(s.recallKeep, None)), and(not(s.recallWait(k)), atMost(s.rec(k), s.recallKeep))))
	})
	add("a source is true", and(
		implies(and(serving, not(back), eq(s.busySource, Sent)), s.kidLink(s.busyKid).in(s.busyLeaf)),
		implies(and(serving, not(back), eq(s.busySource, Zero)), and(s.zero, not(s.kidLink(s.busyKid).in(s.busyLeaf)))),
		implies(and(serving, eq(s.busySource, Have)), back)))
	add("a source is of this grant", and(
		implies(and(serving, differ(s.busySource, NoSource), read), atMost(Read, s.rightOf())),
		implies(and(serving, differ(s.busySource, NoSource), write), eq(s.rightOf(), Write))))
	kid("Data for the served one", func(k *Term) *Term {
		return implies(and(busy, not(back), s.fromKid(s.busyLeaf, k)),
			and(serving, or(eq(s.busySource, Sent), and(s.busyWait(k), or(s.kidSent(k), and(s.ack(k), s.ackHit(k)))))))
	})
	kid("nothing is in flight for who is queued", func(k *Term) *Term {
		return implies(some(s.queueOp(k)), not(s.kidLink(k).in(s.queueLeaf(k))))
	})
	kid("what was sent is there", func(k *Term) *Term {
		return and(
			implies(and(s.busyWait(k), not(back), or(s.kidSent(k), and(s.ack(k), s.ackHit(k)))), s.fromKid(s.busyLeaf, k)),
			forall(Leaf, func(l *Term) *Term { return implies(s.fromKid(l, k), not(s.below(k, l))) }))
	})
	kid("what is asked of all is asked", func(k *Term) *Term {
		return implies(and(s.recall, eq(s.recallKeep, None), s.marked(k)), s.recallWait(k))
	})
	add("Data from beyond is for a leaf inside", forall(Leaf, func(l *Term) *Term { return implies(s.beyond(l), s.inside(l)) }))
	if s.root {
		add("a root has no parent", and(not(s.recall), not(s.queued), not(s.busyUp)))
		kid("Data for the home", func(k *Term) *Term {
			return and(
				implies(s.busyWaitHome, and(serving, back, implies(s.owns(k), eq(k, s.busyKid)))),
				implies(s.fromKid(HomeLeaf, k), and(s.busyWaitHome, eq(k, s.busyKid),
					implies(s.owns(k), and(s.busyWait(k), or(s.kidSent(k), s.ack(k)))))),
				implies(and(s.busyWait(k), back, not(s.busyWaitHome)), and(eq(s.home, Valid), or(s.kidSent(k), s.ack(k)))))
		})
		kid("Data is for a leaf, or the home", func(k *Term) *Term {
			return forall(Leaf, func(l *Term) *Term { return implies(s.fromKid(l, k), or(s.inside(l), eq(l, HomeLeaf))) })
		})
		add("Data of the home for the served one", implies(and(busy, not(back), s.beyond(s.busyLeaf)), eq(s.busySource, Sent)))
		add("the home", and(
			implies(eq(s.home, Virgin), s.zero),
			implies(eq(s.home, Stale), or(
				exists(Kid, func(k *Term) *Term { return and(s.owns(k), implies(and(serving, write, lacks), differ(k, s.busyKid))) }),
				and(serving, write, not(lacks)), and(serving, s.busyWaitHome)))))
		kid("an owner has what the home has not", func(k *Term) *Term {
			return implies(s.owns(k), or(eq(s.home, Stale), and(serving, back, eq(k, s.busyKid), s.busyWait(k), or(s.kidSent(k), and(s.ack(k))))))
		})
	} else {
		add("a Recall is in one place", and(
			not(and(s.recall, s.queued)), not(and(s.recall, s.downRecall)), not(and(s.queued, s.downRecall)),
			implies(or(s.recall, s.queued), eq(s.downOp, NoOp))))
		add("a Recall is taken when nobody is asked", implies(and(s.recall, busy), s.busyUp))
		add("who climbs waits for the parent alone", implies(and(busy, s.busyUp), eq(s.busySource, NoSource)))
		add("what was climbed with", implies(and(busy, s.busyUp), and(
			implies(read, eq(s.right, None)), implies(write, less(s.right, Write)))))
		ownerBeside := exists(Kid, func(k *Term) *Term { return and(s.owns(k), differ(k, s.busyKid)) })
		claimed := ite(some(s.upOp), s.upHave, s.parentHave)
		left := ite(s.recall, lower(s.right, s.recallKeep), s.right)
		climbed := and(busy, s.busyUp)
		add("a claim to the parent", and(
			implies(and(climbed, write, eq(s.downOp, NoOp), differ(supported, None)), and(differ(claimed, None), atMost(claimed, s.right))),
			implies(and(climbed, write, eq(s.downOp, NoOp), differ(claimed, None), atMost(claimed, left)), or(differ(supported, None), ownerBeside)),
			implies(and(climbed, eq(s.downOp, WriteOp), eq(s.downSource, Have)), or(differ(supported, None), ownerBeside)),
			implies(and(serving, write, eq(s.right, Write), lacks), ownerBeside)))
		kid("a writeback is the owner's", func(k *Term) *Term { return implies(and(climbed, back, s.owns(k)), eq(k, s.busyKid)) })
		add("an owner was asked", implies(and(s.recall, s.recallHit, eq(s.recallKeep, Owned)), exists(Kid, s.owns)))
		add("an owner has a child that owns", implies(and(atMost(Owned, s.right), not(s.recall), not(and(serving, write, eq(s.right, Write)))),
			exists(Kid, func(k *Term) *Term { return s.owns(k) })))
		add("the owner supplies", implies(and(s.recall, atMost(Owned, s.right), differ(s.recallDst, Nobody)),
			or(s.recallHit, exists(Kid, func(k *Term) *Term { return and(s.recallWait(k), s.owns(k)) }))))
		add("Data from beyond for the served one", implies(and(busy, not(back), s.beyond(s.busyLeaf)),
			or(s.busyUp, eq(s.busySource, Sent))))
	}
	return list
}
