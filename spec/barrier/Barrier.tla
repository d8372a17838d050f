------------------------------ MODULE Barrier ------------------------------
(***************************************************************************)
(* A barrier of the whole cluster: at its home the seats, who has arrived, *)
(* and the rounds that are over; at each node the seats of its processes   *)
(* and who waits in them.  Barriers are independent: this is the protocol  *)
(* of one.  A party is one process; a seat is a place in every round, of   *)
(* one party.  The barrier is made by the first who joins and forgotten    *)
(* when the last seat is given up; then its name may be used again.        *)
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
    MaxParties,  \* the bound of the seats
    MaxWaits     \* so many requests of one seat wait at most

NoMeeting == [parties |-> 0, over |-> 0, broken |-> FALSE, seats |-> <<>>]
NoBarrier == [parties |-> 0, arrived |-> 0, over |-> 0, broken |-> FALSE, left |-> {}, seats |-> <<>>]

VARIABLES
    meeting,  \* meeting[n]: the barrier as node n knows it
    calls,    \* at its node: a party's requests to join and to leave that have no answer yet
    dead,     \* the parties that are known to be dead
    barrier,  \* at the home; left: the seats whose parties have left behind their arrival
    up,       \* up[n]: FIFO from node n to the home
    down      \* down[n]: FIFO from the home to node n

(***************************************************************************)
(* What the processes know: no guard reads it.                             *)
(***************************************************************************)
VARIABLES
    open,     \* open[p]: requests without an answer, as <<kind, name>>
    came,     \* came[i]: the last round for which the party of seat i has come
    lost,     \* the first round that a party does not come to which has left or died, or 0
    answers   \* those of the last step

node  == <<meeting, calls, dead>>
app   == <<open, came, lost>>
vars  == <<meeting, calls, dead, barrier, up, down, open, came, lost, answers>>

(***************************************************************************)
(* Messages                                                                *)
(***************************************************************************)
JoinMsg(p, r, i, k)         == [kind |-> "Join", party |-> p, request |-> r, index |-> i, parties |-> k]
ArriveMsg(p, i, round)      == [kind |-> "Arrive", party |-> p, index |-> i, round |-> round]
LeaveMsg(p, r, i, code)     == [kind |-> "Leave", party |-> p, request |-> r, index |-> i, code |-> code]
JoinedMsg(p, r, i, k, code) == [kind |-> "Joined", party |-> p, request |-> r, index |-> i, parties |-> k, code |-> code]
LeftMsg(p, r, i)            == [kind |-> "Left", party |-> p, request |-> r, index |-> i]
DoneMsg(round)              == [kind |-> "Done", round |-> round]
BrokenMsg                   == [kind |-> "Broken"]

Has(ch, kind) == ch # <<>> /\ Head(ch).kind = kind

(***************************************************************************)
(* Seats are functions from indices.                                       *)
(***************************************************************************)
With(f, i, x)  == [j \in DOMAIN f \cup {i} |-> IF j = i THEN x ELSE f[j]]
Without(f, i)  == [j \in DOMAIN f \ {i} |-> f[j]]
Place(S, i)    == CHOOSE j \in S : Cardinality({k \in S : k < j}) = i - 1
InOrder(S)     == [i \in 1..Cardinality(S) |-> Place(S, i)]

(***************************************************************************)
(* The node of a party                                                     *)
(***************************************************************************)
\* A party has a seat, and is not leaving it.
Seated(p, i) ==
    LET s == meeting[NodeOf[p]].seats
    IN  i \in DOMAIN s /\ s[i].party = p /\ ~s[i].leaving

ToHome(p, msgs) == up' = [up EXCEPT ![NodeOf[p]] = @ \o msgs]

\* The end of a request, about seat i of k.
Answer(p, kind, r, code, i, k, round) ==
    [party |-> p, kind |-> kind, request |-> r, code |-> code, index |-> i, parties |-> k, round |-> round]

