-------------------------------- MODULE Link -------------------------------
(***************************************************************************)
(* The contract of one link of the tree: what a parent, with the whole     *)
(* rest of the tree behind it, may do to a child, and what a child, with   *)
(* its whole subtree, may do to its parent.  Nothing is said of how either *)
(* side is built.                                                          *)
(*                                                                         *)
(* The state of a link is one record, and both sides are sets of next      *)
(* states, so that a harness can run an abstract side next to real         *)
(* managers, and compare real steps with the contract.  Its fields:        *)
(*   inside, outside  the leaves below the link, and the others (constant) *)
(*   cur              the content of the page                              *)
(*   up, down         the two FIFO channels                                *)
(*   in, out          Data that crosses the link, [to, val], until whoever *)
(*                    it is for has taken it together with its Grant       *)
(*  of the child:                                                          *)
(*   right            what the subtree may do                              *)
(*   req              its request that is not answered: op, leaf           *)
(*   sent             Data was sent for the Recall at the head of down.  A *)
(*                    Recall that is being answered is still in down       *)
(*  of the parent:                                                         *)
(*   rec              the right that is recorded for the child             *)
(*   held             the request that was taken from up: op, leaf, have   *)
(*   asked            a Recall is not answered yet                         *)
(***************************************************************************)
EXTENDS Types

CONSTANTS Zero, Values

NoReq == [op |-> "none"]

Start(inside, outside) ==
    [inside |-> inside, outside |-> outside, cur |-> Zero,
     up |-> <<>>, down |-> <<>>, in |-> {}, out |-> {},
     right |-> None, req |-> NoReq, sent |-> FALSE,
     rec |-> None, held |-> NoReq, asked |-> FALSE]

HeadIs(ch, kind) == ch # <<>> /\ Head(ch).kind = kind

Grants(s)  == {i \in 1..Len(s.down) : s.down[i].kind = "Grant"}
Recalls(s) == {i \in 1..Len(s.down) : s.down[i].kind = "Recall"}
Reqs(s)    == {i \in 1..Len(s.up) : s.up[i].kind = "Req"}
Acks(s)    == {i \in 1..Len(s.up) : s.up[i].kind = "Ack"}

