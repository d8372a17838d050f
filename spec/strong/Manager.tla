------------------------------ MODULE Manager ------------------------------
(***************************************************************************)
(* The manager of a page, at any level of a tree.                          *)
(*                                                                         *)
(* A manager is a cache towards its parent and a directory towards its     *)
(* children.  Root and intermediates run the same actions; being the root  *)
(* is a condition inside a guard.  What requests ask for is a parameter: a *)
(* row of Services for each operation.  What a leaf does is the page       *)
(* protocol's, which extends this module.  Pages are independent: this is  *)
(* about one page.                                                         *)
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
    Services     \* Services[op]: the row of an operation

NoChild == "nobody"
Home    == "home"      \* whom Data is for that is not for a leaf
NoBusy  == [op |-> "none"]
NoRecall == [keep |-> Write]

Children(m) == {x \in DOMAIN Parent : Parent[x] = m}

VARIABLES
    mgr,     \* mgr[m]: right, recorded, busy, recall, queue
    leaf,    \* leaf[l]: what the page protocol says
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

(***************************************************************************)
(* The operations, a row for each: all that a manager at any level, and a  *)
(* leaf, have to know of one.                                              *)
(*                                                                         *)
(*   needs     the right of the subtree under which it can be served; more *)
(*             than any right: at the home                                 *)
(*   grants    the right that a Grant gives, at every level                *)
(*   supplies  whether who asks gets the page, if it has no copy           *)
(*   least     what who asks has at least: else there is nothing to do     *)
(*   most      what who asks has at most                                   *)
(*   recalls   whom it recalls: a "supplier" if the page is needed, all    *)
(*             "others", or the "asker" itself                             *)
(*   keep      what these keep at most                                     *)
(***************************************************************************)
AtHome == Write + 1

\* TLC evaluates a constant that the configuration replaces at every use, and a
\* definition once.
Service == Services

(***************************************************************************)
(* What a manager collects from its children, for the request that it      *)
(* serves ("busy") or for its parent ("recall"):                           *)
(*                                                                         *)
(*   wait      the children that were recalled and have not answered       *)
(*   homeDue   how many Data the home still expects                        *)
(*   keep      what the children keep                                      *)
(*   dst       whom they send the page to: nobody, the leaf, or the home   *)
(*   leaf      the leaf that wants it                                      *)
(*   hit       somebody has sent it                                        *)
(***************************************************************************)
Collected(c) == c.wait = {} /\ c.homeDue = 0

\* Recall the page from a set of children.  Where they keep nothing only the owner
\* sends it: another may have lost its copy.
AskFor(s, by, set, keep, dst) ==
    [s EXCEPT ![by].wait = set, ![by].keep = keep, ![by].dst = dst,
              ![by].homeDue = IF IsRoot(s) /\ dst = "home" THEN 1 ELSE 0,
              !.toChild = [c \in DOMAIN @ |->
                IF c \in set
                THEN Append(@[c], RecallMsg(keep, IF keep = None /\ c # Owner(s) THEN "nobody" ELSE dst,
                                            s[by].leaf))
                ELSE @[c]]]

(***************************************************************************)
(* Serving a child.  One step of the decision for the busy request.        *)
(***************************************************************************)
Row(s) == Service[s.busy.op]

\* What the request claims to have, as far as it is still true (rule 5).
Supported(s) ==
    LET b == s.busy IN IF s.recorded[b.child] >= b.have THEN b.have ELSE None

\* Who asks has to be sent the page, and nobody has done so yet.
Lacks(s) == Row(s).supplies /\ s.busy.source = "none" /\ Supported(s) = None

\* The request can be served here (rule 2): by the right of this subtree, because the
\* parent has served it, or because nothing is left to do.
Covered(s) ==
    \/ Right(s) >= Row(s).needs \/ IsRoot(s)
    \/ s.busy.source # "none"
    \/ s.recorded[s.busy.child] < Row(s).least

\* Whom to recall next.  The home supplies what no child owns.
Whom(s) ==
    LET b == s.busy
    IN  CASE Row(s).recalls = "supplier" ->
               IF ~Lacks(s) THEN {}
               ELSE IF Owner(s) # NoChild THEN {Owner(s)}
               ELSE IF IsRoot(s) \/ Marked(s) = {} THEN {}
               ELSE {OneOf(Marked(s))}
          [] Row(s).recalls = "others" -> Marked(s) \ {b.child}
          [] Row(s).recalls = "asker" ->
               IF b.source # "none" \/ s.recorded[b.child] < Row(s).least THEN {} ELSE {b.child}

Climb(s) ==
    [s EXCEPT !.busy.phase = "up",
              !.toParent = Append(@, ReqMsg(s.busy.op, s.busy.leaf,
                                            IF s.right >= Owned THEN s.right ELSE Supported(s)))]

Finish(s) ==
    LET b == s.busy
        t == [s EXCEPT !.recorded[b.child] = Max(@, Row(s).grants), !.busy = NoBusy,
                       !.home.state = IF IsRoot(s) /\ Row(s).grants = Write THEN "stale" ELSE @]
    IN  Down(t, b.child, GrantMsg(b.op, IF b.source # "none" THEN b.source ELSE "have", b.leaf))

\* The home supplies the page: virgin pages are zeros, and need no data.  Neither an
\* intermediate nor a root whose home is stale comes here; if one did, TypeInv would
\* know by the source.
FromHome(s) ==
    IF ~IsRoot(s) \/ s.home.state = "stale" THEN [s EXCEPT !.busy.source = "nowhere"]
    ELSE IF s.home.state = "virgin"
    THEN [s EXCEPT !.busy.source = "zero"]
    ELSE [s EXCEPT !.busy.source = "sent",
                   !.sent = @ \cup {DataMsg(s.busy.leaf, s.home.val)}]

\* The end of a collection: what a child has sent to who asks is on its way.
Settle(s) ==
    [s EXCEPT !.busy.source = IF s.busy.hit /\ s.busy.dst = "leaf" THEN "sent" ELSE @,
              !.busy.keep = None, !.busy.dst = "nobody", !.busy.hit = FALSE]

\* Without the duty to supply, and without a copy below, it is the parent that supplies.
Serve(s) ==
    LET t   == Settle(s)
        set == Whom(t)
        to  == IF ~Row(t).supplies THEN "home" ELSE IF Lacks(t) THEN "leaf" ELSE "nobody"
    IN  IF ~Covered(t) THEN Climb(t)
        ELSE IF set # {}
        THEN LET c == OneOf(set) IN AskFor(t, "busy", set, Min(t.recorded[c], Row(t).keep), to)
        ELSE IF ~Lacks(t) THEN Finish(t)
        ELSE IF Right(t) >= Owned THEN FromHome(t)
        ELSE Climb([t EXCEPT !.right = None])

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
                       !.recall = [wait |-> {}, homeDue |-> 0, keep |-> r.keep, dst |-> r.dst,
                                   leaf |-> r.leaf, hit |-> FALSE]]
    IN  IF r.keep = None THEN AskFor(t, "recall", Marked(s), None, r.dst)
        ELSE IF Owner(s) # NoChild THEN AskFor(t, "recall", {Owner(s)}, r.keep, r.dst)
        ELSE t

Acknowledge(s, keep) ==
    [s EXCEPT !.right = Min(@, keep), !.recall = NoRecall,
              !.toParent = Append(@, AckMsg(Min(s.right, keep), s.recall.hit))]

\* All that were asked have answered (rule 9).
Collect(s) ==
    LET r == s.recall
    IN  IF r.keep = None \/ r.hit THEN Acknowledge(s, r.keep)
        ELSE IF Marked(s) = {} THEN Acknowledge(s, None)
        ELSE AskFor(s, "recall", {OneOf(Marked(s))}, r.keep, r.dst)

(***************************************************************************)
(* Taking the next request, in the order of arrival.                       *)
(***************************************************************************)
TakeReq(s) ==
    LET r == Head(s.queue)
    IN  [s EXCEPT !.queue = Tail(@),
                  !.busy = [op |-> r.op, child |-> r.child, have |-> r.have, phase |-> "serve",
                            source |-> "none", wait |-> {}, homeDue |-> 0, keep |-> None,
                            dst |-> "nobody", leaf |-> r.leaf, hit |-> FALSE],
                  \* rule 1: who asks for a copy says that it has nothing
                  !.recorded[r.child] = IF Service[r.op].most = None THEN None ELSE @]

(***************************************************************************)
(* The one decision at the end of every handler.  Handlers only update     *)
(* state.                                                                  *)
(***************************************************************************)
RECURSIVE Decide(_)
Decide(s) ==
    IF s.recall # NoRecall
    THEN IF Collected(s.recall) THEN Decide(Collect(s)) ELSE s
    ELSE IF MayTakeRecall(s) THEN Decide(TakeRecall(s))
    ELSE IF s.busy # NoBusy
    THEN IF s.busy.phase = "up" \/ ~Collected(s.busy) THEN s ELSE Decide(Serve(s))
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
(* climbed.                                                                *)
(***************************************************************************)
MayRecvReq(c)    == Has(up[c], "Req")
MayRecvAck(c)    == Has(up[c], "Ack")
MayRecvRecall(x) == Has(down[x], "Recall")
MayRecvGrant(m)  == Has(down[m], "Grant") /\ mgr[m].busy # NoBusy /\ mgr[m].busy.phase = "up"
MayRecvData(x)   == \E d \in data : d.to = x

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
                  !.right       = Max(@, Service[g.op].grants),
                  !.busy.phase  = "serve",
                  \* rule 3: "have" means that this manager's children supply it
                  !.busy.source = IF Service[g.op].supplies /\ g.source = "have" THEN "none"
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
           by == IF s.recall # NoRecall THEN "recall" ELSE "busy"
           t == [s EXCEPT !.recorded[c] = Min(@, a.keep),
                          ![by].wait = @ \ {c}, ![by].hit = @ \/ a.hit]
       IN  End(m, Decide(t), [up EXCEPT ![c] = Tail(@)], down, data)

HomeRecvData(m) ==
    /\ m = Root
    /\ \E d \in data :
        /\ d.to = Home
        /\ LET s == Begin(m)
               t == [s EXCEPT !.home = [state |-> "valid", val |-> d.val],
                              !.busy.homeDue = @ - 1]
           IN  End(m, Decide(t), up, down, data \ {d})

(***************************************************************************)
(* The managers                                                            *)
(***************************************************************************)
ManagerInit ==
    /\ mgr = [m \in Managers |-> [right |-> IF m = Root THEN Write ELSE None,
                                  recorded |-> [c \in Children(m) |-> None],
                                  busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>]]
    /\ home = [state |-> "virgin", val |-> Zero]
    /\ up = [x \in DOMAIN Parent |-> <<>>]
    /\ down = [x \in DOMAIN Parent |-> <<>>]
    /\ data = {}

ManagerNext(m) ==
    \/ \E c \in Children(m) : RecvReq(m, c) \/ RecvAck(m, c)
    \/ m # Root /\ (RecvGrant(m) \/ RecvRecall(m))
    \/ HomeRecvData(m)
============================================================================
