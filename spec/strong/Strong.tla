------------------------------- MODULE Strong ------------------------------
(***************************************************************************)
(* Strong pages: one manager at every level of a tree.                     *)
(*                                                                         *)
(* A manager is a cache towards its parent and a directory towards its     *)
(* children.  Root and intermediates run the same actions; being the root  *)
(* is a condition inside a guard.  A leaf runs only the cache side, and    *)
(* its frame answers in the same step.  Pages are independent: this is the *)
(* protocol of one page.                                                   *)
(*                                                                         *)
(* impl/protocol mirrors this module: a handler there has the name, the    *)
(* guards and the order of the action here.                                *)
(***************************************************************************)
EXTENDS Types

CONSTANTS
    Leaves,      \* the nodes' leaf managers
    Managers,    \* root and intermediate managers
    Root,        \* the manager that runs as the root (none of Managers in the
                 \* harness of an intermediate manager)
    Parent,      \* Parent[x]: the manager above x
    Zero,        \* the content of a page that was never written
    Values       \* what a store may write

NoChild == "nobody"
Home    == "home"      \* in a wait set: the home's Data is still expected
NoReq   == [op |-> "none", have |-> None]
NoBusy  == [op |-> "none"]
NoRecall == [keep |-> Write]
NoData  == <<>>        \* no Data has arrived; else <<content>>

Children(m) == {x \in DOMAIN Parent : Parent[x] = m}

VARIABLES
    mgr,     \* mgr[m]: right, recorded, busy, recall, queue
    leaf,    \* leaf[l]: right, req, val, arrived
    home,    \* the root's copy: state (virgin, valid, stale) and val
    up,      \* up[x]: FIFO from x to its parent
    down,    \* down[x]: FIFO from its parent to x
    data     \* lateral messages, in no order: [to, leaf, val]

vars == <<mgr, leaf, home, up, down, data>>

(***************************************************************************)
(* Messages                                                                *)
(***************************************************************************)
ReqMsg(op, l, have)     == [kind |-> "Req", op |-> op, leaf |-> l, have |-> have]
GrantMsg(op, source, l) == [kind |-> "Grant", op |-> op, source |-> source, leaf |-> l]
RecallMsg(keep, dst, l) == [kind |-> "Recall", keep |-> keep, dst |-> dst, leaf |-> l]
AckMsg(keep, hit)       == [kind |-> "Ack", keep |-> keep, hit |-> hit]
DataMsg(to, v)          == [to |-> to, val |-> v]

Has(ch, kind) == ch # <<>> /\ Head(ch).kind = kind

