------------------------------- MODULE Clone -------------------------------
(***************************************************************************)
(* A consistent clone of strong pages: a cut through a running program.    *)
(*                                                                         *)
(* Each node has one number, its cut.  Every message carries the number of *)
(* the node that sent it, and waits at a node whose number is lower.  A    *)
(* node that hears of a higher number sweeps: it takes the access to every *)
(* page that may be stored to, page by page, while the program runs, and   *)
(* raises its number when none is left.  The first store to a page after   *)
(* that preserves the page's content in a frame, which stands for the cuts *)
(* since the page was last prepared for a store.                           *)
(*                                                                         *)
(* The pages are two instances of Strong, which is as it was.  This module *)
(* has what a cut adds: the numbers on the messages, the sweep, and the    *)
(* frames.  A content is the set of the stores that happened before it, so *)
(* that a clone can be judged without the numbers.                         *)
(***************************************************************************)
EXTENDS Types

CONSTANTS
    Leaves, Managers, Root, Parent, Services,  \* as in Manager
    Host,       \* Host[m]: the node of a manager; a leaf is its own node
    MostCuts,   \* clones
    MostStores  \* stores to a page

Pages == {"A", "B"}
Nodes == Leaves
NodeOf(x) == IF x \in Leaves THEN x ELSE Host[x]

VARIABLES
    mgrA, leafA, homeA, upA, downA, dataA,  \* page A, by Strong
    mgrB, leafB, homeB, upB, downB, dataB,  \* page B
    node,     \* node[n]: its cut, the number that it has heard of, whether it sweeps, the
              \* stores that its program knows of
    local,    \* local[p][l]: prep, the cut under which l's content of p was last prepared
              \* for a store; access, whether the page tables let stores pass; came, the
              \* prep of Data that has arrived
    homePrep, \* homePrep[p]: the prep of the home's content
    tag,      \* tag[p]: the numbers on the messages, in the form of up, down and data;
              \* those of data have a prep, too
    frames,   \* what was preserved: [page, node, lo, hi, val] stands for the cuts lo..hi
    made,     \* made[p]: the stores to p, in number
    begun     \* begun[k]: the stores that there were when the number k was allotted

pageA == <<mgrA, leafA, homeA, upA, downA, dataA>>
pageB == <<mgrB, leafB, homeB, upB, downB, dataB>>
added == <<node, local, homePrep, tag, frames, made, begun>>
vars  == <<pageA, pageB, added>>

Zero == {}

A == INSTANCE Strong WITH mgr <- mgrA, leaf <- leafA, home <- homeA, up <- upA, down <- downA,
                          data <- dataA, Values <- {}
B == INSTANCE Strong WITH mgr <- mgrB, leaf <- leafB, home <- homeB, up <- upB, down <- downB,
                          data <- dataB, Values <- {}

Leaf(p) == IF p = "A" THEN leafA ELSE leafB
Up(p)   == IF p = "A" THEN upA ELSE upB
Down(p) == IF p = "A" THEN downA ELSE downB
Data(p) == IF p = "A" THEN dataA ELSE dataB

NewLeaf(p) == IF p = "A" THEN leafA' ELSE leafB'
NewUp(p)   == IF p = "A" THEN upA' ELSE upB'
NewDown(p) == IF p = "A" THEN downA' ELSE downB'
NewData(p) == IF p = "A" THEN dataA' ELSE dataB'
NewStale(p) == (IF p = "A" THEN homeA' ELSE homeB').state = "stale"

Others(p) == IF p = "A" THEN UNCHANGED pageB ELSE UNCHANGED pageA
Still     == UNCHANGED <<pageA, pageB>>

Newest == Len(begun)
Writable(n) == {p \in Pages : local[p][n].access}

(***************************************************************************)
(* The numbers on messages.  A step of a node takes one message at most,   *)
(* and sends any number: of a queue the first was taken, or some were      *)
(* appended.                                                               *)
(***************************************************************************)
Taken(p) ==
    {tag[p].up[x][1] : x \in {x \in DOMAIN Up(p) : Len(NewUp(p)[x]) < Len(Up(p)[x])}}
    \cup {tag[p].down[x][1] : x \in {x \in DOMAIN Down(p) : Len(NewDown(p)[x]) < Len(Down(p)[x])}}
    \cup {tag[p].data[d].cut : d \in Data(p) \ NewData(p)}

\* What node n puts on a message.
Number(n) == node[n].cut

Follow(old, new, numbers, number) ==
    IF Len(new) < Len(old) THEN Tail(numbers)
    ELSE numbers \o [i \in 1..(Len(new) - Len(old)) |-> number]

\* A step of page p at node n, whose content was prepared under prep: what it takes is
\* not above the node's number.
Tagged(n, p, prep) ==
    /\ \A number \in Taken(p) : number <= node[n].cut
    /\ tag' = [tag EXCEPT ![p] =
        [up   |-> [x \in DOMAIN @.up |-> Follow(Up(p)[x], NewUp(p)[x], @.up[x], Number(n))],
         down |-> [x \in DOMAIN @.down |-> Follow(Down(p)[x], NewDown(p)[x], @.down[x], Number(n))],
         data |-> [d \in NewData(p) |-> IF d \in Data(p) THEN @.data[d]
                                        ELSE [cut |-> Number(n), prep |-> prep]]]]

