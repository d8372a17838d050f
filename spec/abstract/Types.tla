------------------------------- MODULE Types -------------------------------
(***************************************************************************)
(* The words that every page protocol shares.  Rights are numbers, so that *)
(* "at least" is >= and "the lower of two" is Min.                         *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

None  == 0      \* nothing
Read  == 1      \* read; may vanish silently
Owned == 2      \* read, and the duty to supply: the home may be stale
Write == 3      \* the only copy, and it may change
Rights == None..Write

Min(a, b) == IF a < b THEN a ELSE b
Max(a, b) == IF a > b THEN a ELSE b

Ops     == {"read", "write", "writeback"}
Sources == {"sent", "zero", "have"}     \* of a Grant; never "no data"
Dsts    == {"nobody", "leaf", "home"}   \* of a Recall
============================================================================
