---------------------------- MODULE MCTraceBarrier ---------------------------
(***************************************************************************)
(* A validator that accepts everything is worse than none.  This is a run  *)
(* that is a behaviour of Barrier, as impl/trace/validate writes it, with  *)
(* every action, and runs that differ from it in one thing each, and must  *)
(* not get beyond the event where they do.  A mutant of TraceBarrier lets  *)
(* one of them pass.                                                       *)
(***************************************************************************)
EXTENDS TraceBarrier

MCNodeOf  == [a1 |-> "a", b1 |-> "b", b2 |-> "b"]
MCParties == DOMAIN MCNodeOf
MCNodes   == {"a", "b"}

Call(r, i, k, round) == [request |-> r, index |-> i, parties |-> k, round |-> round]
NodeSeat(p, arrived, leaving, waits) == [party |-> p, arrived |-> arrived, leaving |-> leaving, waits |-> waits]
HomeSeat(p, arrived) == [party |-> p, arrived |-> arrived]
Meets(g, over, broken, seats) == g :> [parties |-> 2, over |-> over, broken |-> broken, seats |-> seats]
Stands(g, arrived, over, broken, left, seats) ==
    [gen |-> g, parties |-> 2, arrived |-> arrived, over |-> over, broken |-> broken, left |-> left, seats |-> seats]

