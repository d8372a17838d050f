-------------------------------- MODULE Toy --------------------------------
(* A clock that counts to Max and starts again; what the runner's test checks. *)
EXTENDS Naturals
CONSTANT Max
VARIABLE clock
Init == clock = 0
Tick ==
  /\ clock < Max
  /\ clock' = clock + 1
Reset ==
  /\ clock = Max
  /\ clock' = 0
Next == Tick \/ Reset
Spec == Init /\ [][Next]_clock /\ WF_clock(Next)
BoundInv == clock <= Max
HighReach == clock /= Max
RestartsProp == []<>(clock = 0)
UpProp == [][clock' > clock \/ clock' = 0]_clock
=============================================================================