(***************************************************************************)
(* The steps of pages                                                      *)
(***************************************************************************)
\* A manager's: the home has the prep of what it has.
ManagerStep(m, p) ==
    /\ IF p = "A" THEN A!ManagerNext(m) ELSE B!ManagerNext(m)
    /\ Others(p)
    /\ Tagged(Host[m], p, homePrep[p])
    /\ homePrep' = [homePrep EXCEPT ![p] =
         IF m # Root THEN @
         ELSE IF NewStale(p) THEN 0
         ELSE LET came == {d \in Data(p) \ NewData(p) : d.to = "home"}
              IN  IF came = {} THEN @ ELSE tag[p].data[CHOOSE d \in came : TRUE].prep]
    /\ UNCHANGED <<node, local, frames, made, begun>>

Faults(l, p, op) ==
    CASE op = "read"      -> IF p = "A" THEN A!ReadFault(l) ELSE B!ReadFault(l)
      [] op = "write"     -> IF p = "A" THEN A!WriteFault(l) ELSE B!WriteFault(l)
      [] op = "writeback" -> IF p = "A" THEN A!Writeback(l) ELSE B!Writeback(l)

Ask(l, p, op) ==
    /\ Faults(l, p, op)
    /\ Others(p)
    /\ Tagged(l, p, 0)
    /\ UNCHANGED <<node, local, homePrep, frames, made, begun>>

Evict(l, p) ==
    /\ IF p = "A" THEN A!Evict(l) ELSE B!Evict(l)
    /\ Others(p)
    /\ local' = [local EXCEPT ![p][l].prep = 0]
    /\ UNCHANGED <<node, homePrep, tag, frames, made, begun>>

RecvData(l, p) ==
    /\ IF p = "A" THEN A!RecvData(l) ELSE B!RecvData(l)
    /\ Others(p)
    /\ Tagged(l, p, 0)
    /\ local' = [local EXCEPT ![p][l].came = tag[p].data[CHOOSE d \in Data(p) \ NewData(p) : TRUE].prep]
    /\ UNCHANGED <<node, homePrep, frames, made, begun>>

\* The right is raised, also in mid-sweep, and the access is not: see PrepareStore.
RecvGrant(l, p) ==
    /\ IF p = "A" THEN A!LeafRecvGrant(l) ELSE B!LeafRecvGrant(l)
    /\ Others(p)
    /\ Tagged(l, p, 0)
    /\ local' = [local EXCEPT ![p][l].prep = CASE Head(Down(p)[l]).source = "sent" -> local[p][l].came
                                               [] Head(Down(p)[l]).source = "zero" -> 0
                                               [] OTHER -> @,
                              ![p][l].came = 0]
    /\ UNCHANGED <<node, homePrep, frames, made, begun>>

\* A recall takes the access with the right, and the prep with the content.
RecvRecall(l, p) ==
    /\ IF p = "A" THEN A!LeafRecvRecall(l) ELSE B!LeafRecvRecall(l)
    /\ Others(p)
    /\ Tagged(l, p, local[p][l].prep)
    /\ local' = [local EXCEPT ![p][l].access = @ /\ NewLeaf(p)[l].right = Write,
                              ![p][l].prep = IF NewLeaf(p)[l].right = None THEN 0 ELSE @]
    /\ UNCHANGED <<node, homePrep, frames, made, begun>>

