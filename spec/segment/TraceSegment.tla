---------------------------- MODULE TraceSegment ----------------------------
(***************************************************************************)
(* Is what nodes did with a page, from one segment to the next, a          *)
(* behaviour of Segment?                                                   *)
(*                                                                         *)
(* The run is a constant: for each page the views that its nodes have      *)
(* taken, and what they did with faults and messages about it, over all    *)
(* lives of the page.  The store has no log.  What it has had is put       *)
(* together from the views, in the order of their generations, and comes   *)
(* first: it must be a behaviour of the store.  Each view of a node is     *)
(* then a place in the past, behind the node's last one.                   *)
(*                                                                         *)
(* What is compared is which generation a node has, which messages are     *)
(* early, late or its own, what is kept of them, and that a new life       *)
(* begins from nothing.  The coherence of one life is TraceStrong's, with  *)
(* home, owner and queue, and the bytes are TraceStrong's and TraceFrame's.*)
(* So home, maps, told and stored stand still here, leaf has no bytes, and *)
(* net has no more than the message that an event is about.                *)
(*                                                                         *)
(* Every page is an initial state of its own.  Each state has one          *)
(* successor at most, so a deadlock is a verdict: the event at which it    *)
(* stands is no step of Segment.  impl/trace/validate writes the constants.*)
(***************************************************************************)
EXTENDS Segment, TLC

CONSTANTS
    Trace,   \* Trace[o][i]: <<k>>, where k is the place of the event in Shapes
    Shapes   \* Shapes[k]: act, and
             \*   of Store: has, newest; has are the segments that have the page
             \*   of View: the same, at, and elsewhere: generations of the page
             \*     that other pages have in this view
             \*   of Refused, Nothing and Waits: at, from, link, msg, leaf, early: what
             \*     became of a message that no manager has taken in this step
             \*   of Fault: at, op, answer: what became of a fault without an action
             \*   of an action: at, from, link, msg, manager, idle, alone, right, asks

VARIABLES
    object,  \* which page this is
    next,    \* the event that comes next
    begun    \* begun[n]: n's managers of the page that have acted in the life that n has

traceVars == <<object, next, begun, vars>>

\* TLC evaluates a constant that the configuration replaces at every use, and a
\* definition once.
Run   == Trace
Forms == Shapes

Event == Forms[Run[object][next][1]]
Going == next <= Len(Run[object])

Consume == next' = next + 1 /\ UNCHANGED object
Hold    == UNCHANGED <<next, object>>

----------------------------------------------------------------------------
(***************************************************************************)
(* The store and the views.                                                *)
(***************************************************************************)
\* What a view says of the page.  It is in one segment, or in none.
Single(e) == Cardinality(e.has) <= 1
Said(e) ==
    IF e.has = {} THEN [Free EXCEPT !.newest = e.newest]
    ELSE LET s == CHOOSE s \in e.has : TRUE IN [name |-> s.name, gen |-> s.gen, newest |-> e.newest]

\* The store gets to what a view says step by step.
TakeStore(e) ==
    LET to == Said(e)
    IN  /\ Single(e)
        /\ IF Now = to THEN Consume /\ UNCHANGED vars
           ELSE /\ CASE Now.gen = 0 /\ to.gen = Fresh -> Create(to.name)
                     [] Now.gen # 0 /\ to.gen # Now.gen -> Remove
                     [] OTHER -> Now.newest < to.newest /\ CreateElsewhere
                /\ Hold
        /\ UNCHANGED begun

\* One generation is of one segment.
Distinct(e) == \A i \in 1..Rev : past[i].gen \notin e.elsewhere

TakeView(e) ==
    LET n == e.at
    IN  /\ Distinct(e)
        /\ \E to \in 1..Rev :
              /\ past[to] = Said(e)
              /\ IF to = view[n] THEN UNCHANGED vars ELSE Apply(n, to)
              /\ begun' = IF Same(n, to) THEN begun ELSE [begun EXCEPT ![n] = {}]
        /\ Consume

----------------------------------------------------------------------------
(***************************************************************************)
(* Messages.  Contents may overtake what comes on the link, so only their  *)
(* generations count, as do those of messages within a node: link is       *)
(* FALSE.                                                                  *)
(***************************************************************************)
IsKept(e) == \E i \in 1..Len(early[e.at][e.from]) : early[e.at][e.from][i] = e.msg

\* The message has to come first, unless it was kept.
Comes(e) == e.link /\ net[e.from][e.at] = <<>> /\ ~IsKept(e)

Come(e) ==
    /\ net' = [net EXCEPT ![e.from][e.at] = <<e.msg>>]
    /\ UNCHANGED <<past, view, leaf, home, early, maps, told, stored, begun>>
    /\ Hold

\* It is looked at: those that were kept are first.
Looks(e) == First(e.at, e.from) = e.msg

\* It is taken.
Taken(e) ==
    IF e.link
    THEN /\ Looks(e)
         /\ Takes(e.at, e.from, e.msg.kind)
         /\ Exchange(e.at, e.from, {}, <<>>)
    ELSE e.msg.gen = Gen(e.at) /\ UNCHANGED <<net, early>>

\* What was kept is looked at after each view.  Nothing but a request is early.
TakeRefused(e) ==
    /\ e.early
    /\ e.msg.kind = "Req"
    /\ IF IsKept(e) THEN IsEarly(e.at, e.msg.gen) /\ UNCHANGED vars ELSE PostponeEarly(e.at, e.from)

Late(e) ==
    IF e.link THEN Looks(e) /\ DropLate(e.at, e.from)
    ELSE e.msg.gen # Gen(e.at) /\ ~IsEarly(e.at, e.msg.gen) /\ UNCHANGED vars

\* Nothing became of it: it is late, or waits at the leaf.
TakeNothing(e) ==
    IF e.leaf /\ e.msg.gen = Gen(e.at)
    THEN Taken(e) /\ UNCHANGED <<past, view, leaf, home, maps, told, stored>>
    ELSE Late(e)

TakeMessage(e) ==
    /\ CASE e.act = "Refused" -> TakeRefused(e)
         [] e.act = "Waits"   -> Taken(e) /\ UNCHANGED <<past, view, leaf, home, maps, told, stored>>
         [] e.act = "Nothing" -> TakeNothing(e)
    /\ Consume
    /\ UNCHANGED begun

----------------------------------------------------------------------------
(***************************************************************************)
(* Actions.                                                                *)
(***************************************************************************)
Asks == {"ReadFault", "WriteFault", "Writeback"}

\* The right to own a page is here that to read it.
AtMost(right, than) == right = than \/ right = "none" \/ than = "write"

\* What the leaf has and asks for after the action, as the log says, follows from what
\* it had.
LeafGuards(e) ==
    LET l == leaf[e.at]
    IN  << <<"a leaf that asks already, or may, does not ask",
             e.act \in Asks => ~Waits(e.at) /\ (e.act # "Writeback" => ~Covers(l.right, e.op))>>,
           <<"a request is answered that is out", e.act = "LeafRecvGrant" => Waits(e.at)>>,
           <<"the right is what it was, but for a grant, a recall or an eviction",
             IF e.act \in Asks \cup {"RecvData"} THEN e.right = l.right
             ELSE e.act = "LeafRecvGrant" \/ AtMost(e.right, l.right)>>,
           <<"the request is what it was, but for a fault or its answer",
             CASE e.act \in Asks -> e.asks = e.op
               [] e.act = "LeafRecvGrant" -> e.asks = "none"
               [] OTHER -> e.asks = l.asks>> >>

\* A manager of a new life has nothing: somebody asks, and is alone with it.
ManagerGuards(e) ==
    LET first == e.manager \notin begun[e.at]
    IN  << <<"a manager's first action is RecvReq", first => e.act = "RecvReq">>,
           <<"before it a manager is idle", first => e.idle>>,
           <<"after it a manager knows of nobody but who asks", first => e.alone>> >>

IsLeaf(e)      == e.manager = "leaf"
ActionGuards(e) == IF IsLeaf(e) THEN LeafGuards(e) ELSE ManagerGuards(e)
AllHold(guards) == \A i \in 1..Len(guards) : guards[i][2]

TakeAction(e) ==
    /\ Gen(e.at) # 0
    /\ AllHold(ActionGuards(e))
    /\ Taken(e)
    /\ IF IsLeaf(e)
       THEN leaf' = [leaf EXCEPT ![e.at] = [right |-> e.right, bytes |-> 0, asks |-> e.asks]] /\ UNCHANGED begun
       ELSE begun' = [begun EXCEPT ![e.at] = @ \cup {e.manager}] /\ UNCHANGED leaf
    /\ Consume
    /\ UNCHANGED <<past, view, home, maps, told, stored>>

\* A fault without an action: the node may, or waits already, or has no segment.
Answers(e) ==
    CASE e.answer = "granted" -> Gen(e.at) # 0 /\ Covers(leaf[e.at].right, e.op)
      [] e.answer = "nothing" -> Gen(e.at) # 0 /\ Waits(e.at)
      [] e.answer = "refused" -> Gen(e.at) = 0

TakeFault(e) ==
    /\ Answers(e)
    /\ Consume
    /\ UNCHANGED <<begun, vars>>

\* All that was kept and can be looked at has been.
AllSeen == \A n, m \in Nodes : early[n][m] # <<>> => ~Due(n, m)

TakeEnd ==
    /\ AllSeen
    /\ Consume
    /\ UNCHANGED <<begun, vars>>

----------------------------------------------------------------------------
TraceInit == Init /\ object \in DOMAIN Run /\ next = 1 /\ begun = [n \in Nodes |-> {}]

Outcomes == {"Refused", "Nothing", "Waits"}

Step(e) ==
    CASE e.act = "Store" -> TakeStore(e)
      [] e.act = "View"  -> TakeView(e)
      [] e.act = "Fault" -> TakeFault(e)
      [] e.act = "End"   -> TakeEnd
      [] e.act \in Outcomes -> IF Comes(e) THEN Come(e) ELSE TakeMessage(e)
      [] OTHER -> IF Comes(e) THEN Come(e) ELSE TakeAction(e)

TraceNext == IF Going THEN Step(Event) ELSE UNCHANGED traceVars

----------------------------------------------------------------------------
(***************************************************************************)
(* Why an event is no step: what does not hold is printed, behind the      *)
(* object and the number of the event.                                     *)
(***************************************************************************)
StoreGuards(e) ==
    << <<"a page is in one segment", Single(e)>>,
       <<"a generation is not had twice, and later ones are higher", ~Single(e)>> >>

ViewGuards(e) ==
    << <<"one generation is of one segment", Distinct(e)>>,
       <<"a view comes behind the one before it", \E i \in view[e.at]..Rev : past[i] = Said(e)>> >>

OwnGuards(e) ==
    << <<"the message is of the generation that the node has: msg.gen = Gen(n)", e.msg.gen = Gen(e.at)>>,
       <<"what was kept is looked at first", e.link => Looks(e)>> >>

MessageGuards(e) ==
    CASE e.act = "Refused" ->
            << <<"a message is refused only if it is early", e.early>>,
               <<"nothing but a request is early", e.msg.kind = "Req">>,
               <<"IsEarly(n, msg.gen)", IsEarly(e.at, e.msg.gen)>> >>
      [] e.act = "Waits" -> OwnGuards(e)
      [] OTHER ->
            << <<"who drops a message has another generation: msg.gen # Gen(n)", e.msg.gen # Gen(e.at)>>,
               <<"an early message is not dropped: ~IsEarly(n, msg.gen)", ~IsEarly(e.at, e.msg.gen)>>,
               <<"what was kept is looked at first", e.link => Looks(e)>> >>

Guards(e) ==
    CASE e.act = "Store" -> StoreGuards(e)
      [] e.act = "View"  -> ViewGuards(e)
      [] e.act = "End"   -> << <<"what was kept has been looked at", AllSeen>> >>
      [] e.act = "Fault" -> << <<"a fault is answered by the right that there is, or by the request that is out", Answers(e)>> >>
      [] e.act \in Outcomes -> MessageGuards(e)
      [] OTHER -> << <<"the node has a segment at the page: Gen(n) # 0", Gen(e.at) # 0>> >> \o OwnGuards(e) \o ActionGuards(e)

Say(text) == PrintT(ToString(object) \o "." \o ToString(next) \o " " \o text)

Explain ==
    LET g == Guards(Event)
    IN  \A i \in 1..Len(g) : IF g[i][2] THEN TRUE ELSE Say("guard: " \o g[i][1])

\* TraceNext for who judges: where nothing is a step, it prints why.  Register 1 is
\* the worker's own.
JudgeNext ==
    /\ TLCSet(1, FALSE)
    /\ \/ TraceNext /\ TLCSet(1, TRUE)
       \/ ~TLCGet(1) /\ Explain /\ FALSE
=============================================================================
