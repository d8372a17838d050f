--------------------------- MODULE TraceHeapLock ---------------------------
(***************************************************************************)
(* Is what was recorded of a run a behaviour of HeapLock?  Every event is  *)
(* an action with its parties and requests, and says what the action left  *)
(* behind at its place.  A message that arrives must be at the head of its *)
(* channel in the specification.  Everything a process does is an event:   *)
(* no step is silent.  Where the run had come to rest the last event is    *)
(* End: nothing may be under way then.                                     *)
(*                                                                         *)
(* Every lock is an initial state of its own.  The run is accepted if      *)
(* every lock gets to Done; one that does not is a deadlock, which TLC     *)
(* reports.  Each event admits one successor at most, so that a deadlock   *)
(* is a verdict: the event at which it stands is no step of HeapLock.      *)
(*                                                                         *)
(* impl/trace/validate writes the constants.                               *)
(***************************************************************************)
EXTENDS HeapLock, TLC

CONSTANTS
    Trace,   \* Trace[o][i]: <<k>>, the i-th event of object o, where k is its
             \* place in Shapes
    Shapes   \* Shapes[k]: act, node (where, or for the home whose message),
             \* msg of what is received, party and call of what a process did,
             \* post; End has act alone

VARIABLES
    object,  \* which lock of the trace this is
    next     \* the event that comes next

traceVars == <<object, next, vars>>

\* What a configuration puts in place of a constant TLC evaluates again and again,
\* a definition once.
Run   == Trace
Forms == Shapes

Going == next <= Len(Run[object])
Event == Forms[Run[object][next][1]]

----------------------------------------------------------------------------
(***************************************************************************)
(* The parts of an event.                                                  *)
(***************************************************************************)
AtHome   == {"HomeRecvAcquire", "HomeRecvCancel", "HomeRecvRelease"}
AtNode   == {"RecvGrant", "RecvRefuse", "RecvReleased"}
Channel(e) == IF e.act \in AtHome THEN up[e.node] ELSE down[e.node]

\* A home counts its grants of all locks: the next fence is the one that the log
\* has, and higher than the last.
TraceFence(f) == IF Event.act \in AtHome /\ Event.post.fence > f THEN Event.post.fence ELSE f + 1

Arrives(e) == e.act \in AtHome \cup AtNode => Channel(e) # <<>> /\ Head(Channel(e)) = e.msg

Act(e) ==
    \/ e.act = "AcquireLock"     /\ AcquireLock(e.party, e.call.request, e.call.try)
    \/ e.act = "CancelLock"      /\ CancelLock(e.party, e.call.target, e.call.request)
    \/ e.act = "ReleaseLock"     /\ ReleaseLock(e.party, e.call.fence, e.call.request)
    \/ e.act = "ProcessDied"     /\ ProcessDied(e.party)
    \/ e.act = "RecvGrant"       /\ RecvGrant(e.node)
    \/ e.act = "RecvRefuse"      /\ RecvRefuse(e.node)
    \/ e.act = "RecvReleased"    /\ RecvReleased(e.node)
    \/ e.act = "HomeRecvAcquire" /\ HomeRecvAcquire(e.node)
    \/ e.act = "HomeRecvCancel"  /\ HomeRecvCancel(e.node)
    \/ e.act = "HomeRecvRelease" /\ HomeRecvRelease(e.node)

\* After the step the lock is at that place what the log says.  A node forgets a
\* dead party of which nothing is left.
Becomes(e) ==
    IF e.act \in AtHome
    THEN lock' = e.post
    ELSE /\ turn'[e.party] = e.post.turn
         /\ calls'[e.party] = e.post.calls
         /\ e.post.turn # NoTurn \/ e.post.calls # {} \/ e.post.dead => (e.party \in dead') = e.post.dead

----------------------------------------------------------------------------
TraceInit == Init /\ object \in DOMAIN Trace /\ next = 1

\* The last event of a run that had come to rest: so has the specification.
Ends(e)  == e.act = "End"
NoneLeft == \A n \in Nodes : up[n] = <<>> /\ down[n] = <<>>

Step ==
    /\ Going
    /\ IF Ends(Event)
       THEN NoneLeft /\ UNCHANGED vars
       ELSE /\ IF Arrives(Event) THEN Act(Event) ELSE FALSE
            /\ Becomes(Event)
    /\ next' = next + 1
    /\ UNCHANGED object

Done == ~Going /\ UNCHANGED traceVars

TraceNext == Step \/ Done

----------------------------------------------------------------------------
(***************************************************************************)
(* Why an event is no step: what does not hold is printed, behind the      *)
(* object and the number of the event.                                     *)
(***************************************************************************)
Say(text) == PrintT(ToString(object) \o "." \o ToString(next) \o " " \o text)

Guards(e) ==
    << <<"the message is at the head of its channel", Arrives(e)>>,
       <<"p \\notin dead", e.act \in AtHome \cup AtNode \/ e.party \notin dead>> >>

\* The parts of the state after the step: what, in the specification, in the log.
Parts(e) ==
    IF e.act \in AtHome
    THEN << <<"fence", lock'.fence, e.post.fence>>,
            <<"holder", <<lock'.holder, lock'.request>>, <<e.post.holder, e.post.request>> >>,
            <<"died", lock'.died, e.post.died>>,
            <<"overtaken", lock'.overtaken, e.post.overtaken>>,
            <<"queue", lock'.queue, e.post.queue>> >>
    ELSE << <<"turn", turn'[e.party], e.post.turn>>,
            <<"calls", calls'[e.party], e.post.calls>>,
            <<"dead", e.party \in dead', e.post.dead>> >>

ExplainGuards ==
    LET g == IF Ends(Event) THEN << <<"the run came to rest: nothing is under way", NoneLeft>> >> ELSE Guards(Event)
    IN  \A i \in 1..Len(g) : IF g[i][2] THEN TRUE ELSE Say("guard: " \o g[i][1])

ExplainParts ==
    /\ ~Ends(Event)
    /\ Act(Event)
    /\ LET p == Parts(Event)
       IN  \A i \in 1..Len(p) :
              IF p[i][2] = p[i][3] THEN TRUE
              ELSE Say("part: " \o p[i][1] \o ": " \o ToString(p[i][2]) \o ", not " \o ToString(p[i][3]))

\* TraceNext for who judges: where nothing is a step, it prints why.  Register 1 is
\* the worker's own.
JudgeNext ==
    /\ TLCSet(1, FALSE)
    /\ \/ TraceNext /\ TLCSet(1, TRUE)
       \/ ~TLCGet(1) /\ ExplainGuards /\ ExplainParts /\ FALSE
============================================================================