(***************************************************************************)
(* A manager's state while a handler runs: s has the fields of mgr[m], and *)
(*   id          which manager it is                                       *)
(*   home        the home's copy (only the root looks at it)               *)
(*   toParent    messages that go up                                       *)
(*   toChild[c]  messages that go down to c                                *)
(*   sent        Data that the home sends                                  *)
(***************************************************************************)
IsRoot(s) == s.id = Root

\* The right that the subtree of this manager has: the root has everything.
Right(s) == IF IsRoot(s) THEN Write ELSE s.right

Marked(s) == {c \in Children(s.id) : s.recorded[c] # None}

Owner(s) == IF \E c \in Marked(s) : s.recorded[c] >= Owned
            THEN CHOOSE c \in Marked(s) : s.recorded[c] >= Owned
            ELSE NoChild

\* One of a set of children, no matter which; the code takes the lowest number.
OneOf(children) == CHOOSE c \in children : TRUE

Down(s, c, msg) == [s EXCEPT !.toChild[c] = Append(@, msg)]

\* Recall the page from every child of set: only the owner sends it to dst.
RecallAll(s, set, dst, l) ==
    [s EXCEPT !.toChild = [c \in DOMAIN @ |->
        IF c \in set
        THEN Append(@[c], RecallMsg(None, IF c = Owner(s) THEN dst ELSE "nobody", l))
        ELSE @[c]]]

(***************************************************************************)
(* Serving a child.  One step of the decision for the busy request.        *)
(***************************************************************************)

\* What the request claims to have, as far as it is still true (rule 5).
Supported(s) ==
    LET b == s.busy IN IF s.recorded[b.child] >= b.have THEN b.have ELSE None

Climb(s, have) ==
    [s EXCEPT !.busy.phase = "up",
              !.toParent = Append(@, ReqMsg(s.busy.op, s.busy.leaf, have))]

Finish(s, right, source) ==
    LET b == s.busy
        t == [s EXCEPT !.recorded[b.child] = right, !.busy = NoBusy]
    IN  Down(t, b.child, GrantMsg(b.op, source, b.leaf))

\* The home supplies the page: virgin pages are zeros, and need no data.  Neither an
\* intermediate nor a root whose home is stale comes here; if one did, TypeInv would
\* know by the source.
FromHome(s) ==
    IF ~IsRoot(s) \/ s.home.state = "stale" THEN [s EXCEPT !.busy.source = "nowhere"]
    ELSE IF s.home.state = "virgin"
    THEN [s EXCEPT !.busy.source = "zero"]
    ELSE [s EXCEPT !.busy.source = "sent",
                   !.sent = @ \cup {DataMsg(s.busy.leaf, s.home.val)}]

ServeRead(s) ==
    LET b == s.busy
        o == Owner(s)
    IN  IF b.source # "none" THEN Finish(s, Read, b.source)
        ELSE IF Right(s) < Read THEN Climb(s, None)
        ELSE IF o # NoChild
        THEN Down([s EXCEPT !.busy.wait = {o}], o, RecallMsg(Owned, "leaf", b.leaf))
        ELSE IF IsRoot(s) THEN FromHome(s)
        ELSE IF Marked(s) # {}
        THEN LET c == OneOf(Marked(s))
             IN  Down([s EXCEPT !.busy.wait = {c}], c, RecallMsg(Read, "leaf", b.leaf))
        ELSE Climb([s EXCEPT !.right = None], None)

ServeWrite(s) ==
    LET b      == s.busy
        have   == Supported(s)
        others == Marked(s) \ {b.child}
        lacks  == b.source = "none" /\ have = None
    IN  IF Right(s) < Write
        THEN Climb(s, IF s.right >= Owned THEN s.right ELSE have)
        ELSE IF others # {}
        THEN RecallAll([s EXCEPT !.busy.wait = others], others,
                       IF lacks THEN "leaf" ELSE "nobody", b.leaf)
        ELSE IF lacks THEN FromHome(s)
        ELSE Finish([s EXCEPT !.home = IF IsRoot(s) THEN [@ EXCEPT !.state = "stale"] ELSE @],
                    Write, IF b.source # "none" THEN b.source ELSE "have")

ServeWriteback(s) ==
    LET b == s.busy
    IN  IF b.source # "none" \/ s.recorded[b.child] < Owned
        THEN Finish(s, s.recorded[b.child], "have")
        ELSE IF IsRoot(s)
        THEN Down([s EXCEPT !.busy.wait = {b.child, Home}], b.child, RecallMsg(Read, "home", b.leaf))
        ELSE Climb(s, s.right)

Serve(s) == CASE s.busy.op = "read"      -> ServeRead(s)
              [] s.busy.op = "write"     -> ServeWrite(s)
              [] s.busy.op = "writeback" -> ServeWriteback(s)

(***************************************************************************)
(* Being recalled by the parent.                                           *)
(***************************************************************************)
RecallWaits(s) == {i \in 1..Len(s.queue) : s.queue[i].kind = "Recall"}

Without(q, i) == SubSeq(q, 1, i - 1) \o SubSeq(q, i + 1, Len(q))

\* Rule 4: a Recall is taken when idle, in its turn, or while waiting for the parent.
MayTakeRecall(s) ==
    /\ s.recall = NoRecall
    /\ RecallWaits(s) # {}
    /\ IF s.busy = NoBusy THEN 1 \in RecallWaits(s) ELSE s.busy.phase = "up"

TakeRecall(s) ==
    LET i == CHOOSE i \in RecallWaits(s) : TRUE
        r == s.queue[i]
        t == [s EXCEPT !.queue = Without(@, i),
                       !.recall = [keep |-> r.keep, dst |-> r.dst, leaf |-> r.leaf,
                                   wait |-> {}, hit |-> FALSE]]
    IN  IF r.keep = None
        THEN RecallAll([t EXCEPT !.recall.wait = Marked(s)], Marked(s), r.dst, r.leaf)
        ELSE IF Owner(s) # NoChild
        THEN Down([t EXCEPT !.recall.wait = {Owner(s)}], Owner(s), RecallMsg(r.keep, r.dst, r.leaf))
        ELSE t

Acknowledge(s, keep) ==
    [s EXCEPT !.right = Min(@, keep), !.recall = NoRecall,
              !.toParent = Append(@, AckMsg(Min(s.right, keep), s.recall.hit))]

\* All that were asked have answered (rule 9).
Collect(s) ==
    LET r == s.recall
    IN  IF r.keep = None \/ r.hit THEN Acknowledge(s, r.keep)
        ELSE IF Marked(s) = {} THEN Acknowledge(s, None)
        ELSE LET c == OneOf(Marked(s))
             IN  Down([s EXCEPT !.recall.wait = {c}], c, RecallMsg(r.keep, r.dst, r.leaf))

(***************************************************************************)
(* Taking the next request, in the order of arrival.                       *)
(***************************************************************************)
TakeReq(s) ==
    LET r == Head(s.queue)
    IN  [s EXCEPT !.queue = Tail(@),
                  !.busy = [op |-> r.op, child |-> r.child, leaf |-> r.leaf, have |-> r.have,
                            phase |-> "serve", wait |-> {}, source |-> "none"],
                  \* rule 1: who asks to read says that it has nothing
                  !.recorded[r.child] = IF r.op = "read" THEN None ELSE @]

(***************************************************************************)
(* The one decision at the end of every handler.  Handlers only update     *)
(* state.                                                                  *)
(***************************************************************************)
RECURSIVE Decide(_)
Decide(s) ==
    IF s.recall # NoRecall
    THEN IF s.recall.wait # {} THEN s ELSE Decide(Collect(s))
    ELSE IF MayTakeRecall(s) THEN Decide(TakeRecall(s))
    ELSE IF s.busy # NoBusy
    THEN IF s.busy.phase = "up" \/ s.busy.wait # {} THEN s ELSE Decide(Serve(s))
    ELSE IF s.queue # <<>> THEN Decide(TakeReq(s))
    ELSE s

\* A handler at m: update gives the manager's state after the message.
Begin(m) ==
    [right |-> mgr[m].right, recorded |-> mgr[m].recorded, busy |-> mgr[m].busy,
     recall |-> mgr[m].recall, queue |-> mgr[m].queue,
     id |-> m, home |-> home, toParent |-> <<>>,
     toChild |-> [c \in Children(m) |-> <<>>], sent |-> {}]

\* up1, down1, data1 are the channels without the message that was taken.
End(m, s, up1, down1, data1) ==
    /\ mgr' = [mgr EXCEPT ![m] = [right |-> s.right, recorded |-> s.recorded,
                                  busy |-> s.busy, recall |-> s.recall, queue |-> s.queue]]
    /\ home' = s.home
    /\ up' = [x \in DOMAIN up |-> IF x = m THEN up1[x] \o s.toParent ELSE up1[x]]
    /\ down' = [x \in DOMAIN down |->
                  IF x \in Children(m) THEN down1[x] \o s.toChild[x] ELSE down1[x]]
    /\ data' = data1 \cup s.sent
    /\ UNCHANGED leaf

(***************************************************************************)
(* When a handler may run.  What is at the head of a channel can be taken, *)
(* but for a Grant: a manager takes it for the request with which it       *)
(* climbed, and a leaf (rule 6) once its page is there, which comes        *)
(* another way.                                                            *)
(***************************************************************************)
MayRecvReq(c)       == Has(up[c], "Req")
MayRecvAck(c)       == Has(up[c], "Ack")
MayRecvRecall(x)    == Has(down[x], "Recall")
MayRecvGrant(m)     == Has(down[m], "Grant") /\ mgr[m].busy # NoBusy /\ mgr[m].busy.phase = "up"
MayLeafRecvGrant(l) == Has(down[l], "Grant") /\ (Head(down[l]).source = "sent" => leaf[l].arrived # NoData)
MayRecvData(x)      == \E d \in data : d.to = x

(***************************************************************************)
(* The actions of a manager (root and intermediates)                       *)
(***************************************************************************)
RecvReq(m, c) ==
    /\ MayRecvReq(c)
    /\ LET r == Head(up[c])
           s == Begin(m)
           t == [s EXCEPT !.queue = Append(@, [kind |-> "Req", child |-> c, op |-> r.op,
                                               leaf |-> r.leaf, have |-> r.have])]
       IN  End(m, Decide(t), [up EXCEPT ![c] = Tail(@)], down, data)

RecvGrant(m) ==
    /\ MayRecvGrant(m)
    /\ LET g == Head(down[m])
           s == Begin(m)
           t == [s EXCEPT
                  !.right = CASE g.op = "read"  -> Max(@, Read)
                              [] g.op = "write" -> Write
                              [] OTHER          -> @,
                  !.busy.phase  = "serve",
                  \* rule 3: "have" means that this manager's children supply it
                  !.busy.source = IF g.op # "writeback" /\ g.source = "have" THEN "none"
                                  ELSE g.source]
       IN  End(m, Decide(t), up, [down EXCEPT ![m] = Tail(@)], data)

RecvRecall(m) ==
    /\ MayRecvRecall(m)
    /\ LET r == Head(down[m])
           s == Begin(m)
           t == [s EXCEPT !.queue = Append(@, [kind |-> "Recall", keep |-> r.keep,
                                               dst |-> r.dst, leaf |-> r.leaf])]
       IN  End(m, Decide(t), up, [down EXCEPT ![m] = Tail(@)], data)

RecvAck(m, c) ==
    /\ MayRecvAck(c)
    /\ LET a == Head(up[c])
           s == Begin(m)
           t == [s EXCEPT !.recorded[c] = Min(@, a.keep)]
           u == IF t.recall # NoRecall
                THEN [t EXCEPT !.recall.wait = @ \ {c}, !.recall.hit = @ \/ a.hit]
                ELSE [t EXCEPT !.busy.wait = @ \ {c},
                               !.busy.source = IF a.hit /\ t.busy.op # "writeback"
                                               THEN "sent" ELSE @]
       IN  End(m, Decide(u), [up EXCEPT ![c] = Tail(@)], down, data)

HomeRecvData(m) ==
    /\ m = Root
    /\ \E d \in data :
        /\ d.to = Home
        /\ LET s == Begin(m)
               t == [s EXCEPT !.home = [state |-> "valid", val |-> d.val],
                              !.busy.wait = @ \ {Home}]
           IN  End(m, Decide(t), up, down, data \ {d})

(***************************************************************************)
(* The actions of a leaf                                                   *)
(***************************************************************************)
Ask(l, op, have) ==
    /\ leaf[l].req = NoReq
    /\ leaf' = [leaf EXCEPT ![l].req = [op |-> op, have |-> have]]
    /\ up' = [up EXCEPT ![l] = Append(@, ReqMsg(op, l, have))]
    /\ UNCHANGED <<mgr, home, down, data>>

ReadFault(l)  == leaf[l].right = None  /\ Ask(l, "read", None)
WriteFault(l) == leaf[l].right < Write /\ Ask(l, "write", leaf[l].right)
Writeback(l)  == leaf[l].right >= Owned /\ Ask(l, "writeback", leaf[l].right)

\* Only a read copy leaves silently, and never under one's own request (rule 5).
Evict(l) ==
    /\ leaf[l].right = Read
    /\ leaf[l].req = NoReq
    /\ leaf' = [leaf EXCEPT ![l].right = None, ![l].val = Zero]
    /\ UNCHANGED <<mgr, home, up, down, data>>

RecvData(l) ==
    /\ \E d \in data :
        /\ d.to = l
        /\ leaf' = [leaf EXCEPT ![l].arrived = <<d.val>>]
        /\ data' = data \ {d}
    /\ UNCHANGED <<mgr, home, up, down>>

LeafRecvGrant(l) ==
    /\ MayLeafRecvGrant(l)
    /\ LET g == Head(down[l]) IN
        /\ leaf' = [leaf EXCEPT ![l] =
             [right   |-> CASE g.op = "read"  -> Read
                            [] g.op = "write" -> Write
                            [] OTHER          -> @.right,
              req     |-> NoReq,
              val     |-> CASE g.source = "sent" -> @.arrived[1]
                            [] g.source = "zero" -> Zero
                            [] OTHER             -> @.val,
              arrived |-> IF g.source = "sent" THEN NoData ELSE @.arrived]]
    /\ down' = [down EXCEPT ![l] = Tail(@)]
    /\ UNCHANGED <<mgr, home, up, data>>

LeafRecvRecall(l) ==
    /\ MayRecvRecall(l)
    /\ LET r    == Head(down[l])
           keep == Min(leaf[l].right, r.keep)
           hit  == leaf[l].right # None /\ r.dst # "nobody"
       IN  /\ leaf' = [leaf EXCEPT ![l].right = keep,
                                   ![l].val = IF keep = None THEN Zero ELSE @]
           /\ up' = [up EXCEPT ![l] = Append(@, AckMsg(keep, hit))]
           /\ data' = IF hit
                      THEN data \cup {DataMsg(IF r.dst = "home" THEN Home ELSE r.leaf, leaf[l].val)}
                      ELSE data
    /\ down' = [down EXCEPT ![l] = Tail(@)]
    /\ UNCHANGED <<mgr, home>>

