---------------------------- MODULE HeapLockInvs ---------------------------
(***************************************************************************)
(* What holds of a lock.                                                   *)
(***************************************************************************)
EXTENDS HeapLock

Msgs(ch)  == {ch[i] : i \in 1..Len(ch)}
Up(p)     == {m \in Msgs(up[NodeOf[p]]) : m.party = p}
Down(p)   == {m \in Msgs(down[NodeOf[p]]) : m.party = p}
Count(ch, Test(_)) == Cardinality({i \in 1..Len(ch) : Test(ch[i])})
Queued(p) == \E i \in 1..Len(lock.queue) : lock.queue[i].party = p
Max(S)    == CHOOSE i \in S : \A j \in S : j <= i
Living    == Parties \ dead

Names == Asks \cup Cancels \cup Gives \cup {0}

\* Every variable is of its type, and every queue has its bound.
TypeInv ==
    /\ \A p \in Parties :
        turn[p] = NoTurn \/ turn[p] \in [request : Asks, fence : 0..fence, cancel : Cancels \cup {0},
                                         canceling : BOOLEAN, try : BOOLEAN]
    /\ calls \in [Parties -> SUBSET (Gives \cup {0})]
    /\ dead \subseteq Parties
    /\ lock.fence \in 0..fence
    /\ lock.holder \in Parties \cup {Nobody}
    /\ lock.died \in BOOLEAN
    /\ lock.overtaken \in Nat
    /\ Len(lock.queue) <= MaxWaiters
    /\ \A i \in 1..Len(lock.queue) : lock.queue[i] \in [party : Parties, request : Asks]

\* At most one process believes to have the lock, and under the fence that the
\* home remembers.
MutualExclusionInv ==
    /\ \A p, q \in Parties : held[p] # 0 /\ held[q] # 0 => p = q
    /\ \A p \in Parties : held[p] # 0 => lock.holder = p /\ lock.fence = held[p]

\* A Release frees the lock for its holder and under its fence; whatever comes
\* late, twice, or from somebody else frees nothing.
FenceInv ==
    \A p \in Parties, f \in 1..fence, code \in {"OK", "OwnerDied"} :
        (p = lock.holder /\ f = lock.fence) \/ Released(Begin, ReleaseMsg(p, 0, f, code)).lock = lock

