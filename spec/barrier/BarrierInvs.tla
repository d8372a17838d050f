---------------------------- MODULE BarrierInvs ----------------------------
(***************************************************************************)
(* What holds of a barrier.                                                *)
(***************************************************************************)
EXTENDS Barrier

Msgs(ch)  == {ch[i] : i \in 1..Len(ch)}
Count(ch, Test(_)) == Cardinality({i \in 1..Len(ch) : Test(ch[i])})
Living    == Parties \ dead

\* The seats that a barrier has, and what of them a node knows.
Seats      == 0..(barrier.parties - 1)
Known(n)   == DOMAIN meeting[n].seats
Kept(n)    == {i \in Known(n) : ~meeting[n].seats[i].leaving}
Taken      == DOMAIN barrier.seats

\* Every variable is of its type, and what is remembered has its bound.
TypeInv ==
    /\ \A n \in Nodes :
        /\ meeting[n].over \in Nat /\ meeting[n].broken \in BOOLEAN
        /\ IF Known(n) = {} THEN meeting[n] = NoMeeting ELSE meeting[n].parties \in 1..MaxParties
        /\ \A i \in Known(n) :
            /\ meeting[n].seats[i].party \in Parties /\ NodeOf[meeting[n].seats[i].party] = n
            /\ meeting[n].seats[i].arrived \in Nat /\ meeting[n].seats[i].leaving \in BOOLEAN
            /\ Len(meeting[n].seats[i].waits) <= MaxWaits
            /\ \A w \in 1..Len(meeting[n].seats[i].waits) : meeting[n].seats[i].waits[w] \in Waits
    /\ \A p \in Parties : \A c \in calls[p] : c[1] \in {"Join", "Leave"} /\ c[2] < MaxParties
    /\ dead \subseteq Parties
    /\ barrier.parties \in 0..MaxParties
    /\ barrier.broken \in BOOLEAN /\ barrier.left \subseteq Seats
    /\ \A i \in Taken : i \in Seats /\ barrier.seats[i].party \in Parties

\* A barrier that is remembered has a seat that is taken, and a round ends with
\* the last arrival.  Until it is broken, whoever is counted has his seat or has
\* left it behind his arrival, and once a round is over there is nobody else.
BarrierInv ==
    IF Taken = {} THEN barrier = NoBarrier
    ELSE /\ barrier.arrived < barrier.parties
         /\ barrier.left \cap Taken = {}
         /\ ~barrier.broken =>
              /\ barrier.arrived = Cardinality(barrier.left)
                   + Cardinality({i \in Taken : barrier.seats[i].arrived = barrier.over + 1})
              /\ barrier.over > 0 => Taken \cup barrier.left = Seats

