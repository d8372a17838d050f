------------------------------ MODULE MCStrong -----------------------------
(***************************************************************************)
(* Trees for TLC, by name: the cfg files choose one.                       *)
(***************************************************************************)
EXTENDS StrongInvs

CONSTANT Tree

\* Trees name each node's parent; "r" is the root.
Trees == [
    root2    |-> [a |-> "r", b |-> "r"],
    root3    |-> [a |-> "r", b |-> "r", c |-> "r"],
    chain3   |-> [a |-> "m", b |-> "r", m |-> "r"],
    pair3    |-> [a |-> "m", b |-> "m", m |-> "r"],
    deep3    |-> [a |-> "m", b |-> "m", c |-> "r", m |-> "r"],
    deep4    |-> [a |-> "m", b |-> "m", c |-> "r", m |-> "n", n |-> "r"],
    thin4    |-> [a |-> "m", b |-> "r", m |-> "n", n |-> "r"]
]
MCParent   == Trees[Tree]
MCLeaves   == DOMAIN MCParent \cap {"a", "b", "c"}
MCManagers == (DOMAIN MCParent \cap {"m", "n"}) \cup {"r"}

\* Bound: stores are what makes the state space grow; a page whose copies are all
\* equal is the same whichever value it holds.
============================================================================
