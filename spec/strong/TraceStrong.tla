------------------------------ MODULE TraceStrong -----------------------------
(***************************************************************************)
(* Is a recorded run a behaviour of Strong?                                *)
(*                                                                         *)
(* The run is a constant: for each page the actions that its managers have *)
(* taken, in causal order.  Each must be a step of the action of Strong    *)
(* with that name, for that manager and that message, and what the manager *)
(* was afterwards must be what the step makes of it.  Where the content of *)
(* a page is known, it must be the content that the specification has.     *)
(* Stores are invisible in a run: one is put in where the content of a     *)
(* page changed while the right to write was held.                         *)
(*                                                                         *)
(* Where the run had come to rest the last event is End: nothing may be    *)
(* under way then.                                                         *)
(*                                                                         *)
(* Every page is an initial state of its own.  The run is accepted if      *)
(* every page gets to Done; a page that does not is a deadlock, which TLC  *)
(* reports.  Each event admits one successor at most, so that a deadlock   *)
(* is a verdict: the event at which it stands is no step of Strong.        *)
(*                                                                         *)
(* impl/trace/validate writes the constants.                               *)
(***************************************************************************)
EXTENDS Strong, TLC

CONSTANTS
    Trace,   \* Trace[o][i]: <<k, content>>, the i-th event of object o, where
             \* k is its place in Shapes and content what the page held, or
             \* Unknown
    Shapes,  \* Shapes[k]: act, at, from, msg, post of an event; of
             \* End: act, removed, and data, up, down: how many were dropped
    Index    \* Index[x]: which of its parent's children x is

Unknown == 0          \* contents are numbered from Zero = 1 on
Nobody  == "nobody"   \* the sender of a local step

VARIABLES
    object,  \* which page of the trace this is
    next     \* the event that comes next

traceVars == <<object, next, vars>>

\* What the code means by OneOf.
Lowest(children) == CHOOSE c \in children : \A d \in children : Index[c] <= Index[d]

\* TLC evaluates a constant that the configuration replaces at every use, and a
\* definition once.
Run     == Trace
Forms   == Shapes

\* Children, found once.
Below            == [m \in Managers |-> {x \in DOMAIN Parent : Parent[x] = m}]
KnownChildren(m) == Below[m]

Going   == next <= Len(Run[object])
Event   == Forms[Run[object][next][1]]
Content == Run[object][next][2]

----------------------------------------------------------------------------
(***************************************************************************)
(* The parts of an event.                                                  *)
(***************************************************************************)
FromChild  == {"RecvReq", "RecvAck"}
FromParent == {"RecvGrant", "RecvRecall", "LeafRecvGrant", "LeafRecvRecall"}
Asks       == {"ReadFault", "WriteFault", "Writeback"}

Channel(e) == IF e.act \in FromChild THEN up[e.from] ELSE down[e.at]

\* The message is the next one of its channel, or is Data under way.
Arrives(e) ==
    CASE e.act \in FromChild \cup FromParent -> Channel(e) # <<>> /\ Head(Channel(e)) = e.msg
      [] e.act \in {"RecvData", "HomeRecvData"} -> \E d \in data : d.to = e.msg.to
      [] OTHER -> TRUE

\* What was in the frame when the right to write it was given up.
Holds(e, content) ==
    e.act = "LeafRecvRecall" /\ content # Unknown => leaf[e.at].val = content

Act(e) ==
    \/ e.act = "ReadFault"      /\ ReadFault(e.at)
    \/ e.act = "WriteFault"     /\ WriteFault(e.at)
    \/ e.act = "Writeback"      /\ Writeback(e.at)
    \/ e.act = "Evict"          /\ Evict(e.at)
    \/ e.act = "RecvData"       /\ RecvData(e.at)
    \/ e.act = "LeafRecvGrant"  /\ LeafRecvGrant(e.at)
    \/ e.act = "LeafRecvRecall" /\ LeafRecvRecall(e.at)
    \/ e.act = "RecvReq"        /\ RecvReq(e.at, e.from)
    \/ e.act = "RecvGrant"      /\ RecvGrant(e.at)
    \/ e.act = "RecvRecall"     /\ RecvRecall(e.at)
    \/ e.act = "RecvAck"        /\ RecvAck(e.at, e.from)
    \/ e.act = "HomeRecvData"   /\ HomeRecvData(e.at)

