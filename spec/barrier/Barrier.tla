------------------------------ MODULE Barrier ------------------------------
(***************************************************************************)
(* A barrier of the whole cluster, by the name that it has: at its home    *)
(* the seats, who has arrived, and the rounds that are over; at each node  *)
(* the seats of its processes and who waits in them.  Names are            *)
(* independent: this is the protocol of one.  A party is one process; a    *)
(* seat is a place in every round, of one party.                           *)
(*                                                                         *)
(* A name lives in generations, each a barrier of its own.  A generation   *)
(* is made by a party that no older one has room for, and forgotten when   *)
(* its last seat is given up.  A seat is had once in a generation.         *)
(* Whoever comes for one that was given up, or to a barrier that is        *)
(* broken, is for the next generation.  Whoever comes for one that nobody  *)
(* has had yet is for this one, whoever has left meanwhile.                *)
(*                                                                         *)
(* impl/protocol mirrors this module (sync.go, barrier.go): a handler      *)
(* there has the name, the guards and the order of the action here.        *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Nodes,
    Parties,
    NodeOf,      \* NodeOf[p]: the node of a party
    Indices,     \* the seats
    Asks,        \* Asks[p]: those that a party asks for
    Counts,      \* of how many seats a barrier is said to be
    Rounds,      \* the rounds that are waited for
    Joins,       \* names of requests to join; none is 0
    Waits,       \* names of requests to wait
    Leaves,      \* names of requests to leave
    Numbers,     \* of generations
    MaxParties,  \* the bound of the seats
    MaxWaits     \* so many requests of one seat wait at most

NewMeeting(k)    == [parties |-> k, over |-> 0, broken |-> FALSE, seats |-> <<>>]
NewBarrier(g, k) == [gen |-> g, parties |-> k, arrived |-> 0, over |-> 0, broken |-> FALSE, left |-> {}, seats |-> <<>>]

VARIABLES
    meeting,  \* meeting[n][g]: generation g as node n knows it, which has a seat there
    calls,    \* at its node: a party's requests to join and to leave that have no answer yet
    dead,     \* the parties that are known to be dead
    barrier,  \* at the home: the generations that have seats, the oldest first; left: the
              \* seats whose parties have left behind their arrival
    up,       \* up[n]: FIFO from node n to the home
    down      \* down[n]: FIFO from the home to node n

(***************************************************************************)
(* What the processes know: no guard reads it.                             *)
(***************************************************************************)
VARIABLES
    open,     \* open[p]: requests without an answer, as <<kind, name>>
    uses,     \* uses[g], of a generation that the home remembers:
              \*   came[i]  the last round for which the party of seat i has come
              \*   lost     the first round that a party does not come to which has left or died, or 0
    answers   \* those of the last step

node  == <<meeting, calls, dead>>
app   == <<open, uses>>
vars  == <<meeting, calls, dead, barrier, up, down, open, uses, answers>>

(***************************************************************************)
(* Messages                                                                *)
(***************************************************************************)
JoinMsg(p, r, i, k)            == [kind |-> "Join", party |-> p, request |-> r, index |-> i, parties |-> k]
ArriveMsg(p, i, g, round)      == [kind |-> "Arrive", party |-> p, index |-> i, gen |-> g, round |-> round]
LeaveMsg(p, r, i, g, code)     == [kind |-> "Leave", party |-> p, request |-> r, index |-> i, gen |-> g, code |-> code]
JoinedMsg(p, r, i, k, g, code) == [kind |-> "Joined", party |-> p, request |-> r, index |-> i, parties |-> k, gen |-> g, code |-> code]
LeftMsg(p, r, i, g)            == [kind |-> "Left", party |-> p, request |-> r, index |-> i, gen |-> g]
DoneMsg(g, round)              == [kind |-> "Done", gen |-> g, round |-> round]
BrokenMsg(g)                   == [kind |-> "Broken", gen |-> g]

Has(ch, kind) == ch # <<>> /\ Head(ch).kind = kind

(***************************************************************************)
(* Seats are functions from indices, meetings from generations.            *)
(***************************************************************************)
With(f, i, x)  == [j \in DOMAIN f \cup {i} |-> IF j = i THEN x ELSE f[j]]
Without(f, i)  == [j \in DOMAIN f \ {i} |-> f[j]]
Place(S, i)    == CHOOSE j \in S : Cardinality({k \in S : k < j}) = i - 1
InOrder(S)     == [i \in 1..Cardinality(S) |-> Place(S, i)]

(***************************************************************************)
(* The node of a party                                                     *)
(***************************************************************************)
\* The generations in which a party has a seat that it is not leaving: one at most.
Holds(p, i) ==
    LET m == meeting[NodeOf[p]]
    IN  {g \in DOMAIN m : i \in DOMAIN m[g].seats /\ m[g].seats[i].party = p /\ ~m[g].seats[i].leaving}
Seated(p, i) == Holds(p, i) # {}
Held(p, i)   == CHOOSE g \in Holds(p, i) : TRUE

ToHome(p, msgs) == up' = [up EXCEPT ![NodeOf[p]] = @ \o msgs]

\* The end of a request, about seat i of k in generation g, or in none.
Answer(p, kind, r, code, i, k, g, round) ==
    [party |-> p, kind |-> kind, request |-> r, code |-> code, index |-> i, parties |-> k, gen |-> g, round |-> round]

\* All who wait in a seat wait for the round after those that are over.
EndWaits(m, g, i, code) ==
    LET s == m[g].seats[i]
    IN  {Answer(s.party, "Await", s.waits[w], code, i, m[g].parties, g, m[g].over + 1) : w \in 1..Len(s.waits)}

\* The dead hear of no answer.
Give(set) ==
    LET heard == {a \in set : a.party \notin dead'}
    IN  /\ answers' = heard
        /\ open' = [p \in Parties |-> IF p \in dead' THEN {}
                                      ELSE open[p] \ {<<a.kind, a.request>> : a \in {x \in heard : x.party = p}}]

\* A party comes to no round of a generation from this one on.
Loses(u, g, round) ==
    IF g \in DOMAIN u /\ (u[g].lost = 0 \/ round < u[g].lost) THEN [u EXCEPT ![g].lost = round] ELSE u
Comes(u, g, i, round) == IF g \in DOMAIN u THEN [u EXCEPT ![g].came[i] = round] ELSE u
Came(u, g, i)         == IF g \in DOMAIN u THEN u[g].came[i] ELSE 0

\* A request that changes nothing is answered at once.
Refuse(answer) ==
    /\ answers' = {answer}
    /\ UNCHANGED <<node, barrier, up, down, app>>

JoinBarrier(p, i, k, r) ==
    /\ p \notin dead
    /\ IF k = 0 \/ k > MaxParties \/ i >= k
       THEN Refuse(Answer(p, "Join", r, "Invalid", i, k, 0, 0))
       ELSE IF Seated(p, i)
       THEN LET g == Held(p, i)
            IN  Refuse(Answer(p, "Join", r, IF meeting[NodeOf[p]][g].parties = k THEN "OK" ELSE "Mismatch", i, k, g, 0))
       ELSE /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Join", i, r, 0>>}]
            /\ ToHome(p, <<JoinMsg(p, r, i, k)>>)
            /\ open' = [open EXCEPT ![p] = @ \cup {<<"Join", r>>}]
            /\ answers' = {}
            /\ UNCHANGED <<meeting, dead, barrier, down, uses>>

\* An Arrive is sent once in a round.  Who waits too often for one round waits
\* no more in the oldest request.
AwaitBarrier(p, i, k, round, r) ==
    LET n == NodeOf[p]
        g == Held(p, i)
        m == meeting[n][g]
        s == m.seats[i]
        full == Len(s.waits) = MaxWaits
    IN  /\ p \notin dead
        /\ IF round = 0
           THEN Refuse(Answer(p, "Await", r, "Invalid", i, k, 0, round))
           ELSE IF ~Seated(p, i)
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, 0, round))
           ELSE IF m.parties # k
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, g, round))
           ELSE IF round <= m.over
           THEN Refuse(Answer(p, "Await", r, "OK", i, k, g, round))
           ELSE IF m.broken
           THEN Refuse(Answer(p, "Await", r, "PartyDied", i, k, g, round))
           ELSE IF round # m.over + 1
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, g, round))
           ELSE /\ meeting' = [meeting EXCEPT ![n][g].seats[i] =
                        [s EXCEPT !.waits = Append(IF full THEN Tail(@) ELSE @, r),
                                  !.arrived = round]]
                /\ ToHome(p, IF s.arrived < round THEN <<ArriveMsg(p, i, g, round)>> ELSE <<>>)
                /\ open' = [open EXCEPT ![p] = (IF full THEN @ \ {<<"Await", Head(s.waits)>>} ELSE @) \cup {<<"Await", r>>}]
                /\ answers' = IF full THEN {Answer(p, "Await", Head(s.waits), "Canceled", i, k, g, round)} ELSE {}
                /\ uses' = Comes(uses, g, i, round)
                /\ UNCHANGED <<calls, dead, barrier, down>>