\* Two rounds of two parties; the first leaves behind its arrival in the second, comes
\* again, which is the next generation, and the other one dies.
NextGood == Stands(9, 0, 0, FALSE, {}, 0 :> HomeSeat("a1", 0))
GoodShapes == <<
    [act |-> "JoinBarrier", node |-> "a", party |-> "a1", call |-> Call(1, 0, 2, 0), post |-> <<>>],
    [act |-> "HomeRecvJoin", node |-> "a", msg |-> JoinMsg("a1", 1, 0, 2),
     post |-> <<Stands(7, 0, 0, FALSE, {}, 0 :> HomeSeat("a1", 0))>>],
    [act |-> "RecvJoined", node |-> "a", party |-> "a1", msg |-> JoinedMsg("a1", 1, 0, 2, 7, "OK"),
     post |-> Meets(7, 0, FALSE, 0 :> NodeSeat("a1", 0, FALSE, <<>>))],
    [act |-> "JoinBarrier", node |-> "b", party |-> "b1", call |-> Call(2, 1, 2, 0), post |-> <<>>],
    [act |-> "HomeRecvJoin", node |-> "b", msg |-> JoinMsg("b1", 2, 1, 2),
     post |-> <<Stands(7, 0, 0, FALSE, {}, 0 :> HomeSeat("a1", 0) @@ 1 :> HomeSeat("b1", 0))>>],
    [act |-> "RecvJoined", node |-> "b", party |-> "b1", msg |-> JoinedMsg("b1", 2, 1, 2, 7, "OK"),
     post |-> Meets(7, 0, FALSE, 1 :> NodeSeat("b1", 0, FALSE, <<>>))],
    [act |-> "AwaitBarrier", node |-> "a", party |-> "a1", call |-> Call(3, 0, 2, 1),
     post |-> Meets(7, 0, FALSE, 0 :> NodeSeat("a1", 1, FALSE, <<3>>))],
    [act |-> "AwaitBarrier", node |-> "b", party |-> "b1", call |-> Call(4, 1, 2, 1),
     post |-> Meets(7, 0, FALSE, 1 :> NodeSeat("b1", 1, FALSE, <<4>>))],
    [act |-> "HomeRecvArrive", node |-> "b", msg |-> ArriveMsg("b1", 1, 7, 1),
     post |-> <<Stands(7, 1, 0, FALSE, {}, 0 :> HomeSeat("a1", 0) @@ 1 :> HomeSeat("b1", 1))>>],
    [act |-> "HomeRecvArrive", node |-> "a", msg |-> ArriveMsg("a1", 0, 7, 1),
     post |-> <<Stands(7, 0, 1, FALSE, {}, 0 :> HomeSeat("a1", 1) @@ 1 :> HomeSeat("b1", 1))>>],
    [act |-> "RecvDone", node |-> "a", party |-> "a1", msg |-> DoneMsg(7, 1),
     post |-> Meets(7, 1, FALSE, 0 :> NodeSeat("a1", 1, FALSE, <<>>))],
    [act |-> "RecvDone", node |-> "b", party |-> "b1", msg |-> DoneMsg(7, 1),
     post |-> Meets(7, 1, FALSE, 1 :> NodeSeat("b1", 1, FALSE, <<>>))],
    [act |-> "AwaitBarrier", node |-> "a", party |-> "a1", call |-> Call(5, 0, 2, 2),
     post |-> Meets(7, 1, FALSE, 0 :> NodeSeat("a1", 2, FALSE, <<5>>))],
    [act |-> "HomeRecvArrive", node |-> "a", msg |-> ArriveMsg("a1", 0, 7, 2),
     post |-> <<Stands(7, 1, 1, FALSE, {}, 0 :> HomeSeat("a1", 2) @@ 1 :> HomeSeat("b1", 1))>>],
    [act |-> "LeaveBarrier", node |-> "a", party |-> "a1", call |-> Call(6, 0, 0, 0),
     post |-> Meets(7, 1, FALSE, 0 :> NodeSeat("a1", 2, TRUE, <<>>))],
    [act |-> "HomeRecvLeave", node |-> "a", msg |-> LeaveMsg("a1", 6, 0, 7, "OK"),
     post |-> <<Stands(7, 1, 1, FALSE, {0}, 1 :> HomeSeat("b1", 1))>>],
    [act |-> "RecvLeft", node |-> "a", party |-> "a1", msg |-> LeftMsg("a1", 6, 0, 7), post |-> <<>>],
    [act |-> "JoinBarrier", node |-> "a", party |-> "a1", call |-> Call(8, 0, 2, 0), post |-> <<>>],
    [act |-> "HomeRecvJoin", node |-> "a", msg |-> JoinMsg("a1", 8, 0, 2),
     post |-> <<Stands(7, 1, 1, FALSE, {0}, 1 :> HomeSeat("b1", 1)), NextGood>>],
    [act |-> "RecvJoined", node |-> "a", party |-> "a1", msg |-> JoinedMsg("a1", 8, 0, 2, 9, "OK"),
     post |-> Meets(9, 0, FALSE, 0 :> NodeSeat("a1", 0, FALSE, <<>>))],
    [act |-> "AwaitBarrier", node |-> "b", party |-> "b1", call |-> Call(7, 1, 2, 2),
     post |-> Meets(7, 1, FALSE, 1 :> NodeSeat("b1", 2, FALSE, <<7>>))],
    [act |-> "HomeRecvArrive", node |-> "b", msg |-> ArriveMsg("b1", 1, 7, 2),
     post |-> <<Stands(7, 0, 2, TRUE, {0}, 1 :> HomeSeat("b1", 2)), NextGood>>],
    [act |-> "RecvDone", node |-> "b", party |-> "b1", msg |-> DoneMsg(7, 2),
     post |-> Meets(7, 2, FALSE, 1 :> NodeSeat("b1", 2, FALSE, <<>>))],
    [act |-> "RecvBroken", node |-> "b", party |-> "b1", msg |-> BrokenMsg(7),
     post |-> Meets(7, 2, TRUE, 1 :> NodeSeat("b1", 2, FALSE, <<>>))],
    [act |-> "ProcessDied", node |-> "b", party |-> "b1", call |-> Call(0, 0, 0, 0),
     post |-> Meets(7, 2, TRUE, 1 :> NodeSeat("b1", 2, TRUE, <<>>))],
    [act |-> "HomeRecvLeave", node |-> "b", msg |-> LeaveMsg("b1", 0, 1, 7, "PartyDied"), post |-> <<NextGood>>],
    [act |-> "RecvLeft", node |-> "b", party |-> "b1", msg |-> LeftMsg("b1", 0, 1, 7), post |-> <<>>] >>

Good == [i \in 1..Len(GoodShapes) |-> <<i>>]

