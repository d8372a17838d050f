------------------------------ MODULE HeapLock -----------------------------
(***************************************************************************)
(* A lock of the whole cluster, with fencing: at its home a holder and a   *)
(* queue, at each node what its processes hold and wait for.  Locks are    *)
(* independent: this is the protocol of one.  A party is one process.      *)
(*                                                                         *)
(* The queue is FIFO, but for a bounded preference: who gives the lock up  *)
(* may hand it to the first in the queue that is of its own node, whose    *)
(* memory has what the lock protects, NearTurns times in a row at most.    *)
(*                                                                         *)
(* impl/protocol mirrors this module (sync.go, lock.go): a handler there   *)
(* has the name, the guards and the order of the action here.              *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Nodes,
    Parties,
    NodeOf,      \* NodeOf[p]: the node of a party
    Asks,        \* names of requests to acquire; none is 0
    Cancels,     \* names of requests to take one back; 0 asks for no answer (a timeout)
    Gives,       \* names of requests to release
    NearTurns,   \* so often at most is the front of the queue overtaken
    MaxWaiters   \* the bound of the queue

Nobody == "nobody"
NoTurn == [request |-> 0]
Free   == [fence |-> 0, holder |-> Nobody, request |-> 0, died |-> FALSE,
           overtaken |-> 0, queue |-> <<>>]

VARIABLES
    turn,    \* at its node: the lock that a party holds (fence # 0) or waits for
    calls,   \* at its node: the releases of a party that have no answer yet
    dead,    \* the parties that are known to be dead
    lock,    \* at the home: the holder, the queue, and what the next one is told
    fence,   \* at the home: of the last grant
    up,      \* up[n]: FIFO from node n to the home
    down     \* down[n]: FIFO from the home to node n

(***************************************************************************)
(* What the processes know: no guard reads it.                             *)
(***************************************************************************)
VARIABLES
    open,      \* open[p]: requests without an answer, as <<kind, name>>
    held,      \* held[p]: the fence under which p believes to have the lock, or 0
    tookBack,  \* the parties that have taken back the Acquire that is open
    owed,      \* a holder has died, and nobody was told
    passed     \* passed[p]: while p is queued, how many were ahead of it when it
               \* came (place), and how often one behind it went first (times)

node  == <<turn, calls, dead>>
home  == <<lock, fence>>
app   == <<open, held, tookBack, owed>>
vars  == <<turn, calls, dead, lock, fence, up, down, open, held, tookBack, owed, passed>>

NotQueued == [place |-> 0, times |-> 0]

(***************************************************************************)
(* Messages                                                                *)
(***************************************************************************)
AcquireMsg(p, r, try)     == [kind |-> "Acquire", party |-> p, request |-> r, try |-> try]
CancelMsg(p, r)           == [kind |-> "Cancel", party |-> p, request |-> r]
ReleaseMsg(p, r, f, code) == [kind |-> "Release", party |-> p, request |-> r, fence |-> f, code |-> code]
GrantMsg(p, r, f, code)   == [kind |-> "Grant", party |-> p, request |-> r, fence |-> f, code |-> code]
RefuseMsg(p, r, code)     == [kind |-> "Refuse", party |-> p, request |-> r, code |-> code]
ReleasedMsg(p, r, code)   == [kind |-> "Released", party |-> p, request |-> r, code |-> code]

Has(ch, kind) == ch # <<>> /\ Head(ch).kind = kind

(***************************************************************************)
(* The node of a party                                                     *)
(***************************************************************************)
Waits(p) == turn[p] # NoTurn /\ turn[p].fence = 0
Holds(p) == turn[p] # NoTurn /\ turn[p].fence # 0

ToHome(p, msgs) == up' = [up EXCEPT ![NodeOf[p]] = @ \o msgs]

AcquireLock(p, r, try) ==
    /\ p \notin dead
    /\ IF turn[p] # NoTurn
       THEN UNCHANGED vars     \* refused: Recursive
       ELSE /\ turn' = [turn EXCEPT ![p] = [request |-> r, fence |-> 0, cancel |-> 0,
                                            canceling |-> FALSE, try |-> try]]
            /\ ToHome(p, <<AcquireMsg(p, r, try)>>)
            /\ open' = [open EXCEPT ![p] = @ \cup {<<"Acquire", r>>}]
            /\ UNCHANGED <<calls, dead, home, down, held, tookBack, owed, passed>>