LeaveBarrier(p, i, r) ==
    LET n == NodeOf[p]
        g == Held(p, i)
    IN  /\ p \notin dead
        /\ IF ~Seated(p, i)
           THEN Refuse(Answer(p, "Leave", r, "Mismatch", i, 0, 0, 0))
           ELSE /\ meeting' = [meeting EXCEPT ![n][g].seats[i] = [@ EXCEPT !.leaving = TRUE, !.waits = <<>>]]
                /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Leave", i, r, g>>}]
                /\ ToHome(p, <<LeaveMsg(p, r, i, g, "OK")>>)
                /\ LET ends == EndWaits(meeting[n], g, i, "PartyDied")
                   IN  /\ answers' = ends
                       /\ open' = [open EXCEPT ![p] = (@ \ {<<a.kind, a.request>> : a \in ends}) \cup {<<"Leave", r>>}]
                /\ uses' = Loses(uses, g, Came(uses, g, i) + 1)
                /\ UNCHANGED <<dead, barrier, down>>

\* It leaves every seat, in the order of the indices.  What is asked of the home for
\* it stays until the answers have come.
ProcessDied(p) ==
    LET n == NodeOf[p]
        has == {i \in Indices : Seated(p, i)}
        gives(g, i) == i \in has /\ Held(p, i) = g
    IN  /\ p \notin dead
        /\ dead' = dead \cup {p}
        /\ meeting' = [meeting EXCEPT ![n] =
                [g \in DOMAIN @ |-> [@[g] EXCEPT !.seats =
                    [i \in DOMAIN @ |-> IF gives(g, i) THEN [@[i] EXCEPT !.leaving = TRUE, !.waits = <<>>] ELSE @[i]]]]]
        /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Leave", i, 0, Held(p, i)>> : i \in has}]
        /\ ToHome(p, [j \in 1..Cardinality(has) |-> LET i == Place(has, j) IN LeaveMsg(p, 0, i, Held(p, i), "PartyDied")])
        /\ Give({})
        /\ uses' = [g \in DOMAIN uses |-> IF \E i \in has : Held(p, i) = g
                                          THEN Loses(uses, g, meeting[n][g].over + 1)[g] ELSE uses[g]]
        /\ UNCHANGED <<barrier, down>>

