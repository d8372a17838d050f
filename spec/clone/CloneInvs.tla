----------------------------- MODULE CloneInvs -----------------------------
(***************************************************************************)
(* What a clone promises.                                                  *)
(***************************************************************************)
EXTENDS Clone

Cuts == 1..Newest

\* A page's content now: what was stored last, wherever it is.
Current(p) ==
    LET all == {Leaf(p)[l].val : l \in {l \in Leaves : Leaf(p)[l].right # None}}
               \cup {d.val : d \in Data(p)} \cup {(IF p = "A" THEN homeA ELSE homeB).val}
               \cup {Leaf(p)[l].arrived[1] : l \in {l \in Leaves : Leaf(p)[l].arrived # <<>>}}
    IN  CHOOSE v \in all : \A w \in all : {s \in w : s[1] = p} \subseteq {s \in v : s[1] = p}

Standing(p, k) == {f \in frames : f.page = p /\ f.lo <= k /\ k <= f.hi}

\* The clone k of page p: what was preserved for it, or what the page still has.
Cloned(p, k) ==
    IF Standing(p, k) # {} THEN (CHOOSE f \in Standing(p, k) : TRUE).val ELSE Current(p)

TypeInv ==
    /\ \A n \in Nodes : /\ node[n].cut <= node[n].heard /\ node[n].heard <= Newest
                        /\ node[n].sweeping = (node[n].cut < node[n].heard)
    /\ \A p \in Pages : \A l \in Leaves : local[p][l].prep <= Newest
    /\ \A f \in frames : f.lo >= 1 /\ f.lo <= f.hi /\ f.hi <= Newest
    /\ \A p \in Pages : /\ \A x \in DOMAIN Parent : /\ Len(tag[p].up[x]) = Len(Up(p)[x])
                                                    /\ Len(tag[p].down[x]) = Len(Down(p)[x])
                        /\ DOMAIN tag[p].data = Data(p)

\* A page is stored to only under the right to do so.
AccessInv == \A p \in Pages : \A l \in Leaves : local[p][l].access => Leaf(p)[l].right = Write

\* A page that may be stored to was prepared under the node's number.
PreparedInv == \A p \in Pages : \A l \in Leaves : local[p][l].access => local[p][l].prep = node[l].cut

\* No two frames stand for the same cut of a page: a content is copied once.
CopyOnceInv == \A p \in Pages : \A k \in Cuts : Cardinality(Standing(p, k)) <= 1

\* The clone agrees with everything that is ordered through the pages: with a store it
\* has all stores that happened before it.
CutConsistentInv ==
    \A k \in Cuts : Done(k) =>
        \A p \in Pages : \A s \in Cloned(p, k) : s \in Cloned(s[1], k)

\* The cut is within the call: it has every store that was made before the call began.
CutWithinCallInv == \A k \in Cuts : Done(k) => \A s \in begun[k] : s \in Cloned(s[1], k)

\* Once the call is over, nothing changes the clone: no store made after it is in it.
SourceUnchangedProp ==
    [][\A k \in Cuts : Done(k) => \A p \in Pages : Cloned(p, k)' = Cloned(p, k)]_vars

\* A node has a message that it may not take before its own cut.
Waits(n) == \E p \in Pages :
    \/ \E x \in DOMAIN Parent :
         \/ NodeOf(Parent[x]) = n /\ tag[p].up[x] # <<>> /\ Head(tag[p].up[x]) > node[n].cut
         \/ NodeOf(x) = n /\ tag[p].down[x] # <<>> /\ Head(tag[p].down[x]) > node[n].cut
    \/ \E d \in Data(p) : /\ tag[p].data[d].cut > node[n].cut
                          /\ n = (IF d.to = "home" THEN Host[Root] ELSE d.to)

(***************************************************************************)
(* Liveness                                                                *)
(***************************************************************************)
\* Every call ends.
CloneCompletesProp == \A k \in 1..MostCuts : Newest >= k ~> Done(k)

\* What waits for a cut is taken in the end.
MessageTakenProp == \A n \in Nodes : []<>~Waits(n)

\* Who has the right to store can store.
StoreProp == \A p \in Pages : \A n \in Nodes :
    Leaf(p)[n].right = Write ~> (local[p][n].access \/ Leaf(p)[n].right # Write)
============================================================================
