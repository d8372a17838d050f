package main

// The abstract sides: steps of Link, and of nothing else.

// kidMoves are the steps of the child c, with what a step may choose.
func (s *State) kidMoves(c, op, leaf, have, zero *Term) []*Move {
	link := s.kidLink(c)
	do := func(name string, x step, edit func(t *State), needs ...Need) *Move {
		m := s.move("kid "+name, "kid", x.may, func(t *State) {
			a := x.after
			t.kidRight, t.kidOp = at(s.kidRight, c, a.right), at(s.kidOp, c, a.askedOp)
			t.kidLeaf, t.kidSent = at(s.kidLeaf, c, a.askedLeaf), at(s.kidSent, c, a.sent)
			t.reqOp, t.reqLeaf, t.reqHave = at(s.reqOp, c, a.reqOp), at(s.reqLeaf, c, a.reqLeaf), at(s.reqHave, c, a.reqHave)
			t.ack, t.ackKeep, t.ackHit = at(s.ack, c, a.ack), at(s.ackKeep, c, a.ackKeep), at(s.ackHit, c, a.ackHit)
			t.ackFirst = at(s.ackFirst, c, a.ackFirst)
			t.grantOp, t.kidRecall = at(s.grantOp, c, a.grantOp), at(s.kidRecall, c, a.recall)
			t.zero = a.zero
			if edit != nil {
				edit(t)
			}
		}, append(needs, Need{"room in the channel", x.room})...)
		m.mover = c
		return m
	}
	// Data for l was taken, whoever has sent it.
	taken := func(l *Term) func(t *State) {
		return func(t *State) {
			t.beyond = without(s.beyond, l)
			t.fromKid = func(m, k *Term) *Term { return and(s.fromKid(m, k), or(differ(m, l), eq(k, c))) }
		}
	}
	grant := do("takes a Grant and Data", link.childTakesGrant(true), taken(s.grantLeaf(c)))
	grant.leaf = s.grantLeaf(c)
	data := do("takes Data", link.childTakesData(leaf), taken(leaf))
	data.leaf = leaf
	dst := ite(eq(s.kidRecallDst(c), ToHome), HomeLeaf, s.kidRecallLeaf(c))
	return []*Move{
		do("asks", link.childAsks(op, leaf, have), nil),
		do("takes a Grant", link.childTakesGrant(false), nil),
		grant, data,
		do("sends", link.childSends(), func(t *State) {
			t.fromKid = func(l, k *Term) *Term { return or(s.fromKid(l, k), and(eq(k, c), eq(l, dst))) }
		}),
		do("acks", link.childAcks(), nil),
		do("evicts", link.childEvicts(), nil),
		do("stores", link.childStores(zero), nil, s.storeNeeds()...),
	}
}

// storeNeeds are what keeps Data in flight current, and the home's copy.
func (s *State) storeNeeds() []Need {
	needs := []Need{
		{"no Data in flight", and(noData(s.beyond), forall(Kid, func(k *Term) *Term {
			return noData(func(l *Term) *Term { return s.fromKid(l, k) })
		}))},
	}
	if s.root {
		needs = append(needs, Need{"the home is stale", eq(s.home, Stale)})
	}
	return needs
}

// parentMoves are the steps of the parent.
func (s *State) parentMoves(keep, dst, leaf, source, zero *Term) []*Move {
	if s.root {
		return nil
	}
	link := s.upLink()
	do := func(name string, x step, edit func(t *State), needs ...Need) *Move {
		return s.move("parent "+name, "parent", x.may, func(t *State) {
			a := x.after
			t.parentRec, t.parentWaits = a.rec, a.waits
			t.parentOp, t.parentLeaf, t.parentHave = a.heldOp, a.heldLeaf, a.heldHave
			t.upOp, t.upAck = a.reqOp, a.ack
			t.downOp, t.downSource, t.downLeaf = a.grantOp, a.grantSource, a.grantLeaf
			t.zero = a.zero
			if edit != nil {
				edit(t)
			}
		}, append(needs, Need{"room in the channel", x.room})...)
	}
	data := do("takes Data", link.parentTakesData(leaf), func(t *State) {
		t.fromKid = func(l, k *Term) *Term { return and(s.fromKid(l, k), differ(l, leaf)) }
	})
	data.leaf = leaf
	return []*Move{
		do("takes a Req", link.parentTakesReq(), nil),
		do("unmarks", link.parentUnmarks(), nil),
		do("feeds", link.parentFeeds(), func(t *State) { t.beyond = with(s.beyond, s.parentLeaf) }),
		do("grants", link.parentGrants(source), nil),
		do("recalls", link.parentRecalls(keep, dst, leaf), func(t *State) {
			t.downRecall, t.downRecallKeep, t.downRecallDst, t.downRecallLeaf = True, keep, dst, leaf
		}),
		do("takes an Ack", link.parentTakesAck(), nil),
		data,
		do("stores", link.parentStores(zero), nil, s.storeNeeds()...),
	}
}
