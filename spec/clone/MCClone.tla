------------------------------ MODULE MCClone ------------------------------
(***************************************************************************)
(* Trees for TLC, what programs do, and probes.                            *)
(***************************************************************************)
EXTENDS CloneInvs

VARIABLE tick  \* see Fairness
all == <<vars, tick>>

CONSTANTS
    Tree,  \* one of Trees
    Play   \* what the programs ask for: one of Plays

Trees == [
    root2  |-> [a |-> "r", b |-> "r"],
    chain3 |-> [a |-> "m", b |-> "r", m |-> "r"]
]
MCParent   == Trees[Tree]
MCLeaves   == DOMAIN MCParent \cap {"a", "b", "c"}
MCManagers == (DOMAIN MCParent \cap {"m"}) \cup {"r"}
MCHost     == [m \in MCManagers |-> IF m = "r" THEN "b" ELSE "a"]

MCServices == A!StrongServices

Plays == [
    \* What one stores depends on what the other has stored.
    after |-> {<<"a", "A", "write">>, <<"b", "A", "read">>, <<"b", "B", "write">>},
    \* Each writes a page and reads the other's.
    cross |-> {<<"a", "A", "write">>, <<"b", "B", "write">>, <<"a", "B", "read">>, <<"b", "A", "read">>},
    \* One writes both, the other reads both.
    reader |-> {<<"a", "A", "write">>, <<"a", "B", "write">>, <<"b", "A", "read">>, <<"b", "B", "read">>},
    \* A page goes to and fro; it goes home, and from there to the other.
    move |-> {<<"a", "A", "write">>, <<"b", "A", "write">>},
    home |-> {<<"a", "A", "write">>, <<"a", "A", "writeback">>, <<"b", "A", "write">>}
]

BoundedNext ==
    \/ \E p \in Pages : \E m \in Managers : ManagerStep(m, p)
    \/ \E p \in Pages : \E n \in Nodes : PageNext(p, n)
    \/ \E w \in Plays[Play] : Ask(w[1], w[2], w[3])
    \/ \E n \in Nodes : CutNext(n)
    \/ Allot
BoundedInit == Init /\ tick = FALSE
BoundedSpec == BoundedInit /\ [][BoundedNext /\ UNCHANGED tick]_all

(***************************************************************************)
(* Liveness: steps that can be taken are taken.  That is said of messages  *)
(* without ENABLED, which is slow for a whole handler, and needs a step    *)
(* that can always be taken: something else goes on.                       *)
(***************************************************************************)
\* The next message of a queue may be taken by node n.
Passes(n, numbers) == numbers # <<>> /\ Head(numbers) <= node[n].cut

DownReady(p, x) ==
    /\ Passes(NodeOf(x), tag[p].down[x])
    /\ LET m == Head(Down(p)[x]) IN
       m.kind = "Grant" /\ x \in Leaves /\ m.source = "sent" => Leaf(p)[x].arrived # <<>>

TakesUp(p, x)   == Passes(NodeOf(Parent[x]), tag[p].up[x]) => Len(NewUp(p)[x]) < Len(Up(p)[x])
TakesDown(p, x) == DownReady(p, x) => Len(NewDown(p)[x]) < Len(Down(p)[x])
DataFor(p, x)   == {d \in Data(p) : d.to = x}
TakesData(p, x) ==
    (\E d \in DataFor(p, x) : tag[p].data[d].cut <= node[IF x = "home" THEN Host[Root] ELSE x].cut)
    => DataFor(p, x) \ NewData(p) # {}

Fairness ==
    /\ \A p \in Pages :
        /\ \A x \in DOMAIN Parent : []<><<TakesUp(p, x)>>_all /\ []<><<TakesDown(p, x)>>_all
        /\ \A x \in Leaves \cup {"home"} : []<><<TakesData(p, x)>>_all
    /\ \A n \in Nodes : WF_vars(\E p \in Pages : PrepareStore(n, p))
    /\ WF_vars(\E n \in Nodes : CutNext(n) \/ \E p \in Pages : Protect(n, p))

LiveNext == (BoundedNext /\ UNCHANGED tick) \/ (tick' = ~tick /\ UNCHANGED vars)
LiveSpec == BoundedInit /\ [][LiveNext]_all /\ Fairness

(***************************************************************************)
(* Probes.  Each says that a state never happens, and must be violated.    *)
(***************************************************************************)
\* A message waits for the cut of the node that is to take it.
ReachWaits == \A n \in Nodes : ~Waits(n)
\* A store is made in mid-sweep; a right to store comes in mid-sweep.
ReachStoreInSweep == \A n \in Nodes : ~(node[n].sweeping /\ \E p \in Writable(n) : <<p, 1>> \in Leaf(p)[n].val)
ReachGrantInSweep == \A p \in Pages : \A n \in Nodes :
    ~(node[n].sweeping /\ Leaf(p)[n].right = Write /\ ~local[p][n].access /\ local[p][n].prep = 0)
\* A clone has one page as it was preserved, and the other as it is.
ReachMixed == ~ \E k \in Cuts : Done(k) /\ \E p, q \in Pages : Standing(p, k) = {} /\ Standing(q, k) # {}
\* A clone without a store that was made, and one that has a store of the call's time.
ReachWithout == ~ \E k \in Cuts : Done(k) /\ \E p \in Pages : <<p, 1>> \in Current(p) \ Cloned(p, k)
ReachDuring == ~ \E k \in Cuts : Done(k) /\ \E p \in Pages : <<p, 1>> \in Cloned(p, k) \ begun[k]
\* Zeros are preserved; a frame stands for two cuts.
ReachZeros == ~ \E f \in frames : f.val = Zero
ReachTwoCuts == ~ \E f \in frames : f.lo < f.hi
============================================================================