\* All who wait in a seat wait for the round after those that are over.
EndWaits(m, i, code) ==
    LET s == m.seats[i]
    IN  {Answer(s.party, "Await", s.waits[w], code, i, m.parties, m.over + 1) : w \in 1..Len(s.waits)}

\* The dead hear of no answer.
Give(set) ==
    LET heard == {a \in set : a.party \notin dead'}
    IN  /\ answers' = heard
        /\ open' = [p \in Parties |-> IF p \in dead' THEN {}
                                      ELSE open[p] \ {<<a.kind, a.request>> : a \in {x \in heard : x.party = p}}]

\* A party comes to no round from this one on.
Loses(round) == lost' = IF lost = 0 \/ round < lost THEN round ELSE lost

\* A request that changes nothing is answered at once.
Refuse(answer) ==
    /\ answers' = {answer}
    /\ UNCHANGED <<node, barrier, up, down, app>>

JoinBarrier(p, i, k, r) ==
    /\ p \notin dead
    /\ IF k = 0 \/ k > MaxParties \/ i >= k
       THEN Refuse(Answer(p, "Join", r, "Invalid", i, k, 0))
       ELSE IF Seated(p, i)
       THEN Refuse(Answer(p, "Join", r, IF meeting[NodeOf[p]].parties = k THEN "OK" ELSE "Mismatch", i, k, 0))
       ELSE /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Join", i, r>>}]
            /\ ToHome(p, <<JoinMsg(p, r, i, k)>>)
            /\ open' = [open EXCEPT ![p] = @ \cup {<<"Join", r>>}]
            /\ answers' = {}
            /\ UNCHANGED <<meeting, dead, barrier, down, came, lost>>

\* An Arrive is sent once in a round.  Who waits too often for one round waits
\* no more in the oldest request.
AwaitBarrier(p, i, k, round, r) ==
    LET n == NodeOf[p]
        m == meeting[n]
        s == m.seats[i]
        full == Len(s.waits) = MaxWaits
    IN  /\ p \notin dead
        /\ IF round = 0
           THEN Refuse(Answer(p, "Await", r, "Invalid", i, k, round))
           ELSE IF ~Seated(p, i)
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, round))
           ELSE IF m.parties # k
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, round))
           ELSE IF round <= m.over
           THEN Refuse(Answer(p, "Await", r, "OK", i, k, round))
           ELSE IF m.broken
           THEN Refuse(Answer(p, "Await", r, "PartyDied", i, k, round))
           ELSE IF round # m.over + 1
           THEN Refuse(Answer(p, "Await", r, "Mismatch", i, k, round))
           ELSE /\ meeting' = [meeting EXCEPT ![n].seats[i] =
                        [s EXCEPT !.waits = Append(IF full THEN Tail(@) ELSE @, r),
                                  !.arrived = round]]
                /\ ToHome(p, IF s.arrived < round THEN <<ArriveMsg(p, i, round)>> ELSE <<>>)
                /\ open' = [open EXCEPT ![p] = (IF full THEN @ \ {<<"Await", Head(s.waits)>>} ELSE @) \cup {<<"Await", r>>}]
                /\ answers' = IF full THEN {Answer(p, "Await", Head(s.waits), "Canceled", i, k, round)} ELSE {}
                /\ came' = [came EXCEPT ![i] = round]
                /\ UNCHANGED <<calls, dead, barrier, down, lost>>

LeaveBarrier(p, i, r) ==
    LET n == NodeOf[p]
        m == meeting[n]
    IN  /\ p \notin dead
        /\ IF ~Seated(p, i)
           THEN Refuse(Answer(p, "Leave", r, "Mismatch", i, 0, 0))
           ELSE /\ meeting' = [meeting EXCEPT ![n].seats[i] = [@ EXCEPT !.leaving = TRUE, !.waits = <<>>]]
                /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Leave", i, r>>}]
                /\ ToHome(p, <<LeaveMsg(p, r, i, "OK")>>)
                /\ LET ends == EndWaits(m, i, "PartyDied")
                   IN  /\ answers' = ends
                       /\ open' = [open EXCEPT ![p] = (@ \ {<<a.kind, a.request>> : a \in ends}) \cup {<<"Leave", r>>}]
                /\ Loses(came[i] + 1)
                /\ UNCHANGED <<dead, barrier, down, came>>

