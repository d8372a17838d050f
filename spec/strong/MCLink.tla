------------------------------- MODULE MCLink ------------------------------
(***************************************************************************)
(* The contract by itself: an abstract parent and an abstract child.       *)
(***************************************************************************)
EXTENDS Link
CONSTANTS Inside, Outside
VARIABLE link

Init == link = Start(Inside, Outside)
Next == link' \in ChildSteps(link) \cup ParentSteps(link)
Spec == Init /\ [][Next]_link

CurrentInv       == Current(link)
WithinInv        == Within(link)
OneWriterInv     == OneWriter(link)
OwnerSuppliesInv == OwnerSupplies(link)
HaveHoldsInv     == HaveHolds(link)
BoundedInv       == Bounded(link)
AnsweredInv      == Answered(link)
============================================================================
