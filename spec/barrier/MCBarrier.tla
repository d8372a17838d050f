----------------------------- MODULE MCBarrier -----------------------------
(***************************************************************************)
(* Parties and nodes for TLC, by name, bounds, and probes.                 *)
(***************************************************************************)
EXTENDS BarrierInvs

CONSTANTS
    Layout,   \* which of Layouts
    Mortal,   \* parties that may die
    Patient,  \* parties that ask for nothing before they know that they have left
    Last      \* so many rounds are looked at

\* Layouts name each party's node, and the seats that it asks for.
Layouts == [
    own   |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1}>>],
    both  |-> [a1 |-> <<"a", {0, 1}>>],
    rival |-> [a1 |-> <<"a", {0}>>, a2 |-> <<"a", {0}>>, b1 |-> <<"b", {0}>>],
    heirs |-> [a1 |-> <<"a", {0}>>, a2 |-> <<"a", {0}>>, b1 |-> <<"b", {1}>>, b2 |-> <<"b", {1}>>],
    heir  |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1}>>, b2 |-> <<"b", {1}>>],
    late  |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1, 2}>>],
    three |-> [a1 |-> <<"a", {0}>>, a2 |-> <<"a", {1}>>, b1 |-> <<"b", {2}>>]
]
MCNodeOf  == [p \in DOMAIN Layouts[Layout] |-> Layouts[Layout][p][1]]
MCAsks    == [p \in DOMAIN Layouts[Layout] |-> Layouts[Layout][p][2]]
MCParties == DOMAIN MCNodeOf
MCNodes   == {MCNodeOf[p] : p \in MCParties}
MCIndices == UNION {MCAsks[p] : p \in MCParties}

\* Numbers are names.  Where every behaviour is followed they are given again when
\* nobody knows them any more; where every state is looked at they grow, and a state
\* is known by their order alone.
MCNumbers == 1..(2 * Cardinality(MCParties) * Cardinality(MCIndices))
MCNext    == 1 + (IF InUse = {} THEN 0 ELSE CHOOSE g \in InUse : \A h \in InUse : h <= g)

\* Behaviours with more rounds of one generation are not followed, nor those in which
\* somebody patient asks for a seat before he has heard that he has left it.
Bounded ==
    /\ \A j \in DOMAIN barrier' : barrier'[j].over <= Last
    /\ dead' \subseteq Mortal
    /\ \A p \in Patient \ dead' : \E kind \in {"Join", "Leave"} : \A c \in calls'[p] : c[1] = kind

\* The answers of the last step are looked at in the step: they are no state.
Rank(g)     == Cardinality({h \in InUse : h <= g})
ByRank(f)   == [r \in {Rank(g) : g \in DOMAIN f} |-> f[CHOOSE g \in DOMAIN f : Rank(g) = r]]
Ranked(m)   == IF m.kind = "Join" THEN m ELSE [m EXCEPT !.gen = Rank(@)]
RankedAll(ch) == [n \in Nodes |-> [j \in DOMAIN ch[n] |-> Ranked(ch[n][j])]]
View ==
    << [n \in Nodes |-> ByRank(meeting[n])],
       [p \in Parties |-> {<<c[1], c[2], c[3], Rank(c[4])>> : c \in calls[p]}],
       dead,
       [j \in DOMAIN barrier |-> [barrier[j] EXCEPT !.gen = Rank(@)]],
       RankedAll(up), RankedAll(down), open, ByRank(uses) >>

(***************************************************************************)
(* Liveness: every party has one seat.  It joins, arrives and leaves again *)
(* and again, and may die once it has asked for the seat; then its heir    *)
(* comes for it.                                                           *)
(***************************************************************************)
Own(p)     == CHOOSE i \in MCAsks[p] : TRUE
Mine(p)    == meeting[NodeOf[p]][Held(p, Own(p))]
Leaving(p) == \E c \in calls[p] : c[1] = "Leave"
Asked(p)   == Seated(p, Own(p)) \/ calls[p] # {}
Turn(p)    == p \notin dead /\ \A q \in Parties \ {p} : Own(q) = Own(p) => (q \in dead \/ p \in Mortal)
All        == Cardinality(MCIndices)