\* It leaves every seat, in their order.  What is asked of the home for it stays
\* until the answers have come.
ProcessDied(p) ==
    LET n == NodeOf[p]
        has == {i \in DOMAIN meeting[n].seats : Seated(p, i)}
    IN  /\ p \notin dead
        /\ dead' = dead \cup {p}
        /\ meeting' = [meeting EXCEPT ![n].seats =
                [i \in DOMAIN @ |-> IF i \in has THEN [@[i] EXCEPT !.leaving = TRUE, !.waits = <<>>] ELSE @[i]]]
        /\ calls' = [calls EXCEPT ![p] = @ \cup {<<"Leave", i, 0>> : i \in has}]
        /\ ToHome(p, [j \in 1..Cardinality(has) |-> LeaveMsg(p, 0, Place(has, j), "PartyDied")])
        /\ Give({})
        /\ IF has = {} THEN UNCHANGED lost ELSE Loses(meeting[n].over + 1)
        /\ UNCHANGED <<barrier, down, came>>

\* A party that has died meanwhile leaves at once.
RecvJoined(n) ==
    /\ Has(down[n], "Joined")
    /\ LET msg == Head(down[n])
           p == msg.party
           i == msg.index
           m == meeting[n]
           sits == msg.code = "OK" /\ i \notin DOMAIN m.seats
           ended == [calls EXCEPT ![p] = @ \ {<<"Join", i, msg.request>>}]
       IN  /\ meeting' = IF sits
                  THEN [meeting EXCEPT ![n].parties = msg.parties,
                           ![n].seats = With(@, i, [party |-> p, arrived |-> 0, leaving |-> p \in dead, waits |-> <<>>])]
                  ELSE meeting
           /\ IF sits /\ p \in dead
              THEN /\ calls' = [ended EXCEPT ![p] = @ \cup {<<"Leave", i, 0>>}]
                   /\ ToHome(p, <<LeaveMsg(p, 0, i, "PartyDied")>>)
                   /\ Loses(1)
              ELSE /\ calls' = ended
                   /\ UNCHANGED <<up, lost>>
           /\ dead' = dead
           /\ Give({Answer(p, "Join", msg.request, msg.code, i, msg.parties, 0)})
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<barrier, came>>

\* The end of a round, or of all rounds, for all seats of the node.
AllWaits(n, code) == UNION {EndWaits(meeting[n], i, code) : i \in DOMAIN meeting[n].seats}
NoWaits(seats)    == [i \in DOMAIN seats |-> [seats[i] EXCEPT !.waits = <<>>]]

RecvDone(n) ==
    /\ Has(down[n], "Done")
    /\ meeting' = [meeting EXCEPT ![n].over = Head(down[n]).round, ![n].seats = NoWaits(@)]
    /\ dead' = dead
    /\ Give(AllWaits(n, "OK"))
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<calls, barrier, up, came, lost>>

RecvBroken(n) ==
    /\ Has(down[n], "Broken")
    /\ meeting' = [meeting EXCEPT ![n].broken = TRUE, ![n].seats = NoWaits(@)]
    /\ dead' = dead
    /\ Give(AllWaits(n, "PartyDied"))
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<calls, barrier, up, came, lost>>

RecvLeft(n) ==
    /\ Has(down[n], "Left")
    /\ LET msg == Head(down[n])
           p == msg.party
           seats == Without(meeting[n].seats, msg.index)
       IN  /\ calls' = [calls EXCEPT ![p] = @ \ {<<"Leave", msg.index, msg.request>>}]
           /\ meeting' = [meeting EXCEPT ![n] = IF DOMAIN seats = {} THEN NoMeeting ELSE [@ EXCEPT !.seats = seats]]
           /\ dead' = dead
           /\ Give({Answer(p, "Leave", msg.request, "OK", msg.index, 0, 0)})
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<barrier, up, came, lost>>