\* A party that has died meanwhile leaves at once.
RecvJoined(n) ==
    /\ Has(down[n], "Joined")
    /\ LET msg == Head(down[n])
           p == msg.party
           i == msg.index
           g == msg.gen
           m == IF g \in DOMAIN meeting[n] THEN meeting[n][g] ELSE NewMeeting(msg.parties)
           sits == msg.code = "OK" /\ i \notin DOMAIN m.seats
           ended == [calls EXCEPT ![p] = @ \ {<<"Join", i, msg.request, 0>>}]
           seat == [party |-> p, arrived |-> 0, leaving |-> p \in dead, waits |-> <<>>]
       IN  /\ meeting' = IF sits
                  THEN [meeting EXCEPT ![n] = With(@, g, [m EXCEPT !.seats = With(@, i, seat)])]
                  ELSE meeting
           /\ IF sits /\ p \in dead
              THEN /\ calls' = [ended EXCEPT ![p] = @ \cup {<<"Leave", i, 0, g>>}]
                   /\ ToHome(p, <<LeaveMsg(p, 0, i, g, "PartyDied")>>)
                   /\ uses' = Loses(uses, g, 1)
              ELSE /\ calls' = ended
                   /\ UNCHANGED <<up, uses>>
           /\ dead' = dead
           /\ Give({Answer(p, "Join", msg.request, msg.code, i, msg.parties, g, 0)})
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED barrier

