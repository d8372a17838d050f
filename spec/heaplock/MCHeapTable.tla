---------------------------- MODULE MCHeapTable ----------------------------
(***************************************************************************)
(* The table of heaps: parties and nodes for TLC, a bound, and probes.     *)
(***************************************************************************)
EXTENDS HeapTable

CONSTANTS
    Turns,    \* so many grants are looked at
    Mortal    \* parties that may die

MCNodeOf  == [a1 |-> "a", a2 |-> "a", b1 |-> "b"]
MCParties == DOMAIN MCNodeOf
MCNodes   == {"a", "b"}
Bounded   == fence' <= Turns /\ dead' \subseteq Mortal

\* A process adopts the heap that another one left, who died in the middle of it.
ReachAdopted == ~ \E h \in Heaps : h \in arena["a2"] /\ owner[h] = "a" /\ "a1" \in dead /\ lock.fence = 2
\* A process has died and its heap is an orphan.
ReachOrphan == ~ \E h \in Heaps, n \in Nodes : Orphan(h, n)
\* Each of two nodes has a heap.
ReachTwoOwners == ~ \E g, h \in Heaps : owner[g] = "a" /\ owner[h] = "b"
============================================================================