\* What differs: the event, and what the log has there instead.
Altered == <<
    \* messages that were not sent, to the home and from it
    [at |-> 2, shape |-> [GoodShapes[2] EXCEPT !.msg.parties = 3]],
    [at |-> 3, shape |-> [GoodShapes[3] EXCEPT !.msg.code = "Mismatch"]],
    [at |-> 11, shape |-> [GoodShapes[11] EXCEPT !.msg.round = 2]],
    \* a round that is over one arrival too early, and one that is not over
    [at |-> 9, shape |-> [GoodShapes[9] EXCEPT !.post[1].arrived = 0, !.post[1].over = 1]],
    [at |-> 10, shape |-> [GoodShapes[10] EXCEPT !.post[1].arrived = 2, !.post[1].over = 0]],
    \* a seat that is given to nobody, and to another party
    [at |-> 5, shape |-> [GoodShapes[5] EXCEPT !.post[1].seats = 0 :> HomeSeat("a1", 0)]],
    [at |-> 6, shape |-> [GoodShapes[6] EXCEPT !.post[7].seats = 1 :> NodeSeat("b2", 0, FALSE, <<>>)]],
    \* a request that is forgotten, and one that waits on
    [at |-> 7, shape |-> [GoodShapes[7] EXCEPT !.post[7].seats = 0 :> NodeSeat("a1", 1, FALSE, <<>>)]],
    [at |-> 12, shape |-> [GoodShapes[12] EXCEPT !.post[7].seats = 1 :> NodeSeat("b1", 1, FALSE, <<4>>)]],
    \* a party that has left behind its arrival breaks the round, or nothing
    [at |-> 16, shape |-> [GoodShapes[16] EXCEPT !.post[1].broken = TRUE]],
    [at |-> 22, shape |-> [GoodShapes[22] EXCEPT !.post[1].broken = FALSE]],
    \* a dead party that keeps its seat, and one of another seat
    [at |-> 25, shape |-> [GoodShapes[25] EXCEPT !.post[7].seats = 1 :> NodeSeat("b1", 2, FALSE, <<>>)]],
    [at |-> 25, shape |-> [GoodShapes[25] EXCEPT !.party = "b2"]],
    \* a generation with a number that one has, one that is not the newest, and a seat
    \* in one that was left
    [at |-> 19, shape |-> [GoodShapes[19] EXCEPT !.post[2].gen = 7]],
    [at |-> 19, shape |-> [GoodShapes[19] EXCEPT !.post[2].gen = 5]],
    [at |-> 19, shape |-> [GoodShapes[19] EXCEPT !.post = <<Stands(7, 1, 1, FALSE, {0}, 0 :> HomeSeat("a1", 0) @@ 1 :> HomeSeat("b1", 1))>>]],
    [at |-> 20, shape |-> [GoodShapes[20] EXCEPT !.msg.gen = 7]],
    \* somebody waits for the round after the next
    [at |-> 13, shape |-> [GoodShapes[13] EXCEPT !.call.round = 3]] >>

Bad(i) == [Good EXCEPT ![Altered[i].at] = <<Len(GoodShapes) + i>>]

\* Events that are missing, and one that comes twice.
Without9 == SubSeq(Good, 1, 8) \o SubSeq(Good, 10, Len(Good))
Twice11  == SubSeq(Good, 1, 11) \o SubSeq(Good, 11, Len(Good))

\* One that came to rest, and those that did with a message under way, to the home
\* and from it.
Ended(n) == SubSeq(Good, 1, n) \o << <<Len(GoodShapes) + Len(Altered) + 1>> >>

MCTrace  == <<Good>> \o [i \in 1..Len(Altered) |-> Bad(i)] \o <<Without9, Twice11, Ended(1), Ended(2), Ended(3)>>
MCShapes == GoodShapes \o [i \in 1..Len(Altered) |-> Altered[i].shape] \o << [act |-> "End"] >>

\* The event at which each must be refused; the good run comes first.
RefusedAt == [i \in 1..Len(Altered) |-> Altered[i].at] \o <<9, 12, 2, 3, 5>>

\* What is wrong is refused where it is.
RefusedInv == object > 1 => next <= RefusedAt[object - 1]

\* What is right is accepted: this must be violated.
ReachAccepted == ~ (object = 1 /\ next > Len(Good))

\* So is the one that came to rest.
ReachEnded == ~ (object = Len(RefusedAt) + 1 /\ next = RefusedAt[object - 1])
=============================================================================
