----------------------------- MODULE MCLinkStep ----------------------------
(***************************************************************************)
(* The inductive step.  One manager of Strong between an abstract parent   *)
(* and abstract children: towards the parent it is the child of a link,    *)
(* towards each child the parent of one.  With the manager as the root,    *)
(* there is no parent, and only the second is to be shown.                 *)
(*                                                                         *)
(* Children and parent take the steps of Link, and are built of nothing    *)
(* else.  Here data holds what is in flight and what has arrived but was   *)
(* not taken, with its source: inside of one link is outside of another.   *)
(***************************************************************************)
EXTENDS Strong, TLC

CONSTANTS
    Below       \* Below[c]: the leaves in the subtree of the child c
VARIABLES
    cur,        \* the content of the page
    kid,        \* kid[c]: the abstract child: right, req, sent
    parent,     \* the abstract parent: rec, held, asked
    broken      \* the link at which a step was not one of the contract

L == INSTANCE Link

M       == CHOOSE m \in Managers : TRUE
Kids    == DOMAIN Below
AllIn   == UNION {Below[c] : c \in Kids}
Rest    == {"o"}                     \* a leaf beyond the parent
HasUp   == M # Root

\* The trees, and which leaves are below which child; the cfg files choose.
Two       == [x |-> "m", y |-> "m"]
TwoRoot   == [x |-> "r", y |-> "r"]
Three     == [x |-> "m", y |-> "m", z |-> "m"]
ThreeRoot == [x |-> "r", y |-> "r", z |-> "r"]
StepTwo   == Two @@ [m |-> "p"]
StepThree == Three @@ [m |-> "p"]
Single    == [x |-> {"a"}, y |-> {"b"}]
Double    == [x |-> {"a", "d"}, y |-> {"b"}]
Triple    == [x |-> {"a"}, y |-> {"b"}, z |-> {"c"}]

\* Who sent it: a child, or somebody who is no child.  (The home says nothing.)
From(d) == IF "from" \in DOMAIN d THEN d.from ELSE "beyond"
Strip(d) == [to |-> d.to, val |-> d.val]

\* The Recall that M has taken from its parent and not answered counts as still in
\* the channel.
Taken ==
    LET s == mgr[M]
        waits == {i \in 1..Len(s.queue) : s.queue[i].kind = "Recall"}
    IN  IF s.recall # NoRecall
        THEN <<RecallMsg(s.recall.keep, s.recall.dst, s.recall.leaf)>>
        ELSE IF waits # {}
        THEN LET r == s.queue[CHOOSE i \in waits : TRUE]
             IN  <<RecallMsg(r.keep, r.dst, r.leaf)>>
        ELSE <<>>

HasSent ==
    /\ mgr[M].recall # NoRecall
    /\ \/ mgr[M].recall.hit
       \/ \E c \in mgr[M].recall.wait :
            \/ kid[c].sent
            \/ \E i \in 1..Len(up[c]) : up[c][i].kind = "Ack" /\ up[c][i].hit

UpLink ==
    [inside |-> AllIn, outside |-> Rest, cur |-> cur,
     up |-> up[M], down |-> Taken \o down[M],
     in  |-> {Strip(d) : d \in {e \in data : e.to \in AllIn /\ From(e) \notin Kids}},
     out |-> {Strip(d) : d \in {e \in data : e.to \notin AllIn /\ From(e) \in Kids}},
     right |-> mgr[M].right,
     req |-> IF mgr[M].busy # NoBusy /\ mgr[M].busy.phase = "up"
             THEN [op |-> mgr[M].busy.op, leaf |-> mgr[M].busy.leaf] ELSE L!NoReq,
     sent |-> HasSent,
     rec |-> parent.rec, held |-> parent.held, asked |-> parent.asked]

\* The request of c that M has taken.
Held(c) ==
    LET s == mgr[M]
        mine == {i \in 1..Len(s.queue) : s.queue[i].kind = "Req" /\ s.queue[i].child = c}
        pick(r) == [op |-> r.op, leaf |-> r.leaf, have |-> r.have]
    IN  IF s.busy # NoBusy /\ s.busy.child = c THEN pick(s.busy)
        ELSE IF mine # {} THEN pick(s.queue[CHOOSE i \in mine : TRUE])
        ELSE L!NoReq