\* A Cancel is sent once at most.  A try has its answer on the way.
CancelTurn(p) ==
    IF ~turn[p].canceling /\ ~turn[p].try
    THEN ToHome(p, <<CancelMsg(p, turn[p].request)>>)
    ELSE UNCHANGED up

CancelLock(p, target, r) ==
    /\ p \notin dead
    /\ IF ~Waits(p) \/ turn[p].request # target
       THEN UNCHANGED vars     \* it was answered before; so is the cancel
       ELSE IF r # 0 /\ turn[p].cancel # 0
       THEN UNCHANGED vars     \* refused: Invalid
       ELSE /\ turn' = [turn EXCEPT ![p].cancel = IF r # 0 THEN r ELSE @, ![p].canceling = TRUE]
            /\ CancelTurn(p)
            /\ open' = [open EXCEPT ![p] = IF r # 0 THEN @ \cup {<<"Cancel", r>>} ELSE @]
            /\ tookBack' = IF <<"Acquire", target>> \in open[p] THEN tookBack \cup {p} ELSE tookBack
            /\ UNCHANGED <<calls, dead, home, down, held, owed, passed>>

ReleaseLock(p, f, r) ==
    /\ p \notin dead
    /\ IF ~Holds(p) \/ turn[p].fence # f
       THEN UNCHANGED vars     \* refused: NotOwner
       ELSE /\ turn' = [turn EXCEPT ![p] = NoTurn]
            /\ calls' = [calls EXCEPT ![p] = @ \cup {r}]
            /\ ToHome(p, <<ReleaseMsg(p, r, turn[p].fence, "OK")>>)
            /\ open' = [open EXCEPT ![p] = @ \cup {<<"Release", r>>}]
            /\ held' = [held EXCEPT ![p] = IF @ = f THEN 0 ELSE @]
            /\ UNCHANGED <<dead, home, down, tookBack, owed, passed>>

\* What it holds goes back, what it waits for is taken back.  Its entry stays
\* until the answers that are under way have come.
ProcessDied(p) ==
    /\ p \notin dead
    /\ dead' = dead \cup {p}
    /\ IF Waits(p)
       THEN /\ turn' = [turn EXCEPT ![p].canceling = TRUE]
            /\ CancelTurn(p)
            /\ UNCHANGED calls
       ELSE IF Holds(p)
       THEN /\ turn' = [turn EXCEPT ![p] = NoTurn]
            /\ calls' = [calls EXCEPT ![p] = @ \cup {0}]
            /\ ToHome(p, <<ReleaseMsg(p, 0, turn[p].fence, "OwnerDied")>>)
       ELSE UNCHANGED <<turn, calls, up>>
    /\ open' = [open EXCEPT ![p] = {}]
    /\ held' = [held EXCEPT ![p] = 0]
    /\ tookBack' = tookBack \ {p}
    /\ owed' = (owed \/ held[p] # 0)
    /\ UNCHANGED <<home, down, passed>>

\* The end of an Acquire for a process that can still hear of it.
AnswerAcquire(p, t) ==
    /\ open' = [open EXCEPT ![p] = @ \ {<<"Acquire", t.request>>, <<"Cancel", t.cancel>>}]
    /\ tookBack' = tookBack \ {p}

