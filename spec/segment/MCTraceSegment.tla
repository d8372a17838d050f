--------------------------- MODULE MCTraceSegment ---------------------------
(***************************************************************************)
(* A validator that accepts everything is worse than none.  These are runs *)
(* that are behaviours of Segment, as impl/trace/validate writes them; and *)
(* runs that differ from one of them in one thing, and must not get beyond *)
(* the event where they do.  A mutant of TraceSegment lets one of them     *)
(* pass.                                                                   *)
(***************************************************************************)
EXTENDS TraceSegment

MCNodes == {"A", "B"}

-----------------------------------------------------------------------------
(* Events.  A is the page's home.  g is a generation, or 0 where no segment  *)
(* has the page, and k the number of a message that was kept.                *)

In(g)               == IF g = 0 THEN {} ELSE {[name |-> "a", gen |-> g]}
Had(has, newest)    == [act |-> "Store", has |-> has, newest |-> newest]
Store(g, newest)    == Had(In(g), newest)
Viewed(n, g, newest, elsewhere) ==
    [act |-> "View", at |-> n, has |-> In(g), newest |-> newest, elsewhere |-> elsewhere]
Views(n, g, newest) == Viewed(n, g, newest, {})

Msg(kind, g, k) == [kind |-> kind, gen |-> g, number |-> k]

Came(act, n, m, kind, g, k) ==
    [act |-> act, at |-> n, from |-> m, link |-> kind # "Data", msg |-> Msg(kind, g, k),
     leaf |-> kind \in {"Grant", "Recall"}, early |-> TRUE]
Early(n, m, g, k)         == Came("Refused", n, m, "Req", g, k)
Dropped(n, m, kind, g, k) == Came("Nothing", n, m, kind, g, k)
Held(n, m, g)             == Came("Waits", n, m, "Recall", g, 0)

Leaf(act, n, m, link, kind, g, op, right, asks) ==
    [act |-> act, at |-> n, from |-> m, link |-> link, msg |-> Msg(kind, g, 0), manager |-> "leaf",
     op |-> op, right |-> right, asks |-> asks]
Faults(n, g, op, right) ==
    Leaf(IF op = "read" THEN "ReadFault" ELSE "WriteFault", n, n, FALSE, "Req", g, op, right, op)
Cleans(n, g, right)     == Leaf("Writeback", n, n, FALSE, "Req", g, "writeback", right, "writeback")
Evicts(n, g)            == Leaf("Evict", n, n, FALSE, "invalid", g, "none", "none", "none")
Data(n, m, g, right, asks)      == Leaf("RecvData", n, m, FALSE, "Data", g, "none", right, asks)
Granted(n, m, g, right)         == Leaf("LeafRecvGrant", n, m, TRUE, "Grant", g, right, right, "none")
Recalled(n, m, link, g, right, asks) == Leaf("LeafRecvRecall", n, m, link, "Recall", g, "none", right, asks)

Root(act, kind, m, g, k, idle, alone) ==
    [act |-> act, at |-> "A", from |-> m, link |-> m # "A", msg |-> Msg(kind, g, k), manager |-> "root",
     idle |-> idle, alone |-> alone]
Asked(m, g, k) == Root("RecvReq", "Req", m, g, k, TRUE, TRUE)
Acked(m, g)    == Root("RecvAck", "Ack", m, g, 0, FALSE, FALSE)

Answered(n, op, answer) == [act |-> "Fault", at |-> n, op |-> op, answer |-> answer]
Ends                 == [act |-> "End"]

Past  == << Store(0, 0), Store(1, 1), Store(0, 1), Store(3, 3) >>
Begun == Past \o << Views("A", 1, 1), Views("B", 1, 1) >>

Good == <<
    \* 1: B's request is out when its segment goes, and that of the next one is early
    Begun \o <<
        Faults("B", 1, "read", "none"), Asked("B", 1, 0), Data("B", "A", 1, "none", "read"), Granted("B", "A", 1, "read"),
        Answered("B", "read", "granted"), Faults("B", 1, "write", "read"), Answered("B", "write", "nothing"),
        Views("B", 3, 3), Faults("B", 3, "write", "none"),
        Asked("B", 1, 0), Dropped("B", "A", "Grant", 1, 0), Dropped("B", "A", "Data", 1, 0), Early("A", "B", 3, 1),
        Views("A", 0, 1), Early("A", "B", 3, 1), Answered("A", "read", "refused"),
        Views("A", 3, 3), Asked("B", 3, 1), Granted("B", "A", 3, "write"), Held("B", "A", 3),
        Recalled("B", "A", FALSE, 3, "read", "none"), Acked("B", 3), Ends >>,
    \* 2: what was asked in a life that its home has not heard of is replaced; what is looked
    \* at later is late
    << Store(0, 0), Store(1, 1), Store(0, 1), Store(2, 2), Store(0, 2), Store(3, 3), Views("A", 0, 0), Views("B", 1, 1),
       Faults("B", 1, "read", "none"), Early("A", "B", 1, 1), Views("B", 2, 2), Faults("B", 2, "read", "none"),
       Early("A", "B", 2, 2), Views("A", 1, 1), Early("A", "B", 2, 2), Views("A", 3, 3), Dropped("A", "B", "Req", 2, 2),
       Faults("A", 3, "read", "none"), Asked("A", 3, 0), Ends >>,
    \* 3: another segment changes, and all stays as it was
    << Store(0, 0), Store(1, 1), Store(1, 2), Store(0, 2), Views("A", 1, 1), Views("B", 1, 1),
       Faults("B", 1, "write", "none"), Asked("B", 1, 0), Views("B", 1, 2), Answered("B", "write", "nothing"),
       Granted("B", "A", 1, "write"), Views("A", 1, 2), Views("A", 1, 2), Cleans("B", 1, "write"), Held("B", "A", 1),
       Recalled("B", "A", FALSE, 1, "read", "writeback"), Dropped("B", "A", "Grant", 1, 0),
       Leaf("LeafRecvGrant", "B", "A", FALSE, "Grant", 1, "writeback", "read", "none"), Evicts("B", 1),
       Views("B", 0, 2), Ends >> >>

-----------------------------------------------------------------------------
(* Runs that are wrong: the good run of that number up to the event before at, *)
(* and then those of is.  The first of these is wrong, or that at refused.     *)

Bad(run, at, is) == [run |-> run, at |-> at, refused |-> at, is |-> is \o << Ends >>]
BadLater(run, at, refused, is) == [Bad(run, at, is) EXCEPT !.refused = refused]

Wrong == <<
    \* a generation comes again, there are two at once, one has two segments
    Bad(1, 4, << Store(1, 2) >>),
    Bad(1, 3, << Store(2, 1) >>),
    Bad(1, 5, << Store(2, 3) >>),
    Bad(1, 3, << Had({[name |-> "b", gen |-> 1]}, 1) >>),
    Bad(1, 5, << Viewed("A", 0, 1, {1}) >>),
    \* a page is in two segments
    Bad(1, 4, << Had({[name |-> "a", gen |-> 2], [name |-> "b", gen |-> 3]}, 3) >>),
    \* a view goes back
    Bad(1, 16, << Views("B", 1, 1) >>),
    Bad(3, 13, << Views("B", 1, 1) >>),
    \* a message is refused that is not early: of the node's generation, of one that is gone, or
    \* for another reason; something else than a request is early
    Bad(1, 8, << Early("A", "B", 1, 1) >>),
    Bad(1, 24, << Early("A", "B", 3, 1) >>),
    Bad(1, 17, << Came("Refused", "B", "A", "Grant", 1, 1) >>),
    Bad(1, 19, << [Early("A", "B", 3, 1) EXCEPT !.early = FALSE] >>),
    Bad(1, 19, << Came("Refused", "A", "B", "Ack", 3, 1) >>),
    Bad(1, 19, << Came("Refused", "A", "B", "Data", 3, 1) >>),
    \* one is dropped that is early, or the node's own
    Bad(1, 19, << Dropped("A", "B", "Req", 3, 0) >>),
    Bad(1, 19, << Dropped("A", "B", "Data", 3, 0) >>),
    Bad(1, 8, << Dropped("A", "B", "Req", 1, 0) >>),
    Bad(1, 9, << Dropped("B", "A", "Data", 1, 0) >>),
    \* one waits that is late
    Bad(1, 17, << Held("B", "A", 1) >>),
    \* one is taken that is early, or late, on the link, beside it, within the node, or behind a wait
    Bad(1, 19, << Asked("B", 3, 0) >>),
    Bad(1, 24, << Asked("B", 1, 0) >>),
    Bad(1, 17, << Granted("B", "A", 1, "read") >>),
    Bad(1, 18, << Data("B", "A", 1, "none", "write") >>),
    Bad(2, 19, << Asked("A", 2, 0) >>),
    BadLater(1, 17, 18, << Dropped("B", "A", "Grant", 1, 0), [Granted("B", "A", 1, "read") EXCEPT !.link = FALSE] >>),
    \* what was kept is not looked at, not first, or comes again when it was replaced
    Bad(1, 24, << Ends >>),
    Bad(1, 24, << Asked("B", 3, 0) >>),
    Bad(1, 24, << Dropped("A", "B", "Req", 2, 0) >>),
    Bad(2, 15, << Asked("B", 1, 1) >>),
    Bad(2, 17, << Dropped("A", "B", "Req", 1, 1) >>),
    \* a right or a request outlives its segment
    Bad(1, 15, << Faults("B", 3, "write", "read") >>),
    Bad(1, 15, << Answered("B", "read", "granted") >>),
    Bad(1, 15, << Answered("B", "write", "nothing") >>),
    \* and is forgotten for another one
    Bad(3, 10, << Faults("B", 1, "write", "none") >>),
    Bad(1, 11, << Faults("B", 1, "read", "read") >>),
    Bad(3, 14, << Cleans("B", 1, "none") >>),
    \* a manager begins a life with something else than a request, busy, or with others
    Bad(2, 19, << Root("RecvAck", "Ack", "A", 3, 0, TRUE, TRUE) >>),
    Bad(2, 19, << Root("RecvReq", "Req", "A", 3, 0, FALSE, TRUE) >>),
    Bad(1, 24, << [Asked("B", 3, 1) EXCEPT !.idle = FALSE] >>),
    Bad(1, 24, << [Asked("B", 3, 1) EXCEPT !.alone = FALSE] >>),
    \* what a leaf has and asks for changes by itself
    Bad(1, 25, << [Granted("B", "A", 3, "write") EXCEPT !.asks = "write"] >>),
    Bad(1, 12, << Data("B", "A", 1, "write", "none") >>),
    Bad(1, 12, << Recalled("B", "A", TRUE, 1, "write", "none") >>),
    Bad(3, 16, << Recalled("B", "A", FALSE, 1, "read", "none") >>),
    Bad(1, 12, << Granted("B", "A", 1, "write") >>),
    Bad(1, 7, << [Faults("B", 1, "read", "none") EXCEPT !.asks = "none"] >>),
    \* something happens to a page without a segment, or a fault is refused where there is one
    Bad(1, 21, << Evicts("A", 0) >>),
    Bad(1, 11, << Answered("B", "read", "refused") >>) >>

-----------------------------------------------------------------------------

Runs ==
    LET good == Good
        wrong == Wrong
        Differs(w) == SubSeq(good[w.run], 1, w.at - 1) \o w.is
    IN  good \o [i \in 1..Len(wrong) |-> Differs(wrong[i])]

\* A shape's place is that of its event: no run has a hundred.
AllShapes ==
    LET runs == Runs
    IN  [k \in UNION {{100 * o + i : i \in 1..Len(runs[o])} : o \in 1..Len(runs)} |-> runs[k \div 100][k % 100]]
AllTraces ==
    LET runs == Runs
    IN  [o \in 1..Len(runs) |-> [i \in 1..Len(runs[o]) |-> << 100 * o + i >>]]
AllWrong == Wrong
GoodRuns == Len(Good)

\* And what a configuration puts in place of a constant, at every use.
MCTrace  == AllTraces
MCShapes == AllShapes

\* What is wrong is refused where it is.
RefusedInv == object > GoodRuns => next <= AllWrong[object - GoodRuns].refused

\* What is right is accepted, and what is wrong goes on until it is: no other state is
\* without a step.
GoesOnInv ==
    \/ object > GoodRuns /\ next = AllWrong[object - GoodRuns].refused
    \/ ENABLED TraceNext

\* The last good run comes to its end: this must be violated.
ReachAccepted == ~(object = GoodRuns /\ next > Len(AllTraces[object]))
=============================================================================