(***************************************************************************)
(* The program                                                             *)
(***************************************************************************)
\* Before a page may be stored to, what it has is kept for the cuts since it was last
\* prepared, zeros too.  In mid-sweep no page gets there.
PrepareStore(l, p) ==
    /\ Leaf(p)[l].right = Write
    /\ ~local[p][l].access
    /\ ~node[l].sweeping
    /\ local' = [local EXCEPT ![p][l].access = TRUE, ![p][l].prep = Max(@, node[l].cut)]
    /\ frames' = IF local[p][l].prep < node[l].cut
                 THEN frames \cup {[page |-> p, node |-> l, lo |-> local[p][l].prep + 1, hi |-> node[l].cut,
                                    val |-> Leaf(p)[l].val]}
                 ELSE frames
    /\ Still
    /\ UNCHANGED <<node, homePrep, tag, made, begun>>

\* What a program stores may depend on all that it knows.
Store(l, p) ==
    /\ local[p][l].access
    /\ made[p] < MostStores
    /\ LET this == node[l].knows \cup Leaf(p)[l].val \cup {<<p, made[p] + 1>>}
       IN  /\ IF p = "A" THEN A!Store(l, this) ELSE B!Store(l, this)
           /\ node' = [node EXCEPT ![l].knows = this]
    /\ made' = [made EXCEPT ![p] = @ + 1]
    /\ Others(p)
    /\ UNCHANGED <<local, homePrep, tag, frames, begun>>

Load(l, p) ==
    /\ Leaf(p)[l].right # None
    /\ ~(Leaf(p)[l].val \subseteq node[l].knows)
    /\ node' = [node EXCEPT ![l].knows = @ \cup Leaf(p)[l].val]
    /\ Still
    /\ UNCHANGED <<local, homePrep, tag, frames, made, begun>>

(***************************************************************************)
(* The cut                                                                 *)
(***************************************************************************)
\* Numbers are allotted in one place.  Calls may overlap.
Allot ==
    /\ Newest < MostCuts
    /\ begun' = Append(begun, UNION {{<<p, i>> : i \in 1..made[p]} : p \in Pages})
    /\ Still
    /\ UNCHANGED <<node, local, homePrep, tag, frames, made>>

\* A node hears of a number by the call or by a message, at any time once it is allotted.
CutBegin(n, k) ==
    /\ k > node[n].heard
    /\ node' = [node EXCEPT ![n].heard = k, ![n].sweeping = TRUE]
    /\ Still
    /\ UNCHANGED <<local, homePrep, tag, frames, made, begun>>

\* One page loses its access.  A store to a page that has it still is one before the cut.
Protect(n, p) ==
    /\ node[n].sweeping
    /\ p \in Writable(n)
    /\ local' = [local EXCEPT ![p][n].access = FALSE]
    /\ Still
    /\ UNCHANGED <<node, homePrep, tag, frames, made, begun>>

\* The cut of the node is here: until now its messages carried the number before.
CutEnd(n) ==
    /\ node[n].sweeping
    /\ Writable(n) = {}
    /\ node' = [node EXCEPT ![n].cut = node[n].heard, ![n].sweeping = FALSE]
    /\ Still
    /\ UNCHANGED <<local, homePrep, tag, frames, made, begun>>

\* The call for the number k is over.
Done(k) == \A n \in Nodes : node[n].cut >= k

(***************************************************************************)
(* The system                                                              *)
(***************************************************************************)
Init ==
    /\ A!Init /\ B!Init
    /\ node = [n \in Nodes |-> [cut |-> 0, heard |-> 0, sweeping |-> FALSE, knows |-> {}]]
    /\ local = [p \in Pages |-> [l \in Leaves |-> [prep |-> 0, access |-> FALSE, came |-> 0]]]
    /\ homePrep = [p \in Pages |-> 0]
    /\ tag = [p \in Pages |-> [up   |-> [x \in DOMAIN Parent |-> <<>>],
                               down |-> [x \in DOMAIN Parent |-> <<>>],
                               data |-> [d \in {} |-> 0]]]
    /\ frames = {}
    /\ made = [p \in Pages |-> 0]
    /\ begun = <<>>

PageNext(p, n) ==
    \/ RecvData(n, p) \/ RecvGrant(n, p) \/ RecvRecall(n, p)
    \/ PrepareStore(n, p) \/ Store(n, p) \/ Load(n, p) \/ Protect(n, p)

CutNext(n) == CutEnd(n) \/ \E k \in 1..Newest : CutBegin(n, k)

Next ==
    \/ \E p \in Pages : \E m \in Managers : ManagerStep(m, p)
    \/ \E p \in Pages : \E n \in Nodes :
          PageNext(p, n) \/ Evict(n, p) \/ \E op \in {"read", "write", "writeback"} : Ask(n, p, op)
    \/ \E n \in Nodes : CutNext(n)
    \/ Allot
============================================================================