\* After the step the manager is what the log says.
Becomes(e, content) ==
    IF e.at \in Leaves
    THEN /\ leaf'[e.at].right = e.post.right
         /\ leaf'[e.at].req = e.post.req
         /\ (leaf'[e.at].arrived # NoData) = e.post.arrived
         /\ e.act = "RecvData" /\ content # Unknown => leaf'[e.at].arrived = <<content>>
         /\ e.act \in Asks => up'[e.at][Len(up'[e.at])] = e.msg
    ELSE /\ mgr'[e.at] = e.post.mgr
         /\ e.at = Root => home'.state = e.post.home
         /\ e.act = "HomeRecvData" => home'.val = content

----------------------------------------------------------------------------
TraceInit == Init /\ object \in DOMAIN Run /\ next = 1

RECURSIVE Sum(_, _)
Sum(f, s) == IF s = {} THEN 0 ELSE LET x == CHOOSE y \in s : TRUE IN f[x] + Sum(f, s \ {x})

\* Messages that have not arrived, by the way that they take.
Waiting(channels) == Sum([x \in DOMAIN channels |-> Len(channels[x])], DOMAIN channels)
UnderWay == Waiting(up) + Waiting(down) + Cardinality(data)

\* A leaf keeps a Grant until its Data is there, and a Recall for its time.
Kept == Sum([l \in Leaves |-> IF Len(down[l]) < 2 THEN Len(down[l]) ELSE 2], Leaves)

\* The last event of a run that had come to rest.  Nothing is under way in the
\* specification but the messages that were dropped when the segment was gone; and
\* leaves were forgotten then with what they kept.
Ends(e) == e.act = "End"
AtRest(e) ==
    /\ Cardinality(data) = e.data
    /\ Waiting(up) = e.up
    /\ Waiting(down) - e.down \in 0..(IF e.removed THEN Kept ELSE 0)

Step ==
    /\ Going
    /\ IF Ends(Event)
       THEN AtRest(Event) /\ UNCHANGED vars
       ELSE /\ IF Arrives(Event) /\ Holds(Event, Content) THEN Act(Event) ELSE FALSE
            /\ Becomes(Event, Content)
    /\ next' = next + 1
    /\ UNCHANGED object

SilentStore ==
    /\ Going
    /\ ~ Holds(Event, Content)
    /\ Store(Event.at, Content)
    /\ UNCHANGED <<object, next>>

\* Where a run ends that had not come to rest, something may be under way.
Done ==
    /\ ~ Going
    /\ IF UnderWay = 0 THEN TRUE ELSE PrintT("under way: " \o ToString(UnderWay))
    /\ UNCHANGED traceVars

TraceNext == Step \/ SilentStore \/ Done

----------------------------------------------------------------------------
(***************************************************************************)
(* Why an event is no step: what does not hold is printed, behind the      *)
(* object and the number of the event.  The guards are named as in Strong. *)
(***************************************************************************)
Say(text) == PrintT(ToString(object) \o "." \o ToString(next) \o " " \o text)