\* The application's store: invisible to the protocol.
Store(l, v) ==
    /\ leaf[l].right = Write
    /\ leaf[l].val # v
    /\ leaf' = [leaf EXCEPT ![l].val = v]
    /\ UNCHANGED <<mgr, home, up, down, data>>

(***************************************************************************)
(* The system                                                              *)
(***************************************************************************)
Init ==
    /\ mgr = [m \in Managers |-> [right |-> IF m = Root THEN Write ELSE None,
                                  recorded |-> [c \in Children(m) |-> None],
                                  busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>]]
    /\ leaf = [l \in Leaves |-> [right |-> None, req |-> NoReq, val |-> Zero, arrived |-> NoData]]
    /\ home = [state |-> "virgin", val |-> Zero]
    /\ up = [x \in DOMAIN Parent |-> <<>>]
    /\ down = [x \in DOMAIN Parent |-> <<>>]
    /\ data = {}

ManagerNext(m) ==
    \/ \E c \in Children(m) : RecvReq(m, c) \/ RecvAck(m, c)
    \/ m # Root /\ (RecvGrant(m) \/ RecvRecall(m))
    \/ HomeRecvData(m)

LeafNext(l) ==
    \/ ReadFault(l) \/ WriteFault(l) \/ Writeback(l) \/ Evict(l)
    \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)
    \/ \E v \in Values : Store(l, v)

Next == (\E m \in Managers : ManagerNext(m)) \/ (\E l \in Leaves : LeafNext(l))

Spec == Init /\ [][Next]_vars
============================================================================