KidLink(c) ==
    [inside |-> Below[c], outside |-> (AllIn \cup Rest) \ Below[c], cur |-> cur,
     up |-> up[c], down |-> down[c],
     in  |-> {Strip(d) : d \in {e \in data : e.to \in Below[c] /\ From(e) # c}},
     out |-> {Strip(d) : d \in {e \in data : e.to \notin Below[c] /\ From(e) = c}},
     right |-> kid[c].right, req |-> kid[c].req, sent |-> kid[c].sent,
     rec |-> mgr[M].recorded[c], held |-> Held(c),
     asked |-> \/ mgr[M].busy # NoBusy /\ c \in mgr[M].busy.wait
               \/ mgr[M].recall # NoRecall /\ c \in mgr[M].recall.wait]

LinkInit ==
    /\ Init
    /\ cur = Zero
    /\ kid = [c \in Kids |-> [right |-> None, req |-> L!NoReq, sent |-> FALSE]]
    /\ parent = [rec |-> None, held |-> L!NoReq, asked |-> FALSE]
    /\ broken = "none"

\* Steps of the contract that one handler may take.
Most == 4

\* What a step means at the links whose contract its mover does not follow by
\* construction: at a child's link the parent's side moved, at the link to the parent
\* the child's side.
Judge(kids, upwards) ==
    broken' = IF broken # "none" THEN broken
              ELSE IF \E c \in kids : ~L!ParentPath(KidLink(c), KidLink(c)', Most) THEN "kid"
              ELSE IF upwards THEN IF L!ChildPath(UpLink, UpLink', Most) THEN "none" ELSE "up"
              ELSE "none"

ManagerMoves ==
    /\ ManagerNext(M)
    /\ UNCHANGED <<cur, kid, parent>>
    /\ Judge(Kids, HasUp)

KidMoves(c) ==
    LET s == KidLink(c) IN
    \E t \in L!ChildSteps(s) :
        /\ kid' = [kid EXCEPT ![c] = [right |-> t.right, req |-> t.req, sent |-> t.sent]]
        /\ up' = [up EXCEPT ![c] = t.up]
        /\ down' = [down EXCEPT ![c] = t.down]
        /\ data' = {d \in data : ~(d.to \in Below[c] /\ From(d) # c /\ Strip(d) \notin t.in)}
                   \cup {[to |-> d.to, val |-> d.val, from |-> c] : d \in t.out \ s.out}
        /\ cur' = t.cur
        /\ UNCHANGED <<mgr, leaf, home, parent>>
        /\ IF KidLink(c)' = t THEN Judge(Kids \ {c}, HasUp) ELSE broken' = "harness"

ParentMoves ==
    LET s == UpLink IN
    \E t \in L!ParentSteps(s) :
        /\ parent' = [rec |-> t.rec, held |-> t.held, asked |-> t.asked]
        /\ up' = [up EXCEPT ![M] = t.up]
        /\ down' = [down EXCEPT ![M] = @ \o SubSeq(t.down, Len(s.down) + 1, Len(t.down))]
        /\ data' = {d \in data : ~(d.to \notin AllIn /\ From(d) \in Kids /\ Strip(d) \notin t.out)}
                   \cup {[to |-> d.to, val |-> d.val, from |-> "beyond"] : d \in t.in \ s.in}
        /\ cur' = t.cur
        /\ UNCHANGED <<mgr, leaf, home, kid>>
        /\ IF UpLink' = t THEN Judge(Kids, FALSE) ELSE broken' = "harness"

LinkNext == ManagerMoves \/ (\E c \in Kids : KidMoves(c)) \/ (HasUp /\ ParentMoves)
LinkSpec == LinkInit /\ [][LinkNext]_<<vars, cur, kid, parent, broken>>

\* Towards its parent, the manager with its children is a child.
RefinesUpInv == broken # "up"
\* Towards each child, the manager with the rest of the tree is a parent.
RefinesDownInv == broken # "kid"
\* The abstract sides do at their links what Link says.
HarnessInv == broken # "harness"
\* What the contract gives, once more at both.
KeepsInv == (HasUp => L!Keeps(UpLink)) /\ \A c \in Kids : L!Keeps(KidLink(c))
\* A home that is not stale has the content of the page.
HomeCurrentInv == ~HasUp /\ home.state # "stale" => home.val = cur
============================================================================