\* Nobody is told that a round is over before the parties of all seats have come
\* to it.
PassedProp ==
    [][\A a \in answers' : a.kind = "Await" /\ a.code = "OK" =>
         /\ a.round > 0
         /\ a.parties = meeting[NodeOf[a.party]].parties
         /\ \A i \in 0..(a.parties - 1) : came'[i] >= a.round]_vars

\* Whoever has a seat and asks for a round that is over is told so.
OverProp ==
    [][\A a \in answers' : a.kind = "Await" /\ Seated(a.party, a.index) =>
         LET m == meeting[NodeOf[a.party]]
         IN  a.round \in 1..m.over /\ a.parties = m.parties => a.code = "OK"]_vars

\* Nobody is told that a party is gone unless one is that the round needs, or he
\* leaves himself; and nobody is refused a seat for it unless one is gone.
LostProp ==
    [][/\ \A a \in answers' : a.kind = "Await" /\ a.code = "PartyDied" =>
            lost' \in 1..a.round \/ meeting'[NodeOf[a.party]].seats[a.index].leaving
       /\ \A n \in Nodes : \A j \in (Len(down[n]) + 1)..Len(down'[n]) :
            down'[n][j].kind = "Joined" /\ down'[n][j].code = "PartyDied" => lost > 0]_vars

\* A party that dies with a seat breaks the barrier, also if it has arrived.
DeathProp ==
    [][\A i \in Taken : <<"Leave", i, 0>> \in calls[barrier.seats[i].party] /\ i \notin DOMAIN barrier'.seats =>
         barrier' = NoBarrier \/ barrier'.broken]_barrier

\* Whoever is told that a seat is his has it at his node, of a barrier of as many
\* seats as he said; who is told that it is another's does not have it.
JoinedProp ==
    [][\A a \in answers' : a.kind = "Join" =>
         LET m == meeting'[NodeOf[a.party]]
             has == a.index \in DOMAIN m.seats /\ m.seats[a.index].party = a.party /\ m.parties = a.parties
         IN  CASE a.code = "OK" -> has
               [] a.code = "Mismatch" -> ~has
               [] OTHER -> TRUE]_vars

\* Rounds are over one after the other, each once, at the home and at each node.
RoundsProp ==
    [][/\ barrier' # NoBarrier => barrier'.over \in {barrier.over, barrier.over + 1}
       /\ \A n \in Nodes : meeting'[n] # NoMeeting => meeting'[n].over \in {meeting[n].over, meeting[n].over + 1}]_vars

\* No round of a barrier that is broken is ever over, and it stays broken until
\* it is forgotten.
BrokenProp ==
    [][/\ barrier.broken /\ barrier' # NoBarrier => barrier'.broken /\ barrier'.over = barrier.over
       /\ \A n \in Nodes : meeting[n].broken /\ meeting'[n] # NoMeeting =>
            meeting'[n].broken /\ meeting'[n].over = meeting[n].over]_vars

\* The home knows of as many arrivals as there are seats whose party has come to
\* the round that goes on, but for those under way to it.
ArrivedInv ==
    barrier # NoBarrier /\ ~barrier.broken =>
        barrier.arrived
          + Cardinality(UNION {{<<n, j>> : j \in {j \in 1..Len(up[n]) : up[n][j].kind = "Arrive"}} : n \in Nodes})
          = Cardinality({i \in Seats : came[i] = barrier.over + 1})

\* A seat that a node has and does not give up is the same party's at the home,
\* of a barrier of as many seats, and arrived there as often, but for an Arrive
\* that is under way.
SeatInv ==
    \A n \in Nodes : \A i \in Kept(n) :
        LET s == meeting[n].seats[i]
            arrives == {m \in Msgs(up[n]) : m.kind = "Arrive" /\ m.index = i}
        IN  /\ i \in Taken /\ barrier.seats[i].party = s.party
            /\ barrier.parties = meeting[n].parties
            /\ IF arrives = {} THEN barrier.seats[i].arrived = s.arrived
               ELSE /\ arrives = {ArriveMsg(s.party, i, s.arrived)}
                    /\ s.arrived = barrier.seats[i].arrived + 1

\* A seat at the home is its party's at the party's node too, or the news of it
\* is under way, once.
TakenInv ==
    \A i \in Taken :
        LET p == barrier.seats[i].party
            n == NodeOf[p]
            left == {j \in 1..Len(down[n]) : down[n][j].kind = "Left" /\ down[n][j].index = i}
            joined == {j \in 1..Len(down[n]) : down[n][j].kind = "Joined" /\ down[n][j].index = i
                                               /\ down[n][j].party = p /\ down[n][j].code = "OK"}
        IN  \/ i \in Known(n) /\ meeting[n].seats[i].party = p /\ left = {}
            \/ \E j \in joined : \A l \in left : l < j

\* What a node knows of a barrier that it has a seat at and does not give up is
\* what the home knows, but for what is under way.
NewsInv ==
    \A n \in Nodes : Kept(n) # {} =>
        LET done(m)   == m.kind = "Done"
            broken(m) == m.kind = "Broken"
        IN  /\ meeting[n].over + Count(down[n], done) = barrier.over
            /\ barrier.broken = (meeting[n].broken \/ Count(down[n], broken) > 0)
            /\ Count(down[n], broken) <= IF meeting[n].broken THEN 0 ELSE 1

\* No request gets lost: a Join or a Leave is under way to the home, or its answer
\* is on the way back, and just one of these.  A seat is left once.
NoLostRequestInv ==
    /\ \A p \in Parties :
        LET n == NodeOf[p]
            Under(ch, kind, name) == {<<name, ch[j].index, ch[j].request>> :
                                        j \in {j \in 1..Len(ch) : ch[j].kind = kind /\ ch[j].party = p}}
            mine(m) == m.kind \in {"Join", "Leave", "Joined", "Left"} /\ m.party = p
        IN  /\ calls[p] = UNION {Under(up[n], "Join", "Join"), Under(up[n], "Leave", "Leave"),
                                 Under(down[n], "Joined", "Join"), Under(down[n], "Left", "Leave")}
            /\ Cardinality(calls[p]) = Count(up[n], mine) + Count(down[n], mine)
    /\ \A n \in Nodes : \A i \in Known(n) :
        LET s == meeting[n].seats[i]
        IN  Cardinality({c \in calls[s.party] : c[1] = "Leave" /\ c[2] = i}) = IF s.leaving THEN 1 ELSE 0

\* What a living process has asked for and was not answered, its node knows, and
\* nothing else.
OpenInv ==
    \A p \in Living :
        open[p] = {<<c[1], c[3]>> : c \in calls[p]}
                  \cup UNION {{<<"Await", meeting[NodeOf[p]].seats[i].waits[w]>> : w \in 1..Len(meeting[NodeOf[p]].seats[i].waits)} :
                                i \in {i \in Known(NodeOf[p]) : meeting[NodeOf[p]].seats[i].party = p}}

\* Who waits has arrived, at a barrier that is not broken as far as his node
\* knows, and does not leave; nobody dead waits, and the dead leave.
WaitsInv ==
    \A n \in Nodes : \A i \in Known(n) :
        LET s == meeting[n].seats[i]
        IN  /\ s.waits # <<>> => ~s.leaving /\ s.arrived = meeting[n].over + 1 /\ ~meeting[n].broken
            /\ s.party \in dead => s.leaving

\* What arrives first is explained by what the receiver remembers (admit).
AdmitInv ==
    \A n \in Nodes :
        /\ down[n] # <<>> =>
            LET msg == Head(down[n])
                m == meeting[n]
            IN  CASE msg.kind = "Joined" ->
                       /\ <<"Join", msg.index, msg.request>> \in calls[msg.party]
                       /\ msg.code = "OK" /\ m # NoMeeting =>
                            /\ IF msg.index \in Known(n) THEN m.seats[msg.index].party = msg.party
                               ELSE ~m.broken /\ m.over = 0
                            /\ m.parties = msg.parties
                  [] msg.kind = "Done" ->
                       /\ m # NoMeeting /\ ~m.broken /\ msg.round = m.over + 1
                       /\ \A i \in Known(n) : m.seats[i].arrived = msg.round
                  [] msg.kind = "Broken" -> m # NoMeeting /\ ~m.broken
                  [] msg.kind = "Left" -> <<"Leave", msg.index, msg.request>> \in calls[msg.party]
        /\ up[n] # <<>> =>
            LET msg == Head(up[n])
            IN  msg.kind # "Join" =>
                  /\ msg.index \in Taken /\ barrier.seats[msg.index].party = msg.party
                  /\ msg.kind = "Arrive" => msg.round = barrier.over + 1 /\ barrier.seats[msg.index].arrived # msg.round

\* The party of a seat can still come, or somebody can still take it.
CanCome(i) ==
    IF i \in Taken THEN barrier.seats[i].arrived <= barrier.over
    ELSE Joined(Begin, CHOOSE n \in Nodes : TRUE, JoinMsg("stranger", 1, i, barrier.parties)).barrier # barrier

\* What is at the head of a channel can be taken: no handler has one guard too many.
ReadyInv ==
    \A n \in Nodes : (up[n] # <<>> => ENABLED HomeNext(n)) /\ (down[n] # <<>> => ENABLED NodeNext(n))

\* Where nothing is under way, who waits waits for parties of which each can still
\* come.
QuietInv ==
    (\A n \in Nodes : up[n] = <<>> /\ down[n] = <<>>) =>
        \A n \in Nodes : \A i \in Known(n) : meeting[n].seats[i].waits # <<>> =>
            LET missing == {j \in Seats : came[j] <= barrier.over}
            IN  ~barrier.broken /\ missing # {} /\ \A j \in missing : CanCome(j)

----------------------------------------------------------------------------
(***************************************************************************)
(* Liveness: channels are served, each for itself, and parties come, or    *)
(* leave, or die.  Written without ENABLED, as in StrongInvs: it leaves    *)
(* out the behaviours that stop for ever.  They stop where nothing is      *)
(* under way (ReadyInv), and there nobody waits in vain (QuietInv).        *)
(***************************************************************************)
TakesUp(n)   == up[n] # <<>> => Len(up'[n]) < Len(up[n])
TakesDown(n) == down[n] # <<>> => Len(down'[n]) < Len(down[n])

Waiting(p) == \E i \in Known(NodeOf[p]) : meeting[NodeOf[p]].seats[i].party = p /\ meeting[NodeOf[p]].seats[i].waits # <<>>

\* Whoever waits gets an answer.
WaitEndsProp == \A p \in Parties : Waiting(p) ~> ~Waiting(p)
============================================================================