\* It has to ask for its seat, to arrive in it, or to leave what is broken.
Due(p) ==
    /\ Turn(p)
    /\ IF Seated(p, Own(p))
       THEN Mine(p).broken \/ (Mine(p).over < Last /\ Mine(p).seats[Own(p)].arrived = Mine(p).over)
       ELSE calls[p] = {}

Asks1(p)    == ~Seated(p, Own(p)) /\ \E r \in Unused(p, Joins) : JoinBarrier(p, Own(p), All, r)
Arrives1(p) == Seated(p, Own(p)) /\ ~Mine(p).broken
               /\ \E r \in Unused(p, Waits) : AwaitBarrier(p, Own(p), All, Mine(p).over + 1, r)
Leaves1(p)  == Seated(p, Own(p)) /\ \E r \in Unused(p, Leaves) : LeaveBarrier(p, Own(p), r)

Asker(p) ==
    \/ Due(p) /\ (Asks1(p) \/ Arrives1(p))
    \/ Leaves1(p)
    \/ p \in Mortal /\ Asked(p) /\ ProcessDied(p)
Served     == \E n \in Nodes : NodeNext(n) \/ HomeNext(n)
AskersNext == (\E p \in Parties : Asker(p)) \/ Served

ComesTo(p) == Due(p) => ~Due(p)'
Fairness   == /\ \A n \in Nodes : []<><<TakesUp(n)>>_vars /\ []<><<TakesDown(n)>>_vars
              /\ \A p \in Parties : []<><<ComesTo(p)>>_vars
LiveSpec   == Init /\ [][AskersNext]_vars /\ Fairness

(***************************************************************************)
(* A program that uses a name again and again.  Each party joins, waits    *)
(* for Last rounds, and leaves, or ends (who is mortal); then it does so   *)
(* again, or its heir does.  It waits for every answer.                    *)
(***************************************************************************)
Idle(p)    == open[p] = {} /\ p \notin dead
Begins(p)  == Idle(p) /\ ~Leaving(p) /\ \A q \in Parties \ {p} : Own(q) = Own(p) => (q \in dead \/ p \in Mortal)
Through(p) == Seated(p, Own(p)) /\ Mine(p).over = Last

Loop(p) ==
    \/ Begins(p) /\ Asks1(p)
    \/ Idle(p) /\ Seated(p, Own(p)) /\ ~Through(p) /\ Arrives1(p)
    \/ Idle(p) /\ Through(p) /\ IF p \in Mortal THEN ProcessDied(p) ELSE Leaves1(p)
LoopNext == (\E p \in Parties : Loop(p)) \/ Served

\* Some step of a party, if it has one to take.
Steps(p)  == p \notin dead /\ open[p] = {} => p \in dead' \/ open'[p] # {}
LoopFair  == /\ \A n \in Nodes : []<><<TakesUp(n)>>_vars /\ []<><<TakesDown(n)>>_vars
             /\ \A p \in Parties \ Mortal : (\A q \in Mortal : Own(q) = Own(p) => <>(q \in dead)) => []<><<Steps(p)>>_vars
             /\ \A p \in Mortal : []<><<Steps(p)>>_vars
LoopSpec  == Init /\ [][LoopNext]_vars /\ LoopFair

