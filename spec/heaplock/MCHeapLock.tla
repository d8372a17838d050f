----------------------------- MODULE MCHeapLock ----------------------------
(***************************************************************************)
(* Parties and nodes for TLC, by name, bounds, and probes.                 *)
(***************************************************************************)
EXTENDS HeapLockInvs

CONSTANTS
    Layout,   \* which of Layouts
    Mortal,   \* parties that may die
    Turns     \* so many grants are looked at

\* Layouts name each party's node.
Layouts == [
    two   |-> [a1 |-> "a", b1 |-> "b"],
    three |-> [a1 |-> "a", a2 |-> "a", b1 |-> "b"]
]
MCNodeOf  == Layouts[Layout]
MCParties == DOMAIN MCNodeOf
MCNodes   == {MCNodeOf[p] : p \in MCParties}

\* Behaviours with more grants are not followed.
Bounded == fence' <= Turns /\ dead' \subseteq Mortal

(***************************************************************************)
(* Liveness: who asks, cancels and releases, again and again.  Two fences  *)
(* are enough to tell a turn from the next: what holds of their order is   *)
(* not checked here.                                                       *)
(***************************************************************************)
TwoFences(f) == IF f = 1 THEN 2 ELSE 1

Asker(p) ==
    \/ \E r \in Unused(p, Asks) : AcquireLock(p, r, FALSE)
    \/ \E target \in Asks, r \in Unused(p, Cancels) : CancelLock(p, target, r)
    \/ \E r \in Gives : Holds(p) /\ ReleaseLock(p, turn[p].fence, r)
    \/ p \in Mortal /\ ProcessDied(p)
AskersNext == (\E p \in Parties : Asker(p)) \/ (\E n \in Nodes : NodeNext(n) \/ HomeNext(n))
AskersSpec == Init /\ [][AskersNext]_vars /\ Fairness

----------------------------------------------------------------------------
(***************************************************************************)
(* Probes.  Each says that a state or a step never happens, and must be    *)
(* violated.                                                               *)
(***************************************************************************)

\* A near party goes first, and the front of the queue is overtaken.
ReachOvertaken == lock.overtaken = 0
\* It was overtaken so often that it goes first now, though a near one waits.
ReachNearWaitsProp ==
    [][~(lock.overtaken = NearTurns /\ lock'.overtaken = 0 /\ lock'.fence > lock.fence
         /\ NodeOf[lock'.holder] # NodeOf[lock.holder]
         /\ \E i \in 1..Len(lock'.queue) : NodeOf[lock'.queue[i].party] = NodeOf[lock.holder])]_lock
\* A Cancel crosses the grant of its request.
ReachCancelCrossesGrant ==
    ~ \E p \in Parties : /\ \E m \in Up(p) : m.kind = "Cancel"
                         /\ \E m \in Down(p) : m.kind = "Grant"
\* A request is taken back while it is queued.
ReachCanceled == ~ \E p \in Living : \E m \in Down(p) : m.kind = "Refuse" /\ m.code = "Canceled"
\* A try finds the lock held.
ReachBusy == ~ \E p \in Living : \E m \in Down(p) : m.kind = "Refuse" /\ m.code = "Busy"
\* The queue is full.
ReachLimit == ~ \E p \in Living : \E m \in Down(p) : m.kind = "Refuse" /\ m.code = "Limit"
\* The lock is granted to a party that has died meanwhile.
ReachGrantToDead == ~ \E p \in dead : \E m \in Down(p) : m.kind = "Grant"
\* A death is told to a dead party, which passes it on.
ReachDeathPassedOn == ~ \E p \in dead : \E m \in Down(p) : m.kind = "Grant" /\ m.code = "OwnerDied"
\* The lock is free, and the next one is to be told of a death.
ReachDiedFree == ~(lock.fence = 0 /\ lock.died)
\* A process that has the lock again releases it under its former fence.
ReachLateRelease == ~ \E p \in Living : held[p] > 1 /\ \E f \in 1..(held[p] - 1) : Released(Begin, ReleaseMsg(p, 0, f, "OK")).out[1].code = "NotOwner"
\* A process asks for the lock again while its Release is under way.
ReachAskBehindRelease ==
    ~ \E p \in Living : Len(up[NodeOf[p]]) > 1 /\ up[NodeOf[p]][1].kind = "Release" /\ up[NodeOf[p]][2].kind = "Acquire"
                        /\ up[NodeOf[p]][2].party = p
\* A request is taken back by its process, and then again by its timeout.
ReachTwoCancels == ~ \E p \in Living : Waits(p) /\ turn[p].cancel # 0 /\ turn[p].canceling
============================================================================
