------------------------------ MODULE MCNames ------------------------------
(***************************************************************************)
(* Programs and nodes for TLC, bounds, and probes.                         *)
(***************************************************************************)
EXTENDS NamesInvs

CONSTANTS
    Layout,     \* which of Layouts
    Mortal,     \* programs that may end
    Asked,      \* kinds of calls that are made
    Most        \* generations that are looked at

Layouts == [
    two  |-> [a |-> "A", b |-> "B"],
    pair |-> [a1 |-> "A", a2 |-> "A"]
]
MCNodeOf   == Layouts[Layout]
MCPrograms == DOMAIN MCNodeOf
MCNodes    == {MCNodeOf[p] : p \in MCPrograms}

Creating == {p \in Programs : call[p].step # "done" /\ call[p].kind \in {"Create", "OpenOrCreate"}}

\* Nobody begins what would need a generation more.
BoundedNext ==
    \/ \E p \in Programs, kind \in Asked, temp \in BOOLEAN :
          /\ temp => kind \in {"Create", "OpenOrCreate"} /\ p \in Mortal
          /\ kind \in {"Create", "OpenOrCreate"} => Newest + Cardinality(Creating) < Most
          /\ Call(p, kind, temp)
    \/ \E p \in Programs : p \in Mortal /\ Die(p)
    \/ \E p \in Programs : NodeNext(p)
    \/ \E n \in Nodes : \E to \in 1..Rev : Hear(n, to)
BoundedSpec == Init /\ [][BoundedNext]_vars
LiveSpec == BoundedSpec /\ Fairness

(***************************************************************************)
(* Probes.  Each says that a state never happens, and must be violated.    *)
(***************************************************************************)
\* A node has not heard that the name is free, while its program opens it.
ReachStalePositive == ~ \E p \in Programs :
    call[p].step # "done" /\ Seen(p).gen # 0 /\ Now.gen = 0
\* A node has not heard that there is a segment, while its program opens it.
ReachStaleNegative == ~ \E p \in Programs :
    call[p].step # "done" /\ Seen(p).gen = 0 /\ Now.gen # 0
\* A node has the life before.
ReachLifeBefore == ~ \E p \in Programs :
    call[p].step # "done" /\ Seen(p).gen # 0 /\ Now.gen > Seen(p).gen
\* A segment is removed between being found and being mapped.
ReachRemovedBeforeMap == ~ \E p \in Programs : Told(p, {"Map"}) /\ call[p].gen = 0
\* OpenOrCreate finds that somebody was faster.
ReachOnceMore == ~ \E p \in Programs :
    At(p, {"OpenOrCreate"}, "asked") /\ call[p].asked > call[p].from /\ Seen(p).gen # 0
\* Create is refused.
ReachTaken == ~ \E p \in Programs : Told(p, {"Create"}) /\ ~call[p].made
\* A program dies while it makes a temporary segment.
ReachDiesMaking == ~ \E p \in dead : call[p].step = "create" /\ call[p].temp
\* The temporary segment of a program that has ended still has the name.
ReachStale == ~(Now.owner \in dead)
\* A program has ended, and somebody has made another segment of its name before its
\* node has come to it.
ReachLaterLife == ~ \E p \in dead \ over : \E i \in 1..Rev : past[i].owner = p /\ Now.gen > past[i].gen
=============================================================================