(***************************************************************************)
(* The home.  While a handler runs, s has barrier, and                     *)
(*   out         out[n]: messages to node n                                *)
(*   came, lost  as above                                                  *)
(***************************************************************************)
Begin == [barrier |-> barrier, out |-> [n \in Nodes |-> <<>>], came |-> came, lost |-> lost]

\* up1 is the channels without the message that was taken.
End(s, up1) ==
    /\ barrier' = s.barrier
    /\ up' = up1
    /\ down' = [n \in Nodes |-> down[n] \o s.out[n]]
    /\ came' = s.came
    /\ lost' = s.lost
    /\ answers' = {}
    /\ UNCHANGED <<node, open>>

Tell(s, n, msg) == [s EXCEPT !.out[n] = Append(@, msg)]

\* One message for all seats of a node.
TellAll(s, msg) ==
    LET told == {NodeOf[s.barrier.seats[i].party] : i \in DOMAIN s.barrier.seats}
    IN  [s EXCEPT !.out = [n \in Nodes |-> IF n \in told THEN Append(@[n], msg) ELSE @[n]]]

BreakUp(s) == TellAll([s EXCEPT !.barrier.broken = TRUE], BrokenMsg)

Joined(s, n, m) ==
    LET new   == s.barrier = NoBarrier
        t     == IF new THEN [s EXCEPT !.barrier.parties = m.parties, !.came = [i \in Indices |-> 0], !.lost = 0] ELSE s
        b     == t.barrier
        taken == m.index \in DOMAIN b.seats
        Says(u, code) == Tell(u, n, JoinedMsg(m.party, m.request, m.index, m.parties, code))
    IN  IF b.parties # m.parties THEN Says(t, "Mismatch")
        ELSE IF taken /\ b.seats[m.index].party = m.party THEN Says(t, "OK")
        ELSE IF b.broken \/ m.index \in b.left THEN Says(t, "PartyDied")
        ELSE IF taken THEN Says(t, "Mismatch")
        ELSE Says([t EXCEPT !.barrier.seats = With(@, m.index, [party |-> m.party, arrived |-> 0])], "OK")

\* The last one ends the round.  What arrives at a broken barrier has crossed
\* Broken.
Arrived(s, m) ==
    LET t    == [s EXCEPT !.barrier.seats[m.index].arrived = m.round]
        more == [t EXCEPT !.barrier.arrived = @ + 1]
        done == TellAll([t EXCEPT !.barrier.arrived = 0, !.barrier.over = @ + 1], DoneMsg(s.barrier.over + 1))
    IN  IF s.barrier.broken THEN t
        ELSE IF more.barrier.arrived < s.barrier.parties THEN more
        ELSE IF s.barrier.left # {} THEN BreakUp(done)
        ELSE done

\* Who has arrived and leaves is missed when the round is over; who has not, or
\* has died, at once.
Left(s, n, m) ==
    LET b == s.barrier
        t == Tell([s EXCEPT !.barrier.seats = Without(@, m.index)], n, LeftMsg(m.party, m.request, m.index))
    IN  IF DOMAIN t.barrier.seats = {} THEN [t EXCEPT !.barrier = NoBarrier]
        ELSE IF b.broken THEN t
        ELSE IF m.code = "OK" /\ b.seats[m.index].arrived = b.over + 1
             THEN [t EXCEPT !.barrier.left = @ \cup {m.index}]
        ELSE BreakUp(t)

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
    /\ meeting = [n \in Nodes |-> NoMeeting]
    /\ calls = [p \in Parties |-> {}]
    /\ dead = {}
    /\ barrier = NoBarrier
    /\ up = [n \in Nodes |-> <<>>]
    /\ down = [n \in Nodes |-> <<>>]
    /\ open = [p \in Parties |-> {}]
    /\ came = [i \in Indices |-> 0]
    /\ lost = 0
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
