------------------------------- MODULE Atomic ------------------------------
(***************************************************************************)
(* An atomic register: what strong consistency promises for one page.      *)
(* Every load and every store takes effect at once, whoever does it.       *)
(* Pages are independent, so a memory is one register per page.            *)
(***************************************************************************)
CONSTANTS
    Clients,     \* who loads and stores
    Values,      \* what a store may write
    Zero         \* the content before the first store

VARIABLES
    mem,         \* the content
    seen         \* the last operation: by whom, which, and its value

NothingSeen == [by |-> "nobody", op |-> "none", val |-> Zero]

Init == mem = Zero /\ seen = NothingSeen

Load(c) ==
    /\ seen' = [by |-> c, op |-> "load", val |-> mem]
    /\ UNCHANGED mem

Store(c, v) ==
    /\ seen' = [by |-> c, op |-> "store", val |-> v]
    /\ mem' = v

Next == \E c \in Clients : Load(c) \/ \E v \in Values : Store(c, v)

Spec == Init /\ [][Next]_<<mem, seen>>
============================================================================
