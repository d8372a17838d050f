---------------------------- MODULE BarrierInvs ----------------------------
(***************************************************************************)
(* What holds of a barrier.                                                *)
(***************************************************************************)
EXTENDS Barrier

Msgs(ch)  == {ch[i] : i \in 1..Len(ch)}
Count(ch, Test(_)) == Cardinality({i \in 1..Len(ch) : Test(ch[i])})
Living    == Parties \ dead

\* The generations that the home remembers, and those that a node does.
Gens       == {barrier[j].gen : j \in DOMAIN barrier}
Of(g)      == barrier[PlaceOf(barrier, g)]
Known(n)   == DOMAIN meeting[n]

\* The seats of a generation, those that are taken, and what of them a node knows.
Seats(g)   == 0..(Of(g).parties - 1)
Taken(g)   == DOMAIN Of(g).seats
Here(n, g) == DOMAIN meeting[n][g].seats
Kept(n, g) == {i \in Here(n, g) : ~meeting[n][g].seats[i].leaving}

\* Every variable is of its type, and what is remembered has its bound.
TypeInv ==
    /\ \A n \in Nodes : \A g \in Known(n) :
        /\ g \in Numbers
        /\ meeting[n][g].over \in Nat /\ meeting[n][g].broken \in BOOLEAN
        /\ Here(n, g) # {} /\ meeting[n][g].parties \in 1..MaxParties
        /\ \A i \in Here(n, g) :
            LET s == meeting[n][g].seats[i]
            IN  /\ s.party \in Parties /\ NodeOf[s.party] = n
                /\ s.arrived \in Nat /\ s.leaving \in BOOLEAN
                /\ Len(s.waits) <= MaxWaits
                /\ \A w \in 1..Len(s.waits) : s.waits[w] \in Waits
    /\ \A p \in Parties : \A c \in calls[p] : c[1] \in {"Join", "Leave"} /\ c[2] < MaxParties
    /\ dead \subseteq Parties
    /\ \A j \in DOMAIN barrier :
        /\ barrier[j].gen \in Numbers /\ barrier[j].parties \in 1..MaxParties
        /\ barrier[j].broken \in BOOLEAN /\ barrier[j].left \subseteq Seats(barrier[j].gen)
        /\ \A i \in DOMAIN barrier[j].seats : i \in Seats(barrier[j].gen) /\ barrier[j].seats[i].party \in Parties
    /\ DOMAIN uses = Gens

\* A generation that is remembered has a seat that is taken, and a number of its own;
\* a round ends with the last arrival.  Until it is broken, whoever is counted has
\* his seat or has left it behind his arrival, and once a round is over there is
\* nobody else.
BarrierInv ==
    /\ Cardinality(Gens) = Len(barrier)
    /\ \A j \in DOMAIN barrier :
        LET b == barrier[j]
            taken == DOMAIN b.seats
        IN  /\ taken # {} /\ b.arrived < b.parties
            /\ b.left \cap taken = {}
            /\ ~b.broken =>
                 /\ b.arrived = Cardinality(b.left) + Cardinality({i \in taken : b.seats[i].arrived = b.over + 1})
                 /\ b.over > 0 => taken \cup b.left = 0..(b.parties - 1)

\* Nobody is ahead of a generation that needs him: who has a seat in a later one has
\* had it in each before it that is not broken, and has left it behind his arrival.
\* So what parties of one program make of a name, each coming to its seat again when
\* it has left it, is one generation at a time for all of them.
TurnInv ==
    \A j, k \in DOMAIN barrier : j < k /\ ~barrier[j].broken =>
        DOMAIN barrier[k].seats \cup barrier[k].left \subseteq barrier[j].left

\* A party has a seat that it is not leaving in one generation at most.
OneSeatInv == \A p \in Parties, i \in Indices : Cardinality(Holds(p, i)) <= 1

