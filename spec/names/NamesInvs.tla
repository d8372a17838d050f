----------------------------- MODULE NamesInvs -----------------------------
(***************************************************************************)
(* What names promise.  "At a moment of the call" is between its beginning *)
(* and its answer: so the answers of all programs together are those of    *)
(* one table, in an order that agrees with real time.                      *)
(***************************************************************************)
EXTENDS Names

Told(p, kinds) == At(p, kinds, "done")
Moments(p)     == call[p].from..call[p].to
\* The name has changed at this moment of the call, by it or by another.
Changes(p)     == {i \in Moments(p) : i > call[p].from}

TypeInv ==
    /\ past \in Seq([gen : Nat, owner : Programs \cup {Nobody}])
    /\ view \in [Nodes -> 1..Rev]
    /\ over \subseteq dead /\ dead \subseteq Programs

\* Whoever opens is told the generation that has the name, or that none has, at a
\* moment of the call.
OpenInv == \A p \in Programs : Told(p, {"Open"}) =>
    \E i \in Moments(p) : past[i].gen = call[p].gen

\* Who creates is told that a segment was made of a name that was free, or that it was
\* taken at a moment of the call.
CreateInv == \A p \in Programs : Told(p, {"Create"}) =>
    IF call[p].made
    THEN \E i \in Changes(p) : past[i].gen = call[p].gen /\ past[i - 1].gen = 0
    ELSE \E i \in Moments(p) : past[i].gen # 0

\* OpenOrCreate ends with a segment that had the name at a moment of the call, and
\* tells whether it has made it.
OpenOrCreateInv == \A p \in Programs : Told(p, {"OpenOrCreate"}) =>
    /\ call[p].gen # 0
    /\ IF call[p].made
       THEN \E i \in Changes(p) : past[i].gen = call[p].gen /\ past[i - 1].gen = 0
       ELSE \E i \in Moments(p) : past[i].gen = call[p].gen

\* Who removes is told that a segment was taken away in the call, or that there was
\* none at a moment of it.
RemoveInv == \A p \in Programs : Told(p, {"Remove"}) =>
    IF call[p].made
    THEN \E i \in Changes(p) : past[i].gen = 0 /\ past[i - 1].gen # 0
    ELSE \E i \in Moments(p) : past[i].gen = 0

\* What is mapped had the name at a moment of the call; what is told to be removed was
\* removed by then.
MapInv == \A p \in Programs : Told(p, {"Map"}) =>
    IF call[p].gen # 0
    THEN \E i \in Moments(p) : past[i].gen = call[p].gen
    ELSE \E i \in Moments(p) : past[i].gen # call[p].ref

\* A generation is never followed by another without the name being free between, and
\* later ones are higher: what is gone never comes back.
GenerationInv ==
    \A i \in 1..Rev : \A j \in (i + 1)..Rev :
        /\ j = i + 1 => (past[i].gen = 0) # (past[j].gen = 0)
        /\ past[i].gen # 0 /\ past[j].gen # 0 => past[i].gen < past[j].gen

\* One segment is made by one call.
MakerInv == \A p, q \in Programs :
    p # q /\ Told(p, {"Create", "OpenOrCreate"}) /\ Told(q, {"Create", "OpenOrCreate"})
          /\ call[p].made /\ call[q].made => call[p].gen # call[q].gen

\* No temporary segment outlives its program and the care of its node.
StaleInv == Now.owner \notin over

\* The end of a program takes away its own segment, and no other.
DisownProp == [][over' # over => past' = past \/ Now.owner \in over' \ over]_vars

\* The temporary segments of a program that has ended are gone in the end.
TemporaryEndsProp == \A p \in Programs : (p \in dead) ~> (p \in over)

\* Every call is answered.
AnsweredProp == \A p \in Programs : (call[p].step # "done") ~> (call[p].step = "done")
=============================================================================
