----------------------------- MODULE HeapTable -----------------------------
(***************************************************************************)
(* The table of heaps of MomeMalloc: whose each heap is, in shared memory, *)
(* changed by the holder of the heap lock only.  A process allocates from  *)
(* the heaps of its arena without a lock; it takes a new one, and gives an *)
(* empty one back, under it.  A process may die between any two of these   *)
(* steps: then heaps are its node's that no process there allocates from,  *)
(* and another process of the node adopts them.                            *)
(***************************************************************************)
EXTENDS HeapLockInvs

CONSTANT Heaps

VARIABLES
    owner,   \* owner[h]: "free", "shared", or the node whose it is
    arena,   \* arena[p]: the heaps that a process allocates from
    doing    \* doing[p]: the heap that it is taking or returning

table == <<owner, arena, doing>>
Idle  == [op |-> "none"]

HasLock(p) == held[p] # 0 /\ doing[p] = Idle

\* What a dead process has left, as its node knows.
Orphan(h, n) ==
    owner[h] = n /\ \A p \in Living : NodeOf[p] = n => h \notin arena[p]

FindHeap(p, h) ==
    /\ HasLock(p)
    /\ owner[h] = "free" \/ Orphan(h, NodeOf[p])
    /\ doing' = [doing EXCEPT ![p] = [op |-> "take", heap |-> h]]
    /\ UNCHANGED <<vars, owner, arena>>

\* The table says so before a block of the heap is given out.
TakeHeap(p) ==
    /\ doing[p].op = "take"
    /\ owner' = [owner EXCEPT ![doing[p].heap] = NodeOf[p]]
    /\ doing' = [doing EXCEPT ![p].op = "keep"]
    /\ UNCHANGED <<vars, arena>>

KeepHeap(p) ==
    /\ doing[p].op = "keep"
    /\ arena' = [arena EXCEPT ![p] = @ \cup {doing[p].heap}]
    /\ doing' = [doing EXCEPT ![p] = Idle]
    /\ UNCHANGED <<vars, owner>>

\* No block of it is given out any more before the table says that it is free.
DropHeap(p, h) ==
    /\ HasLock(p)
    /\ h \in arena[p]
    /\ arena' = [arena EXCEPT ![p] = @ \ {h}]
    /\ doing' = [doing EXCEPT ![p] = [op |-> "return", heap |-> h]]
    /\ UNCHANGED <<vars, owner>>

ReturnHeap(p) ==
    /\ doing[p].op = "return"
    /\ owner' = [owner EXCEPT ![doing[p].heap] = "free"]
    /\ doing' = [doing EXCEPT ![p] = Idle]
    /\ UNCHANGED <<vars, arena>>

\* A heap from which every process allocates, under the lock.
ShareHeap(p, h) ==
    /\ HasLock(p)
    /\ owner[h] = "free"
    /\ owner' = [owner EXCEPT ![h] = "shared"]
    /\ UNCHANGED <<vars, arena, doing>>

UnshareHeap(p, h) ==
    /\ HasLock(p)
    /\ owner[h] = "shared"
    /\ owner' = [owner EXCEPT ![h] = "free"]
    /\ UNCHANGED <<vars, arena, doing>>

TableInit ==
    /\ Init
    /\ owner = [h \in Heaps |-> "free"]
    /\ arena = [p \in Parties |-> {}]
    /\ doing = [p \in Parties |-> Idle]

TableNext(p) ==
    \/ \E h \in Heaps : FindHeap(p, h) \/ DropHeap(p, h) \/ ShareHeap(p, h) \/ UnshareHeap(p, h)
    \/ TakeHeap(p) \/ KeepHeap(p) \/ ReturnHeap(p)

\* The lock is held until a heap is in one place again.  Death is another matter.
LockNext(p) ==
    \/ \E r \in Unused(p, Asks) : AcquireLock(p, r, FALSE) /\ UNCHANGED table
    \/ \E r \in Gives : HasLock(p) /\ ReleaseLock(p, held[p], r) /\ UNCHANGED table
    \/ /\ ProcessDied(p)
       /\ arena' = [arena EXCEPT ![p] = {}]
       /\ doing' = [doing EXCEPT ![p] = Idle]
       /\ UNCHANGED owner

HeapsNext ==
    \/ \E p \in Parties : TableNext(p) \/ LockNext(p)
    \/ \E n \in Nodes : (NodeNext(n) \/ HomeNext(n)) /\ UNCHANGED table

HeapsSpec == TableInit /\ [][HeapsNext]_<<vars, table>>

----------------------------------------------------------------------------
\* Each heap is exactly one of free, shared, and one node's, and only processes of
\* that node allocate from it, one at most.
HeapPartitionInv ==
    /\ owner \in [Heaps -> {"free", "shared"} \cup Nodes]
    /\ \A p \in Living : \A h \in arena[p] : owner[h] = NodeOf[p]
    /\ \A p, q \in Living : p # q => arena[p] \cap arena[q] = {}

\* A heap that somebody is about to take or to return, nobody allocates from.
InHandInv ==
    \A p \in Parties : doing[p] # Idle =>
        /\ held[p] # 0
        /\ \A q \in Living : doing[p].heap \notin arena[q]
============================================================================
