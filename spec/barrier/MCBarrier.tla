----------------------------- MODULE MCBarrier -----------------------------
(***************************************************************************)
(* Parties and nodes for TLC, by name, bounds, and probes.                 *)
(***************************************************************************)
EXTENDS BarrierInvs

CONSTANTS
    Layout,   \* which of Layouts
    Mortal,   \* parties that may die
    Last      \* so many rounds are looked at

\* Layouts name each party's node, and the seats that it asks for.
Layouts == [
    own   |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1}>>],
    both  |-> [a1 |-> <<"a", {0, 1}>>],
    rival |-> [a1 |-> <<"a", {0}>>, a2 |-> <<"a", {0}>>, b1 |-> <<"b", {0}>>],
    heir  |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1}>>, b2 |-> <<"b", {1}>>],
    late  |-> [a1 |-> <<"a", {0}>>, b1 |-> <<"b", {1, 2}>>],
    three |-> [a1 |-> <<"a", {0}>>, a2 |-> <<"a", {1}>>, b1 |-> <<"b", {2}>>]
]
MCNodeOf  == [p \in DOMAIN Layouts[Layout] |-> Layouts[Layout][p][1]]
MCAsks    == [p \in DOMAIN Layouts[Layout] |-> Layouts[Layout][p][2]]
MCParties == DOMAIN MCNodeOf
MCNodes   == {MCNodeOf[p] : p \in MCParties}
MCIndices == UNION {MCAsks[p] : p \in MCParties}

\* Behaviours with more rounds are not followed.
Bounded == barrier'.over <= Last /\ dead' \subseteq Mortal

\* The answers of the last step are looked at in the step: they are no state.
View == <<meeting, calls, dead, barrier, up, down, open, came, lost>>

(***************************************************************************)
(* Liveness: every party has one seat.  It joins, arrives and leaves again *)
(* and again, and may die once it has asked for the seat; then its heir    *)
(* comes for it.                                                           *)
(***************************************************************************)
Own(p)     == CHOOSE i \in MCAsks[p] : TRUE
HasOwn(p)  == Own(p) \in Known(NodeOf[p]) /\ meeting[NodeOf[p]].seats[Own(p)].party = p
Asked(p)   == HasOwn(p) \/ calls[p] # {}
Turn(p)    == p \notin dead /\ \A q \in Parties \ {p} : Own(q) = Own(p) => (q \in dead \/ p \in Mortal)
All        == Cardinality(MCIndices)

\* It has to ask for its seat, or to arrive in it.
Due(p) ==
    /\ Turn(p)
    /\ IF HasOwn(p)
       THEN LET m == meeting[NodeOf[p]]
            IN  Seated(p, Own(p)) /\ ~m.broken /\ m.over < Last /\ m.seats[Own(p)].arrived = m.over
       ELSE calls[p] = {}

Asker(p) ==
    \/ Due(p) /\ ~HasOwn(p) /\ \E r \in Unused(p, Joins) : JoinBarrier(p, Own(p), All, r)
    \/ Due(p) /\ HasOwn(p) /\ \E r \in Unused(p, Waits) : AwaitBarrier(p, Own(p), All, meeting[NodeOf[p]].over + 1, r)
    \/ Seated(p, Own(p)) /\ \E r \in Unused(p, Leaves) : LeaveBarrier(p, Own(p), r)
    \/ p \in Mortal /\ Asked(p) /\ ProcessDied(p)
AskersNext == (\E p \in Parties : Asker(p)) \/ (\E n \in Nodes : NodeNext(n) \/ HomeNext(n))

Comes(p)  == Due(p) => ~Due(p)'
Fairness  == /\ \A n \in Nodes : []<><<TakesUp(n)>>_vars /\ []<><<TakesDown(n)>>_vars
             /\ \A p \in Parties : []<><<Comes(p)>>_vars
LiveSpec  == Init /\ [][AskersNext]_vars /\ Fairness

----------------------------------------------------------------------------
(***************************************************************************)
(* Probes.  Each says that a state or a step never happens, and must be    *)
(* violated.                                                               *)
(***************************************************************************)

\* A second round is over.
ReachSecond == barrier.over < 2
\* An Arrive crosses Broken.
ReachArriveCrossesBroken ==
    ~ \E n \in Nodes : (\E m \in Msgs(up[n]) : m.kind = "Arrive") /\ (\E m \in Msgs(down[n]) : m.kind = "Broken")
\* A seat is given to a party that has died meanwhile.
ReachJoinedDead == ~ \E p \in dead : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.party = p /\ m.code = "OK"
\* A round is over and somebody who has left behind his arrival breaks the barrier.
ReachBrokenBehindDone ==
    ~ \E n \in Nodes : Len(down[n]) > 1 /\ \E j \in 1..(Len(down[n]) - 1) : down[n][j].kind = "Done" /\ down[n][j + 1].kind = "Broken"
\* A seat is taken while the party of another has arrived and left.
ReachLateJoinProp == [][~(barrier.left # {} /\ barrier'.left = barrier.left /\ DOMAIN barrier'.seats \ DOMAIN barrier.seats # {})]_barrier
\* Done comes to a seat that is being left.
ReachDoneWhileLeaving ==
    ~ \E n \in Nodes : Has(down[n], "Done") /\ \E i \in Known(n) : meeting[n].seats[i].leaving
\* A party asks for its seat again while its Leave is under way.
ReachAskBehindLeave ==
    ~ \E n \in Nodes : Len(up[n]) > 1 /\ up[n][1].kind = "Leave" /\ up[n][2].kind = "Join" /\ up[n][2].index = up[n][1].index
                       /\ up[n][2].party = up[n][1].party
\* The barrier is made anew while a node has not heard yet that its seat is left.
ReachNewLife == ~ \E n \in Nodes : barrier # NoBarrier /\ Known(n) # {} /\ Kept(n) = {} /\
                   \A i \in Known(n) : i \in Taken => barrier.seats[i].party # meeting[n].seats[i].party
\* A seat is wanted that another party has, of a barrier of another size, and of one
\* that is broken.
ReachTaken    == ~ \E p \in Living : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.code = "Mismatch" /\ m.parties = barrier.parties
ReachOther    == ~ \E p \in Living : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.code = "Mismatch" /\ m.parties # barrier.parties
ReachTooLate  == ~ \E p \in Living : \E m \in Msgs(down[NodeOf[p]]) : m.kind = "Joined" /\ m.code = "PartyDied"
\* Somebody asks too often, and waits no more in his oldest request.
ReachTooOftenProp == [][~ \E a \in answers' : a.code = "Canceled"]_vars
\* A process asks twice for a seat before it has it.
ReachAskTwice == ~ \E n \in Nodes : Len(down[n]) > 1 /\ down[n][1].kind = "Joined" /\ down[n][2].kind = "Joined"
                                    /\ down[n][1].index = down[n][2].index /\ down[n][1].code = "OK" /\ down[n][2].code = "OK"
============================================================================