\* Nobody is told that a round is over before the parties of all seats of his
\* generation have come to it.
PassedProp ==
    [][\A a \in answers' : a.kind = "Await" /\ a.code = "OK" =>
         /\ a.round > 0
         /\ a.gen \in DOMAIN uses' /\ a.gen \in Known(NodeOf[a.party])
         /\ a.parties = meeting[NodeOf[a.party]][a.gen].parties
         /\ \A i \in 0..(a.parties - 1) : uses'[a.gen].came[i] >= a.round]_vars

\* Whoever has a seat and asks for a round that is over is told so.
OverProp ==
    [][\A a \in answers' : a.kind = "Await" /\ Seated(a.party, a.index) =>
         LET m == meeting[NodeOf[a.party]][Held(a.party, a.index)]
         IN  a.round \in 1..m.over /\ a.parties = m.parties => a.code = "OK"]_vars

\* Nobody is told that a party is gone unless one of his generation is that the round
\* needs, or he leaves himself.
LostProp ==
    [][\A a \in answers' : a.kind = "Await" /\ a.code = "PartyDied" =>
            \/ a.gen \in DOMAIN uses' /\ uses'[a.gen].lost \in 1..a.round
            \/ meeting'[NodeOf[a.party]][a.gen].seats[a.index].leaving]_vars

\* A party that dies with a seat breaks the generation, also if it has arrived.
DeathProp ==
    [][\A g \in Gens : \A i \in Taken(g) :
         <<"Leave", i, 0, g>> \in calls[Of(g).seats[i].party] =>
             \/ g \notin Gens'
             \/ i \in DOMAIN barrier'[PlaceOf(barrier', g)].seats
             \/ barrier'[PlaceOf(barrier', g)].broken]_barrier

\* Whoever is told that a seat is his has it at his node, of a barrier of as many
\* seats as he said; who is told that it is another's does not have it.
JoinedProp ==
    [][\A a \in answers' : a.kind = "Join" =>
         LET m == meeting'[NodeOf[a.party]]
             has(g) == a.index \in DOMAIN m[g].seats /\ m[g].seats[a.index].party = a.party /\ m[g].parties = a.parties
         IN  CASE a.code = "OK" -> a.gen \in DOMAIN m /\ has(a.gen)
               [] a.code = "Mismatch" -> \A g \in DOMAIN m : ~has(g)
               [] OTHER -> TRUE]_vars