\* Every grant has a higher fence than those before.
FenceGrowsProp == [][lock.fence' # lock.fence /\ lock.fence' # 0 => lock.fence' > fence]_home

\* A free lock has no queue, and one that is held has told of a death.
LockInv ==
    IF lock.fence = 0 THEN lock = [Free EXCEPT !.died = lock.died] ELSE ~lock.died

\* The holder of the home is the node's holder, but for what is under way: the
\* lock is at exactly one place.
OnePlaceInv ==
    LET grants   == {m \in UNION {Msgs(down[n]) : n \in Nodes} : m.kind = "Grant"}
        releases == {m \in UNION {Msgs(up[n]) : n \in Nodes} : m.kind = "Release"}
        holders  == {p \in Parties : Holds(p)}
    IN  /\ Cardinality(grants) + Cardinality(releases) + Cardinality(holders) = IF lock.fence = 0 THEN 0 ELSE 1
        /\ \A m \in grants \cup releases : m.party = lock.holder /\ m.fence = lock.fence
        /\ \A p \in holders : p = lock.holder /\ turn[p].fence = lock.fence

\* A queue is FIFO but for NearTurns: of those who were behind it when it came, a
\* request is overtaken at most NearTurns times while it is at the front, and as
\* often for each that was ahead of it.
FifoInv == \A p \in Parties : passed[p].times <= NearTurns * (passed[p].place + 1)

\* Who goes first is the first in the queue, or the first of the node that gives
\* the lock up: requests of one node are served in the order in which they came.
FifoProp ==
    [][\A i \in 2..Len(lock.queue) :
         lock'.holder = lock.queue[i].party /\ lock'.fence # lock.fence =>
           /\ NodeOf[lock.queue[i].party] = NodeOf[lock.holder]
           /\ \A j \in 1..(i - 1) : NodeOf[lock.queue[j].party] # NodeOf[lock.holder]]_lock

\* What a living process has asked for and was not answered, its node knows, and
\* nothing else.
OpenInv ==
    \A p \in Living :
        open[p] = UNION {IF Waits(p) THEN {<<"Acquire", turn[p].request>>} ELSE {},
                         IF Waits(p) /\ turn[p].cancel # 0 THEN {<<"Cancel", turn[p].cancel>>} ELSE {},
                         {<<"Release", r>> : r \in calls[p]}}

\* No request gets lost on the way: it is under way to the home, in the queue
\* there, or answered, and just one of these.  One that is taken back has one
\* Cancel behind it, until that has made the home answer or crossed the answer.
NoLostRequestInv ==
    \A p \in Parties :
        LET acquire(m) == m.kind = "Acquire" /\ m.party = p
            answer(m)  == m.kind \in {"Grant", "Refuse"} /\ m.party = p
            cancel(m)  == m.kind = "Cancel" /\ m.party = p
            release(m) == m.kind = "Release" /\ m.party = p
            done(m)    == m.kind = "Released" /\ m.party = p
            waiting    == {i \in 1..Len(lock.queue) : lock.queue[i].party = p}
            u == up[NodeOf[p]]
            d == down[NodeOf[p]]
            behind == SelectSeq(SubSeq(u, 1 + Max({0} \cup {i \in 1..Len(u) : acquire(u[i])}), Len(u)), cancel)
        IN  /\ Count(u, acquire) + Cardinality(waiting) + Count(d, answer) = IF Waits(p) THEN 1 ELSE 0
            /\ Count(u, release) + Count(d, done) = Cardinality(calls[p])
            /\ Len(behind) <= 1
            /\ Waits(p) /\ turn[p].canceling /\ ~turn[p].try => Len(behind) + Count(d, answer) > 0

\* What arrives is explained by what the receiver remembers (admit).
AdmitInv ==
    \A p \in Parties :
        /\ \A m \in Down(p) :
            CASE m.kind = "Released" -> m.request \in calls[p] /\ m.code = "OK"
              [] OTHER ->
                 /\ Waits(p) /\ turn[p].request = m.request
                 /\ m.kind = "Refuse" /\ m.code = "Busy" => turn[p].try
                 /\ m.kind = "Refuse" /\ m.code = "Canceled" => turn[p].canceling /\ ~turn[p].try
        /\ \A m \in Up(p) : m.kind = "Release" => m.fence <= fence
        /\ up[NodeOf[p]] # <<>> /\ Head(up[NodeOf[p]]).kind = "Acquire" /\ Head(up[NodeOf[p]]).party = p =>
             ~Queued(p) /\ ~(lock.fence # 0 /\ lock.holder = p)

\* A try is never queued.
TryInv == \A p \in Parties : Queued(p) => ~turn[p].try

\* Nobody's request is taken back unless he, or his death, did it.
TookBackInv == \A p \in Living : Waits(p) /\ turn[p].canceling => p \in tookBack

\* The death of a holder is told once: to the next one that gets to know that it
\* has the lock.
OwnerDiedProp ==
    [][\A p \in Parties : held[p] = 0 /\ held'[p] # 0 =>
         (Head(down[NodeOf[p]]).code = "OwnerDied") = owed]_<<held, owed>>

\* What is at the head of a channel can be taken: no handler has one guard too many.
ReadyInv ==
    \A n \in Nodes : (up[n] # <<>> => ENABLED HomeNext(n)) /\ (down[n] # <<>> => ENABLED NodeNext(n))

\* Where nothing is under way, who waits waits for a living holder.
QuietInv ==
    (\A n \in Nodes : up[n] = <<>> /\ down[n] = <<>>) =>
        \A p \in Parties : Waits(p) => \E q \in Living : Holds(q)

(***************************************************************************)
(* Liveness: channels are served, each for itself, and a holder gives the  *)
(* lock up or dies some day.  Written without ENABLED, as in StrongInvs:   *)
(* it leaves out the behaviours that stop for ever.  They stop where       *)
(* nothing is under way (ReadyInv), and there nobody waits (QuietInv).     *)
(***************************************************************************)
\* No step both takes from a channel and adds to it.
TakesUp(n)   == up[n] # <<>> => Len(up'[n]) < Len(up[n])
TakesDown(n) == down[n] # <<>> => Len(down'[n]) < Len(down[n])
GivesUp(p)   == Holds(p) => turn'[p] = NoTurn

Fairness ==
    /\ \A n \in Nodes : []<><<TakesUp(n)>>_vars /\ []<><<TakesDown(n)>>_vars
    /\ \A p \in Parties : []<><<GivesUp(p)>>_vars

LiveSpec == Spec /\ Fairness

\* Whoever waits gets an answer: the lock, unless he takes the request back or
\* tries.
LockServedProp == \A p \in Parties : Waits(p) ~> ~Waits(p)
============================================================================