\* A dead party never knew that it has the lock: it goes back as it came.
RecvGrant(n) ==
    /\ Has(down[n], "Grant")
    /\ LET m == Head(down[n])
           p == m.party
           t == turn[p]
       IN  IF p \in dead
           THEN /\ turn' = [turn EXCEPT ![p] = NoTurn]
                /\ calls' = [calls EXCEPT ![p] = @ \cup {0}]
                /\ ToHome(p, <<ReleaseMsg(p, 0, m.fence, m.code)>>)
                /\ UNCHANGED app
           ELSE /\ turn' = [turn EXCEPT ![p] = [request |-> t.request, fence |-> m.fence, cancel |-> 0,
                                                canceling |-> FALSE, try |-> FALSE]]
                /\ AnswerAcquire(p, t)
                /\ held' = [held EXCEPT ![p] = m.fence]
                /\ owed' = FALSE
                /\ UNCHANGED <<calls, up>>
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<dead, home, passed>>

RecvRefuse(n) ==
    /\ Has(down[n], "Refuse")
    /\ LET m == Head(down[n])
           p == m.party
       IN  /\ turn' = [turn EXCEPT ![p] = NoTurn]
           /\ AnswerAcquire(p, turn[p])
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<calls, dead, home, up, held, owed, passed>>

RecvReleased(n) ==
    /\ Has(down[n], "Released")
    /\ LET m == Head(down[n])
           p == m.party
       IN  /\ calls' = [calls EXCEPT ![p] = @ \ {m.request}]
           /\ open' = [open EXCEPT ![p] = @ \ {<<"Release", m.request>>}]
    /\ down' = [down EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<turn, dead, home, up, held, tookBack, owed, passed>>