\* A name that is free can be used. A seat is refused only in three cases: somebody has
\* it in a generation that is not broken; who asks has it; or a generation that is not
\* broken and that he has not left is of another size.
RefusedProp ==
    [][\A n \in Nodes : \A j \in (Len(down[n]) + 1)..Len(down'[n]) :
         LET m == down'[n][j]
         IN  m.kind = "Joined" /\ m.code # "OK" =>
                 /\ m.code = "Mismatch"
                 /\ \E k \in DOMAIN barrier :
                      LET b == barrier[k]
                          mine == m.index \in DOMAIN b.seats /\ b.seats[m.index].party = m.party
                      IN  \/ ~b.broken /\ m.index \in DOMAIN b.seats /\ ~mine
                          \/ mine /\ b.parties # m.parties
                          \/ ~b.broken /\ m.index \notin b.left /\ b.parties # m.parties]_vars

\* Rounds are over one after the other, each once, at the home and at each node.
RoundsProp ==
    [][/\ \A j \in DOMAIN barrier' :
            LET b == barrier'[j]
            IN  IF b.gen \in Gens THEN b.over \in {Of(b.gen).over, Of(b.gen).over + 1} ELSE b.over = 0
       /\ \A n \in Nodes : \A g \in DOMAIN meeting'[n] :
            LET over == meeting'[n][g].over
            IN  IF g \in Known(n) THEN over \in {meeting[n][g].over, meeting[n][g].over + 1} ELSE over = 0]_vars

\* No round of a generation that is broken is ever over, and it stays broken until
\* it is forgotten.
BrokenProp ==
    [][/\ \A j \in DOMAIN barrier' :
            LET b == barrier'[j]
            IN  b.gen \in Gens /\ Of(b.gen).broken => b.broken /\ b.over = Of(b.gen).over
       /\ \A n \in Nodes : \A g \in Known(n) \cap DOMAIN meeting'[n] :
            meeting[n][g].broken => meeting'[n][g].broken /\ meeting'[n][g].over = meeting[n][g].over]_vars

\* The home knows of as many arrivals as there are seats whose party has come to
\* the round that goes on, but for those under way to it.
ArrivedInv ==
    \A g \in Gens : ~Of(g).broken =>
        Of(g).arrived
          + Cardinality(UNION {{<<n, j>> : j \in {j \in 1..Len(up[n]) : up[n][j].kind = "Arrive" /\ up[n][j].gen = g}} : n \in Nodes})
          = Cardinality({i \in Seats(g) : Came(uses, g, i) = Of(g).over + 1})

\* A seat that a node has and does not give up is the same party's at the home,
\* of a generation of as many seats, and arrived there as often, but for an Arrive
\* that is under way.
SeatInv ==
    \A n \in Nodes : \A g \in Known(n) : \A i \in Kept(n, g) :
        LET s == meeting[n][g].seats[i]
            arrives == {m \in Msgs(up[n]) : m.kind = "Arrive" /\ m.index = i /\ m.gen = g}
        IN  /\ g \in Gens
            /\ i \in Taken(g) /\ Of(g).seats[i].party = s.party
            /\ Of(g).parties = meeting[n][g].parties
            /\ IF arrives = {} THEN Of(g).seats[i].arrived = s.arrived
               ELSE /\ arrives = {ArriveMsg(s.party, i, g, s.arrived)}
                    /\ s.arrived = Of(g).seats[i].arrived + 1

\* A seat at the home is its party's at the party's node too, or the news of it
\* is under way, once.
TakenInv ==
    \A g \in Gens : \A i \in Taken(g) :
        LET p == Of(g).seats[i].party
            n == NodeOf[p]
            left == {j \in 1..Len(down[n]) : down[n][j].kind = "Left" /\ down[n][j].index = i /\ down[n][j].gen = g}
            joined == {j \in 1..Len(down[n]) : down[n][j].kind = "Joined" /\ down[n][j].index = i
                                               /\ down[n][j].party = p /\ down[n][j].gen = g /\ down[n][j].code = "OK"}
        IN  /\ left = {}
            /\ \/ g \in Known(n) /\ i \in Here(n, g) /\ meeting[n][g].seats[i].party = p
               \/ joined # {}

\* What a node knows of a generation that it has a seat in and does not give up is
\* what the home knows, but for what is under way.
NewsInv ==
    \A n \in Nodes : \A g \in Known(n) : Kept(n, g) # {} =>
        LET done(m)   == m.kind = "Done" /\ m.gen = g
            broken(m) == m.kind = "Broken" /\ m.gen = g
        IN  /\ g \in Gens
            /\ meeting[n][g].over + Count(down[n], done) = Of(g).over
            /\ Of(g).broken = (meeting[n][g].broken \/ Count(down[n], broken) > 0)
            /\ Count(down[n], broken) <= IF meeting[n][g].broken THEN 0 ELSE 1

\* No request gets lost: a Join or a Leave is under way to the home, or its answer
\* is on the way back, and just one of these.  A seat is left once.
NoLostRequestInv ==
    /\ \A p \in Parties :
        LET n == NodeOf[p]
            Gen(m) == IF m.kind \in {"Join", "Joined"} THEN 0 ELSE m.gen
            Under(ch, kind, name) == {<<name, ch[j].index, ch[j].request, Gen(ch[j])>> :
                                        j \in {j \in 1..Len(ch) : ch[j].kind = kind /\ ch[j].party = p}}
            mine(m) == m.kind \in {"Join", "Leave", "Joined", "Left"} /\ m.party = p
        IN  /\ calls[p] = UNION {Under(up[n], "Join", "Join"), Under(up[n], "Leave", "Leave"),
                                 Under(down[n], "Joined", "Join"), Under(down[n], "Left", "Leave")}
            /\ Cardinality(calls[p]) = Count(up[n], mine) + Count(down[n], mine)
    /\ \A n \in Nodes : \A g \in Known(n) : \A i \in Here(n, g) :
        LET s == meeting[n][g].seats[i]
        IN  Cardinality({c \in calls[s.party] : c[1] = "Leave" /\ c[2] = i /\ c[4] = g}) = IF s.leaving THEN 1 ELSE 0

\* The seats of a party that requests wait in.
WaitsOf(p) ==
    LET m == meeting[NodeOf[p]]
    IN  UNION {UNION {{m[g].seats[i].waits[w] : w \in 1..Len(m[g].seats[i].waits)} :
                        i \in {i \in DOMAIN m[g].seats : m[g].seats[i].party = p}} : g \in DOMAIN m}

\* What a living process has asked for and was not answered, its node knows, and
\* nothing else.
OpenInv ==
    \A p \in Living : open[p] = {<<c[1], c[3]>> : c \in calls[p]} \cup {<<"Await", r>> : r \in WaitsOf(p)}

\* Who waits has arrived, in a generation that is not broken as far as his node
\* knows, and does not leave; nobody dead waits, and the dead leave.
WaitsInv ==
    \A n \in Nodes : \A g \in Known(n) : \A i \in Here(n, g) :
        LET s == meeting[n][g].seats[i]
        IN  /\ s.waits # <<>> => ~s.leaving /\ s.arrived = meeting[n][g].over + 1 /\ ~meeting[n][g].broken
            /\ s.party \in dead => s.leaving

\* What arrives first is explained by what the receiver remembers (admit).
AdmitInv ==
    \A n \in Nodes :
        /\ down[n] # <<>> =>
            LET msg == Head(down[n])
                knows == msg.gen \in Known(n)
                m == meeting[n][msg.gen]
            IN  CASE msg.kind = "Joined" ->
                       /\ <<"Join", msg.index, msg.request, 0>> \in calls[msg.party]
                       /\ msg.code = "OK" =>
                            /\ msg.gen # 0
                            /\ knows =>
                                 /\ IF msg.index \in Here(n, msg.gen) THEN m.seats[msg.index].party = msg.party
                                    ELSE ~m.broken /\ m.over = 0
                                 /\ m.parties = msg.parties
                  [] msg.kind = "Done" ->
                       /\ knows /\ ~m.broken /\ msg.round = m.over + 1
                       /\ \A i \in Here(n, msg.gen) : m.seats[i].arrived = msg.round
                  [] msg.kind = "Broken" -> knows /\ ~m.broken
                  [] msg.kind = "Left" -> <<"Leave", msg.index, msg.request, msg.gen>> \in calls[msg.party]
        /\ up[n] # <<>> =>
            LET msg == Head(up[n])
            IN  msg.kind # "Join" =>
                  /\ msg.gen \in Gens
                  /\ msg.index \in Taken(msg.gen) /\ Of(msg.gen).seats[msg.index].party = msg.party
                  /\ msg.kind = "Arrive" => /\ msg.round = Of(msg.gen).over + 1
                                            /\ Of(msg.gen).seats[msg.index].arrived # msg.round

\* The party of a seat can still come, or somebody can still take it, here or in an
\* older generation that is not broken; or it is there, and can leave.
CanCome(g, i) ==
    IF i \in Taken(g) THEN Of(g).seats[i].arrived <= Of(g).over
    ELSE \/ Joined(Begin, CHOOSE n \in Nodes : TRUE, JoinMsg("stranger", 1, i, Of(g).parties)).barrier # barrier
         \/ \E j \in 1..(PlaceOf(barrier, g) - 1) : ~barrier[j].broken /\ i \in DOMAIN barrier[j].seats

\* What is at the head of a channel can be taken: no handler has one guard too many.
ReadyInv ==
    \A n \in Nodes : (up[n] # <<>> => ENABLED HomeNext(n)) /\ (down[n] # <<>> => ENABLED NodeNext(n))

\* Where nothing is under way, who waits waits for parties of which each can still
\* come.
QuietInv ==
    (\A n \in Nodes : up[n] = <<>> /\ down[n] = <<>>) =>
        \A n \in Nodes : \A g \in Known(n) : \A i \in Here(n, g) : meeting[n][g].seats[i].waits # <<>> =>
            LET missing == {j \in Seats(g) : Came(uses, g, j) <= Of(g).over}
            IN  ~Of(g).broken /\ missing # {} /\ \A j \in missing : CanCome(g, j)

----------------------------------------------------------------------------
(***************************************************************************)
(* Liveness: channels are served, each for itself, and parties come, or    *)
(* leave, or die.  Written without ENABLED, as in StrongInvs: it leaves    *)
(* out the behaviours that stop for ever.  They stop where nothing is      *)
(* under way (ReadyInv), and there nobody waits in vain (QuietInv).        *)
(***************************************************************************)
TakesUp(n)   == up[n] # <<>> => Len(up'[n]) < Len(up[n])
TakesDown(n) == down[n] # <<>> => Len(down'[n]) < Len(down[n])

Waiting(p) == WaitsOf(p) # {}

\* Whoever waits gets an answer.
WaitEndsProp == \A p \in Parties : Waiting(p) ~> ~Waiting(p)
============================================================================