(***************************************************************************)
(* The child's side                                                        *)
(***************************************************************************)

\* A request for write that rests on a read copy keeps that copy in place.
Pinned(s) ==
    \/ \E i \in Reqs(s) : s.up[i].op = "write" /\ s.up[i].have = Read
    \/ s.held.op = "write" /\ s.held.have = Read
    \/ \E i \in Grants(s) : s.down[i].op = "write" /\ s.down[i].source = "have"

ChildAsks(s) ==
    LET free == {l \in s.inside : \A d \in s.in : d.to # l}
        ask(op, l, have) ==
            [s EXCEPT !.req = [op |-> op, leaf |-> l],
                      !.up = Append(@, [kind |-> "Req", op |-> op, leaf |-> l, have |-> have])]
    IN  IF s.req # NoReq THEN {}
        ELSE UNION {
            IF s.right = None THEN {ask("read", l, None) : l \in free} ELSE {},
            IF s.right >= Write THEN {}
            ELSE IF s.right = Owned THEN {ask("write", l, Owned) : l \in free}
            ELSE {ask("write", l, None) : l \in free} \cup {ask("write", l, s.right) : l \in free},
            IF s.right >= Owned THEN {ask("writeback", l, s.right) : l \in free} ELSE {}}

\* A leaf takes its Data with the Grant; below a manager it may come later.
ChildTakesGrant(s) ==
    IF ~HeadIs(s.down, "Grant") THEN {}
    ELSE LET g == Head(s.down)
             t == [s EXCEPT !.down = Tail(@), !.req = NoReq,
                            !.right = CASE g.op = "read"  -> Max(@, Read)
                                        [] g.op = "write" -> Write
                                        [] OTHER          -> @]
         IN  {t, [t EXCEPT !.in = {d \in @ : d.to # g.leaf}]}

ChildTakesData(s) ==
    {[s EXCEPT !.in = @ \ {d}] : d \in {e \in s.in : s.req = NoReq \/ s.req.leaf # e.to}}

ChildSends(s) ==
    IF HeadIs(s.down, "Recall") /\ Head(s.down).dst # "nobody" /\ ~s.sent /\ s.right >= Read
    THEN LET r == Head(s.down)
         IN  {[s EXCEPT !.sent = TRUE,
                        !.out = @ \cup {[to  |-> IF r.dst = "home" THEN "home" ELSE r.leaf,
                                         val |-> s.cur]}]}
    ELSE {}

\* An owner has always sent; without Data, a fetch leaves nothing; and who has
\* nothing left expects nothing either.
ChildAcks(s) ==
    IF ~HeadIs(s.down, "Recall") THEN {}
    ELSE LET r    == Head(s.down)
             keep == IF r.keep # None /\ ~s.sent THEN None ELSE Min(s.right, r.keep)
         IN  IF /\ s.right >= Owned /\ r.dst # "nobody" => s.sent
                /\ keep = None => s.in = {}
                /\ r.keep # None /\ ~s.sent => s.right = None \/ ~Pinned(s)
             THEN {[s EXCEPT !.down = Tail(@), !.sent = FALSE, !.right = Min(@, keep),
                             !.up = Append(@, [kind |-> "Ack", keep |-> keep, hit |-> s.sent])]}
             ELSE {}

ChildEvicts(s) ==
    IF s.right = Read /\ ~Pinned(s) /\ s.in = {} THEN {[s EXCEPT !.right = None]} ELSE {}

ChildMayStore(s) == s.right = Write /\ ~s.sent /\ s.in = {}
ChildStores(s) ==
    IF ChildMayStore(s) THEN {[s EXCEPT !.cur = v] : v \in (Values \cup {Zero}) \ {s.cur}} ELSE {}

ChildSteps(s) ==
    UNION {ChildAsks(s), ChildTakesGrant(s), ChildTakesData(s), ChildSends(s),
           ChildAcks(s), ChildEvicts(s), ChildStores(s)}

(***************************************************************************)
(* The parent's side                                                       *)
(***************************************************************************)

\* Data for the request is on its way, or there.
Fed(s) == s.held.op \in {"read", "write"} /\ \E d \in s.in : d.to = s.held.leaf

Supported(s) == s.held.have # None /\ s.rec >= s.held.have

ParentTakesReq(s) ==
    IF HeadIs(s.up, "Req") /\ s.held = NoReq
    THEN LET r == Head(s.up)
         IN  {[s EXCEPT !.up = Tail(@), !.held = [op |-> r.op, leaf |-> r.leaf, have |-> r.have]]}
    ELSE {}

\* Who asks to read says that it has nothing.
ParentUnmarks(s) ==
    IF s.held.op = "read" /\ s.rec # None /\ ~s.asked THEN {[s EXCEPT !.rec = None]} ELSE {}

ParentFeeds(s) ==
    IF /\ s.held.op \in {"read", "write"} /\ ~s.asked /\ ~Fed(s)
       /\ IF s.held.op = "read" THEN s.rec = None ELSE ~Supported(s)
    THEN {[s EXCEPT !.in = @ \cup {[to |-> s.held.leaf, val |-> s.cur]}]}
    ELSE {}

ParentGrants(s) ==
    LET grant(right, source) ==
            [s EXCEPT !.held = NoReq, !.rec = right,
                      !.down = Append(@, [kind |-> "Grant", op |-> s.held.op,
                                          source |-> source, leaf |-> s.held.leaf])]
        fresh == IF Fed(s) THEN {"sent"} ELSE IF s.cur = Zero THEN {"zero"} ELSE {}
    IN  IF s.held = NoReq \/ s.asked THEN {}
        ELSE CASE s.held.op = "read" ->
                    IF s.rec = None THEN {grant(Read, x) : x \in fresh} ELSE {}
               [] s.held.op = "write" ->
                    IF s.out = {}
                    THEN {grant(Write, x) : x \in fresh \cup IF Supported(s) /\ ~Fed(s) THEN {"have"} ELSE {}}
                    ELSE {}
               [] s.held.op = "writeback" -> {grant(s.rec, "have")}

ParentRecalls(s) ==
    LET recall(keep, dst, l) ==
            [s EXCEPT !.asked = TRUE,
                      !.down = Append(@, [kind |-> "Recall", keep |-> keep, dst |-> dst, leaf |-> l])]
    IN  IF s.rec = None \/ s.asked \/ Fed(s) THEN {}
        ELSE UNION {
            {recall(None, "nobody", l) : l \in s.outside},
            IF s.rec >= Owned
            THEN {recall(k, "leaf", l) : k \in {None, Owned}, l \in s.outside}
            ELSE {recall(Read, "leaf", l) : l \in s.outside},
            IF s.rec >= Owned /\ s.held.op = "writeback"
            THEN {recall(Read, "home", s.held.leaf)} ELSE {}}

ParentTakesAck(s) ==
    IF HeadIs(s.up, "Ack")
    THEN {[s EXCEPT !.up = Tail(@), !.asked = FALSE, !.rec = Min(@, Head(s.up).keep)]}
    ELSE {}

ParentTakesData(s) == {[s EXCEPT !.out = @ \ {d}] : d \in s.out}

ParentMayStore(s) == s.rec = None /\ ~Fed(s) /\ s.out = {}
ParentStores(s) ==
    IF ParentMayStore(s) THEN {[s EXCEPT !.cur = v] : v \in (Values \cup {Zero}) \ {s.cur}} ELSE {}

ParentSteps(s) ==
    UNION {ParentTakesReq(s), ParentUnmarks(s), ParentFeeds(s), ParentGrants(s),
           ParentRecalls(s), ParentTakesAck(s), ParentTakesData(s), ParentStores(s)}

(***************************************************************************)
(* A handler may take several steps of a link at once.  t is reached from  *)
(* s by at most n steps of one side; what cannot lead there is cut off.    *)
(***************************************************************************)
Prefix(a, b) == Len(a) <= Len(b) /\ SubSeq(b, 1, Len(a)) = a
Suffix(a, b) == Len(a) <= Len(b) /\ SubSeq(b, Len(b) - Len(a) + 1, Len(b)) = a

RECURSIVE ChildPath(_, _, _)
ChildPath(s, t, n) ==
    IF s = t THEN TRUE
    ELSE IF n = 0 THEN FALSE
    ELSE \E u \in ChildSteps(s) :
            /\ Prefix(u.up, t.up) /\ Suffix(t.down, u.down)
            /\ t.in \subseteq u.in /\ u.out \subseteq t.out /\ u.cur = t.cur
            /\ ChildPath(u, t, n - 1)

RECURSIVE ParentPath(_, _, _)
ParentPath(s, t, n) ==
    IF s = t THEN TRUE
    ELSE IF n = 0 THEN FALSE
    ELSE \E u \in ParentSteps(s) :
            /\ Prefix(u.down, t.down) /\ Suffix(t.up, u.up)
            /\ u.in \subseteq t.in /\ t.out \subseteq u.out /\ u.cur = t.cur
            /\ ParentPath(u, t, n - 1)

(***************************************************************************)
(* What the contract gives.                                                *)
(***************************************************************************)

\* Data in flight is current.
Current(s) == \A d \in s.in \cup s.out : d.val = s.cur

\* The child has no more than is recorded.
Within(s) == s.right <= s.rec

\* Only the side that has write alone changes the content, and never while Data is
\* in flight.
OneWriter(s) ==
    /\ ~(ChildMayStore(s) /\ ParentMayStore(s))
    /\ ChildMayStore(s) \/ ParentMayStore(s) => s.in = {} /\ s.out = {}
    /\ ParentMayStore(s) => s.right = None
    /\ ChildMayStore(s) => s.rec = Write

\* A child that is recorded as the owner is, or is about to be, or has just answered.
OwnerSupplies(s) ==
    s.rec >= Owned => \/ s.right = s.rec
                      \/ \E i \in Grants(s) : s.down[i].op = "write"
                      \/ Acks(s) # {}

\* "have" is true when it arrives.
HaveHolds(s) ==
    \A i \in Grants(s) : s.down[i].op = "write" /\ s.down[i].source = "have" => s.right >= Read

\* A channel holds one message of a kind; a Grant is never behind a Recall.
Bounded(s) ==
    /\ Cardinality(Grants(s)) <= 1 /\ Cardinality(Recalls(s)) <= 1
    /\ Cardinality(Reqs(s)) <= 1 /\ Cardinality(Acks(s)) <= 1
    /\ \A i \in Grants(s), j \in Recalls(s) : i < j

\* A Recall or its Ack is under way exactly while the parent waits; a request is at
\* exactly one place.
Answered(s) ==
    /\ s.asked <=> Cardinality(Recalls(s)) + Cardinality(Acks(s)) = 1
    /\ (s.req # NoReq) <=> Cardinality(Reqs(s)) + Cardinality(Grants(s))
                           + (IF s.held = NoReq THEN 0 ELSE 1) = 1

Keeps(s) == Current(s) /\ Within(s) /\ OneWriter(s) /\ OwnerSupplies(s) /\ HaveHolds(s)
            /\ Bounded(s) /\ Answered(s)
============================================================================