LeafGuards(e) ==
    LET l == leaf[e.at]
    IN  CASE e.act = "ReadFault"  -> << <<"leaf[l].right = None", l.right = None>>,
                                        <<"leaf[l].req = NoReq", l.req = NoReq>> >>
          [] e.act = "WriteFault" -> << <<"leaf[l].right < Write", l.right < Write>>,
                                        <<"leaf[l].req = NoReq", l.req = NoReq>> >>
          [] e.act = "Writeback"  -> << <<"leaf[l].right >= Owned", l.right >= Owned>>,
                                        <<"leaf[l].req = NoReq", l.req = NoReq>> >>
          [] e.act = "Evict"      -> << <<"leaf[l].right = Read", l.right = Read>>,
                                        <<"leaf[l].req = NoReq", l.req = NoReq>> >>
          [] e.act = "LeafRecvGrant" ->
                << <<"g.source = \"sent\" => leaf[l].arrived # NoData",
                     e.msg.source = "sent" => l.arrived # NoData>> >>
          [] OTHER -> <<>>

ManagerGuards(e) ==
    IF e.act = "RecvGrant"
    THEN << <<"mgr[m].busy # NoBusy /\\ mgr[m].busy.phase = \"up\"",
              mgr[e.at].busy # NoBusy /\ mgr[e.at].busy.phase = "up">> >>
    ELSE <<>>

\* The first lines that hold back the step whatever it leads to.
Guards(e, content) ==
    << <<IF e.act \in {"RecvData", "HomeRecvData"}
         THEN "Data for " \o ToString(e.msg.to) \o " is under way"
         ELSE "the message is at the head of its channel", Arrives(e)>>,
       <<"the content is what was stored: the right to write was held", Holds(e, content)>> >>
    \o (IF e.at \in Leaves THEN LeafGuards(e) ELSE ManagerGuards(e))

\* The parts of the state after the step: what, in the specification, in the log.
Parts(e, content) ==
    IF e.at \in Leaves
    THEN << <<"right", leaf'[e.at].right, e.post.right>>,
            <<"req", leaf'[e.at].req, e.post.req>>,
            <<"arrived", leaf'[e.at].arrived # NoData, e.post.arrived>> >>
         \o (IF e.act = "RecvData" /\ content # Unknown
             THEN << <<"content", leaf'[e.at].arrived, <<content>> >> >> ELSE <<>>)
         \o (IF e.act \in Asks
             THEN << <<"message", up'[e.at][Len(up'[e.at])], e.msg>> >> ELSE <<>>)
    ELSE << <<"right", mgr'[e.at].right, e.post.mgr.right>>,
            <<"recorded", mgr'[e.at].recorded, e.post.mgr.recorded>>,
            <<"busy", mgr'[e.at].busy, e.post.mgr.busy>>,
            <<"recall", mgr'[e.at].recall, e.post.mgr.recall>>,
            <<"queue", mgr'[e.at].queue, e.post.mgr.queue>> >>
         \o (IF e.at = Root THEN << <<"home", home'.state, e.post.home>> >> ELSE <<>>)
         \o (IF e.act = "HomeRecvData" THEN << <<"content", home'.val, content>> >> ELSE <<>>)

ExplainGuards ==
    LET g == IF Ends(Event) THEN << <<"the run came to rest: nothing is under way", AtRest(Event)>> >>
             ELSE Guards(Event, Content)
    IN  \A i \in 1..Len(g) : IF g[i][2] THEN TRUE ELSE Say("guard: " \o g[i][1])

ExplainParts ==
    /\ ~Ends(Event)
    /\ Act(Event)
    /\ LET p == Parts(Event, Content)
       IN  \A i \in 1..Len(p) :
              IF p[i][2] = p[i][3] THEN TRUE
              ELSE Say("part: " \o p[i][1] \o ": " \o ToString(p[i][2]) \o " by the specification, "
                                              \o ToString(p[i][3]) \o " in the log")

\* TraceNext for who judges: where nothing is a step, it prints why.  Register 1 is
\* the worker's own.
JudgeNext ==
    /\ TLCSet(1, FALSE)
    /\ \/ TraceNext /\ TLCSet(1, TRUE)
       \/ ~TLCGet(1) /\ ExplainGuards /\ ExplainParts /\ FALSE
===============================================================================
