----------------------------- MODULE MCLinkLeaf ----------------------------
(***************************************************************************)
(* A leaf under an abstract parent is the child of a link, and what it may *)
(* read is the content of the page.                                        *)
(***************************************************************************)
EXTENDS Strong

CONSTANT Outside
VARIABLES
    cur,       \* the content of the page
    parent,    \* the abstract parent: rec, held, asked
    broken     \* a step was not one of the contract

L == INSTANCE Link

TheLeaf == CHOOSE l \in Leaves : TRUE
One     == [l \in Leaves |-> "p"]      \* the tree: a leaf, and somebody above it

Arrived == IF leaf[TheLeaf].arrived = NoData THEN {}
           ELSE {[to |-> TheLeaf, val |-> leaf[TheLeaf].arrived[1]]}

Link ==
    [inside |-> {TheLeaf}, outside |-> Outside, cur |-> cur,
     up |-> up[TheLeaf], down |-> down[TheLeaf],
     in |-> {d \in data : d.to = TheLeaf} \cup Arrived,
     out |-> {d \in data : d.to # TheLeaf},
     right |-> leaf[TheLeaf].right,
     req |-> IF leaf[TheLeaf].req = NoReq THEN L!NoReq
             ELSE [op |-> leaf[TheLeaf].req.op, leaf |-> TheLeaf],
     sent |-> FALSE,
     rec |-> parent.rec, held |-> parent.held, asked |-> parent.asked]

LinkInit ==
    /\ Init
    /\ cur = Zero
    /\ parent = [rec |-> None, held |-> L!NoReq, asked |-> FALSE]
    /\ broken = FALSE

ParentMoves ==
    /\ \E t \in L!ParentSteps(Link) :
        /\ parent' = [rec |-> t.rec, held |-> t.held, asked |-> t.asked]
        /\ up' = [up EXCEPT ![TheLeaf] = t.up]
        /\ down' = [down EXCEPT ![TheLeaf] = t.down]
        /\ data' = (data \cup (t.in \ Link.in)) \ (Link.out \ t.out)
        /\ cur' = t.cur
    /\ UNCHANGED <<mgr, leaf, home, broken>>

Silent(l) == \/ ReadFault(l) \/ WriteFault(l) \/ Writeback(l) \/ Evict(l)
             \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)

LeafMoves ==
    /\ \/ Silent(TheLeaf) /\ cur' = cur
       \/ \E v \in Values \cup {Zero} : Store(TheLeaf, v) /\ cur' = v
    /\ UNCHANGED parent
    /\ broken' = (broken \/ ~L!ChildPath(Link, Link', 3))

LinkNext == ParentMoves \/ LeafMoves
LinkSpec == LinkInit /\ [][LinkNext]_<<vars, cur, parent, broken>>

\* Every step of the leaf is one of the child's side of Link.
RefinesLinkInv == ~broken
\* A copy that may be read is the content of the page.
ReadsCurrentInv == leaf[TheLeaf].right >= Read => leaf[TheLeaf].val = cur
\* What the contract gives, once more on the real leaf.
KeepsInv == L!Keeps(Link)
============================================================================