(***************************************************************************)
(* The home.  While a handler runs, s has lock and fence, and              *)
(*   out     messages to the parties' nodes                                *)
(*   passed  as above                                                      *)
(***************************************************************************)
Begin == [lock |-> lock, fence |-> fence, out |-> <<>>, passed |-> passed]

\* up1 is the channels without the message that was taken.
\* The new state has a name: TLC would find it again for each use in ReadyInv.
End(state, up1) == \E s \in {state} :
    /\ lock' = s.lock
    /\ fence' = s.fence
    /\ passed' = s.passed
    /\ up' = up1
    /\ down' = [n \in Nodes |-> down[n] \o SelectSeq(s.out, LAMBDA m : NodeOf[m.party] = n)]
    /\ UNCHANGED <<node, app>>

Tell(s, msg) == [s EXCEPT !.out = Append(@, msg)]

\* Fences grow: a home counts its grants, of whatever lock.
NextFence(f) == f + 1

GrantTo(s, w) ==
    LET f == NextFence(s.fence)
        t == [s EXCEPT !.fence = f, !.lock.fence = f, !.lock.holder = w.party,
                       !.lock.request = w.request, !.lock.died = FALSE]
    IN  Tell(t, GrantMsg(w.party, w.request, f, IF s.lock.died THEN "OwnerDied" ELSE "OK"))

Without(q, i) == SubSeq(q, 1, i - 1) \o SubSeq(q, i + 1, Len(q))

Lowest(S) == CHOOSE i \in S : \A j \in S : i <= j

\* The place in the queue of whom a lock goes to that node n gives up.
NextInLine(s, n) ==
    LET near == {i \in 1..Len(s.lock.queue) : NodeOf[s.lock.queue[i].party] = n}
    IN  IF s.lock.overtaken < NearTurns /\ near # {} THEN Lowest(near) ELSE 1

\* One time too often is not counted any further.
Overtaken(n) == IF n.times > NearTurns * (n.place + 1) THEN n ELSE [n EXCEPT !.times = @ + 1]

\* To the next in the queue goes a lock that was just given up.
HandOver(s) ==
    LET q == s.lock.queue
        i == NextInLine(s, NodeOf[s.lock.holder])
        t == [s EXCEPT !.lock.queue = Without(q, i),
                       !.lock.overtaken = IF i = 1 THEN 0 ELSE @ + 1,
                       !.passed = [p \in Parties |->
                          IF p = q[i].party THEN NotQueued
                          ELSE IF \E j \in 1..(i - 1) : q[j].party = p
                          THEN Overtaken(@[p])
                          ELSE @[p]]]
    IN  IF q = <<>> THEN [s EXCEPT !.lock = [Free EXCEPT !.died = s.lock.died]]
        ELSE GrantTo(t, q[i])

Acquired(s, m) ==
    IF s.lock.fence = 0 THEN GrantTo(s, [party |-> m.party, request |-> m.request])
    ELSE IF m.try THEN Tell(s, RefuseMsg(m.party, m.request, "Busy"))
    ELSE IF Len(s.lock.queue) >= MaxWaiters THEN Tell(s, RefuseMsg(m.party, m.request, "Limit"))
    ELSE [s EXCEPT !.lock.queue = Append(@, [party |-> m.party, request |-> m.request]),
                   !.passed[m.party] = [place |-> Len(s.lock.queue), times |-> 0]]

\* A request that is not in the queue was answered: its answer and the Cancel
\* have crossed.
Canceled(s, m) ==
    LET at == {i \in 1..Len(s.lock.queue) :
                 s.lock.queue[i].party = m.party /\ s.lock.queue[i].request = m.request}
    IN  IF at = {} THEN s
        ELSE Tell([s EXCEPT !.lock.queue = Without(@, Lowest(at)), !.passed[m.party] = NotQueued],
                  RefuseMsg(m.party, m.request, "Canceled"))

\* A Release of a turn that is over frees nothing.
Released(s, m) ==
    LET owner == s.lock.fence = m.fence /\ s.lock.holder = m.party
        told  == Tell(s, ReleasedMsg(m.party, m.request, IF owner THEN "OK" ELSE "NotOwner"))
    IN  IF ~owner THEN told
        ELSE HandOver([told EXCEPT !.lock.fence = 0, !.lock.died = (m.code = "OwnerDied")])

HomeRecvAcquire(n) ==
    /\ Has(up[n], "Acquire")
    /\ End(Acquired(Begin, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

HomeRecvCancel(n) ==
    /\ Has(up[n], "Cancel")
    /\ End(Canceled(Begin, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

HomeRecvRelease(n) ==
    /\ Has(up[n], "Release")
    /\ End(Released(Begin, Head(up[n])), [up EXCEPT ![n] = Tail(@)])

(***************************************************************************)
(* The system                                                              *)
(***************************************************************************)
Init ==
    /\ turn = [p \in Parties |-> NoTurn]
    /\ calls = [p \in Parties |-> {}]
    /\ dead = {}
    /\ lock = Free
    /\ fence = 0
    /\ up = [n \in Nodes |-> <<>>]
    /\ down = [n \in Nodes |-> <<>>]
    /\ open = [p \in Parties |-> {}]
    /\ held = [p \in Parties |-> 0]
    /\ tookBack = {}
    /\ owed = FALSE
    /\ passed = [p \in Parties |-> NotQueued]

\* A process gives its requests names that are not in use.
Unused(p, names) == {r \in names : \A kind \in {"Acquire", "Cancel", "Release"} : <<kind, r>> \notin open[p]}

\* It may release under any fence it has ever seen, and take back any request.
ProcessNext(p) ==
    \/ \E r \in Unused(p, Asks), try \in BOOLEAN : AcquireLock(p, r, try)
    \/ \E target \in Asks, r \in Unused(p, Cancels) : CancelLock(p, target, r)
    \/ \E f \in 0..fence, r \in Unused(p, Gives) : ReleaseLock(p, f, r)
    \/ ProcessDied(p)

NodeNext(n) == RecvGrant(n) \/ RecvRefuse(n) \/ RecvReleased(n)

HomeNext(n) == HomeRecvAcquire(n) \/ HomeRecvCancel(n) \/ HomeRecvRelease(n)

Next == (\E p \in Parties : ProcessNext(p)) \/ (\E n \in Nodes : NodeNext(n) \/ HomeNext(n))

Spec == Init /\ [][Next]_vars
============================================================================