\* Nobody is refused, and nobody is told of a loss.
LoopProp == [][\A a \in answers' : a.code = "OK"]_vars

\* Whoever has the name behind him has it before him again: round after round is over.
PassesProp == \A p \in Parties \ Mortal : []<>(\E a \in answers : a.party = p /\ a.kind = "Await")

----------------------------------------------------------------------------
(***************************************************************************)
(* Probes.  Each says that a state or a step never happens, and must be    *)
(* violated.                                                               *)
(***************************************************************************)

\* A second round is over.
ReachSecond == \A g \in Gens : Of(g).over < 2
\* An Arrive crosses Broken.
ReachArriveCrossesBroken ==
    ~ \E n \in Nodes : \E m \in Msgs(up[n]) : m.kind = "Arrive" /\ BrokenMsg(m.gen) \in Msgs(down[n])
\* A seat is given to a party that has died meanwhile.
ReachJoinedDead == ~ \E p \in dead : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.party = p /\ m.code = "OK"
\* A round is over and somebody who has left behind his arrival breaks the generation.
ReachBrokenBehindDone ==
    ~ \E n \in Nodes : Len(down[n]) > 1 /\ \E j \in 1..(Len(down[n]) - 1) : down[n][j].kind = "Done" /\ down[n][j + 1] = BrokenMsg(down[n][j].gen)
\* A seat is taken while the party of another has arrived and left.
ReachLateJoinProp ==
    [][~ \E j \in DOMAIN barrier \cap DOMAIN barrier' :
           barrier[j].left # {} /\ barrier'[j].gen = barrier[j].gen /\ DOMAIN barrier'[j].seats \ DOMAIN barrier[j].seats # {}]_barrier
\* Done comes to a seat that is being left.
ReachDoneWhileLeaving ==
    ~ \E n \in Nodes : Has(down[n], "Done") /\ Head(down[n]).gen \in Known(n) /\ \E i \in Here(n, Head(down[n]).gen) : meeting[n][Head(down[n]).gen].seats[i].leaving
\* A party asks for its seat again while its Leave is under way.
ReachAskBehindLeave ==
    ~ \E n \in Nodes : Len(up[n]) > 1 /\ up[n][1].kind = "Leave" /\ up[n][2].kind = "Join" /\ up[n][2].index = up[n][1].index
                       /\ up[n][2].party = up[n][1].party
\* The name is made anew while a node has not heard yet that its seat is left.
ReachNewLife == ~ \E n \in Nodes : barrier # <<>> /\ Known(n) # {} /\ \A g \in Known(n) : Kept(n, g) = {} /\ g \notin Gens
\* The next generation begins beside one that is broken, and one whose round goes on.
ReachNextBesideBroken == ~ \E j, k \in DOMAIN barrier : j < k /\ barrier[j].broken
ReachNextBesideRound  == ~ \E j, k \in DOMAIN barrier : j < k /\ ~barrier[j].broken
\* A party has seats in two generations, one of which it is leaving; and the seat of
\* one generation is one party's, in the next another's of the same node.
ReachTwoSeats == ~ \E n \in Nodes : \E g, h \in Known(n) : g # h /\ \E i \in Here(n, g) \cap Here(n, h) :
                     meeting[n][g].seats[i].party = meeting[n][h].seats[i].party
ReachTwoParties == ~ \E n \in Nodes : \E g, h \in Known(n) : g # h /\ \E i \in Here(n, g) \cap Here(n, h) :
                     meeting[n][g].seats[i].party # meeting[n][h].seats[i].party
\* An older generation is needed by somebody who comes when a newer one is there.
ReachOlderTakenProp == [][~ \E j \in DOMAIN barrier \cap DOMAIN barrier' :
                             j < Len(barrier) /\ barrier'[j].gen = barrier[j].gen /\ DOMAIN barrier'[j].seats \ DOMAIN barrier[j].seats # {}]_barrier
\* A seat is wanted that another party has, and of a barrier of another size.
ReachTaken    == ~ \E p \in Living : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.code = "Mismatch" /\ \E g \in Gens : m.parties = Of(g).parties
ReachOther    == ~ \E p \in Living : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.code = "Mismatch" /\ \E g \in Gens : m.parties # Of(g).parties
\* Somebody asks too often, and waits no more in his oldest request.
ReachTooOftenProp == [][~ \E a \in answers' : a.code = "Canceled"]_vars
\* A process asks twice for a seat before it has it.
ReachAskTwice == ~ \E n \in Nodes : Len(down[n]) > 1 /\ down[n][1].kind = "Joined" /\ down[n][2].kind = "Joined"
                                    /\ down[n][1].index = down[n][2].index /\ down[n][1].code = "OK" /\ down[n][2].code = "OK"
\* The second round of a program's third use of the name.
ReachAgain == ~ \E p \in dead : \E q \in Living : Own(q) = Own(p) /\ Through(q)
============================================================================