\* The end of a round, or of all rounds, for all seats of the node in a generation.
AllWaits(n, g, code) == UNION {EndWaits(meeting[n], g, i, code) : i \in DOMAIN meeting[n][g].seats}
NoWaits(seats)       == [i \in DOMAIN seats |-> [seats[i] EXCEPT !.waits = <<>>]]

RecvDone(n) ==
    /\ Has(down[n], "Done")
    /\ LET g == Head(down[n]).gen
       IN  /\ meeting' = [meeting EXCEPT ![n][g].over = Head(down[n]).round, ![n][g].seats = NoWaits(@)]
           /\ dead' = dead
           /\ Give(AllWaits(n, g, "OK"))
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<calls, barrier, up, uses>>

RecvBroken(n) ==
    /\ Has(down[n], "Broken")
    /\ LET g == Head(down[n]).gen
       IN  /\ meeting' = [meeting EXCEPT ![n][g].broken = TRUE, ![n][g].seats = NoWaits(@)]
           /\ dead' = dead
           /\ Give(AllWaits(n, g, "PartyDied"))
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<calls, barrier, up, uses>>

RecvLeft(n) ==
    /\ Has(down[n], "Left")
    /\ LET msg == Head(down[n])
           p == msg.party
           g == msg.gen
           seats == Without(meeting[n][g].seats, msg.index)
       IN  /\ calls' = [calls EXCEPT ![p] = @ \ {<<"Leave", msg.index, msg.request, g>>}]
           /\ meeting' = [meeting EXCEPT ![n] = IF DOMAIN seats = {} THEN Without(@, g) ELSE [@ EXCEPT ![g].seats = seats]]
           /\ dead' = dead
           /\ Give({Answer(p, "Leave", msg.request, "OK", msg.index, 0, g, 0)})
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<barrier, up, uses>>

(***************************************************************************)
(* The home.  While a handler runs, s has barrier, and                     *)
(*   out   out[n]: messages to node n                                      *)
(*   uses  as above                                                        *)
(***************************************************************************)
Begin == [barrier |-> barrier, out |-> [n \in Nodes |-> <<>>], uses |-> uses]

\* up1 is the channels without the message that was taken.
\* The new state has a name: TLC would find it again for each use in ReadyInv.
End(state, up1) == \E s \in {state} :
    /\ barrier' = s.barrier
    /\ up' = up1
    /\ down' = [n \in Nodes |-> down[n] \o s.out[n]]
    /\ uses' = s.uses
    /\ answers' = {}
    /\ UNCHANGED <<node, open>>

Tell(s, n, msg) == [s EXCEPT !.out[n] = Append(@, msg)]

\* One message for all seats of a node in the generation at place j.
TellAll(s, j, msg) ==
    LET seats == s.barrier[j].seats
        told  == {NodeOf[seats[i].party] : i \in DOMAIN seats}
    IN  [s EXCEPT !.out = [n \in Nodes |-> IF n \in told THEN Append(@[n], msg) ELSE @[n]]]

BreakUp(s, j) == TellAll([s EXCEPT !.barrier[j].broken = TRUE], j, BrokenMsg(s.barrier[j].gen))

\* The place of a generation.
PlaceOf(b, g) == CHOOSE j \in DOMAIN b : b[j].gen = g
First(S)      == CHOOSE j \in S : \A k \in S : j <= k

\* A number that no place remembers.  A home never gives one twice.
InUse  == {barrier[j].gen : j \in DOMAIN barrier} \cup UNION {DOMAIN meeting[n] : n \in Nodes}
NextGen == CHOOSE g \in Numbers : g \notin InUse

\* A generation that is not broken is open for a seat that nobody has left.  Who
\* has none asks for a seat in the oldest that is open for it: a round of that one
\* needs it.  Only if there is none a new one begins.
Joined(s, n, m) ==
    LET b    == s.barrier
        has  == {j \in DOMAIN b : m.index \in DOMAIN b[j].seats /\ b[j].seats[m.index].party = m.party}
        room == {j \in DOMAIN b : ~b[j].broken /\ m.index \notin b[j].left}
        new  == has = {} /\ room = {}
        t    == IF new
                THEN [s EXCEPT !.barrier = Append(@, NewBarrier(NextGen, m.parties)),
                               !.uses = With(@, NextGen, [came |-> [i \in Indices |-> 0], lost |-> 0])]
                ELSE s
        j    == IF new THEN Len(t.barrier) ELSE First(IF has # {} THEN has ELSE room)
        x    == t.barrier[j]
        Says(u, g, code) == Tell(u, n, JoinedMsg(m.party, m.request, m.index, m.parties, g, code))
    IN  IF x.parties # m.parties THEN Says(t, 0, "Mismatch")
        ELSE IF has # {} THEN Says(t, x.gen, "OK")
        ELSE IF m.index \in DOMAIN x.seats THEN Says(t, 0, "Mismatch")
        ELSE Says([t EXCEPT !.barrier[j].seats = With(@, m.index, [party |-> m.party, arrived |-> 0])], x.gen, "OK")

\* The last one ends the round.  What arrives at a broken barrier has crossed
\* Broken.
Arrived(s, m) ==
    LET j    == PlaceOf(s.barrier, m.gen)
        b    == s.barrier[j]
        t    == [s EXCEPT !.barrier[j].seats[m.index].arrived = m.round]
        more == [t EXCEPT !.barrier[j].arrived = @ + 1]
        done == TellAll([t EXCEPT !.barrier[j].arrived = 0, !.barrier[j].over = @ + 1], j, DoneMsg(m.gen, b.over + 1))
    IN  IF b.broken THEN t
        ELSE IF more.barrier[j].arrived < b.parties THEN more
        ELSE IF b.left # {} THEN BreakUp(done, j)
        ELSE done

\* Who has arrived and leaves is missed when the round is over; who has not, or
\* has died, at once.
Left(s, n, m) ==
    LET j == PlaceOf(s.barrier, m.gen)
        b == s.barrier[j]
        t == Tell([s EXCEPT !.barrier[j].seats = Without(@, m.index)], n, LeftMsg(m.party, m.request, m.index, m.gen))
    IN  IF DOMAIN t.barrier[j].seats = {}
        THEN [t EXCEPT !.barrier = SubSeq(@, 1, j - 1) \o SubSeq(@, j + 1, Len(@)), !.uses = Without(@, m.gen)]
        ELSE IF b.broken THEN t
        ELSE IF m.code = "OK" /\ b.seats[m.index].arrived = b.over + 1
             THEN [t EXCEPT !.barrier[j].left = @ \cup {m.index}]
        ELSE BreakUp(t, j)

HomeRecvJoin(n) ==
    /\ Has(up[n], "Join")
    /\ End(Joined(Begin, n, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

HomeRecvArrive(n) ==
    /\ Has(up[n], "Arrive")
    /\ End(Arrived(Begin, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

HomeRecvLeave(n) ==
    /\ Has(up[n], "Leave")
    /\ End(Left(Begin, n, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

(***************************************************************************)
(* The system                                                              *)
(***************************************************************************)
Init ==
    /\ meeting = [n \in Nodes |-> <<>>]
    /\ calls = [p \in Parties |-> {}]
    /\ dead = {}
    /\ barrier = <<>>
    /\ up = [n \in Nodes |-> <<>>]
    /\ down = [n \in Nodes |-> <<>>]
    /\ open = [p \in Parties |-> {}]
    /\ uses = <<>>
    /\ answers = {}

\* A process gives its requests names that are not in use.
Unused(p, names) == {r \in names : \A kind \in {"Join", "Await", "Leave"} : <<kind, r>> \notin open[p]}

\* It may wait and leave where it has no seat.
ProcessNext(p) ==
    \/ \E i \in Asks[p], k \in Counts, r \in Unused(p, Joins) : JoinBarrier(p, i, k, r)
    \/ \E i \in Asks[p], k \in Counts, round \in Rounds, r \in Unused(p, Waits) : AwaitBarrier(p, i, k, round, r)
    \/ \E i \in Asks[p], r \in Unused(p, Leaves) : LeaveBarrier(p, i, r)
    \/ ProcessDied(p)

NodeNext(n) == RecvJoined(n) \/ RecvDone(n) \/ RecvBroken(n) \/ RecvLeft(n)

HomeNext(n) == HomeRecvJoin(n) \/ HomeRecvArrive(n) \/ HomeRecvLeave(n)

Next == (\E p \in Parties : ProcessNext(p)) \/ (\E n \in Nodes : NodeNext(n) \/ HomeNext(n))

Spec == Init /\ [][Next]_vars
============================================================================
