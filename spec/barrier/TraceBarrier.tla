---------------------------- MODULE TraceBarrier ---------------------------
(***************************************************************************)
(* Is what was recorded of a run a behaviour of Barrier?  Every event is   *)
(* an action with its parties and requests, and says what the action left  *)
(* behind at its place.  A message that arrives must be at the head of its *)
(* channel in the specification.  Everything a process does is an event:   *)
(* no step is silent.  Where the run had come to rest the last event is    *)
(* End: nothing may be under way then.                                     *)
(*                                                                         *)
(* Every barrier is an initial state of its own, with all generations of   *)
(* its name.  The run is accepted if every barrier gets to Done; one that  *)
(* does not is a deadlock, which TLC reports.  Each event admits one successor  *)
(* at most, so that a deadlock is a verdict: the event at which it stands  *)
(* is no step of Barrier.                                                  *)
(*                                                                         *)
(* impl/trace/validate writes the constants.                               *)
(***************************************************************************)
EXTENDS Barrier, TLC

CONSTANTS
    Trace,   \* Trace[o][i]: <<k>>, the i-th event of object o, where k is its
             \* place in Shapes
    Shapes   \* Shapes[k]: act, node (where, or for the home whose message),
             \* msg of what is received, party and call of what a process did,
             \* post; End has act alone

VARIABLES
    object,  \* which barrier of the trace this is
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
AtHome   == {"HomeRecvJoin", "HomeRecvArrive", "HomeRecvLeave"}
AtNode   == {"RecvJoined", "RecvDone", "RecvBroken", "RecvLeft"}
Channel(e) == IF e.act \in AtHome THEN up[e.node] ELSE down[e.node]

\* A home counts the generations of all its barriers: the next number is the one that
\* the log has, and higher than those that are remembered.
TraceGen ==
    IF Event.act # "HomeRecvJoin" \/ Event.post = <<>> THEN 0
    ELSE LET g == Event.post[Len(Event.post)].gen
         IN  IF \A h \in InUse : h < g THEN g ELSE 0

Arrives(e) == e.act \in AtHome \cup AtNode => Channel(e) # <<>> /\ Head(Channel(e)) = e.msg

Act(e) ==
    \/ e.act = "JoinBarrier"    /\ JoinBarrier(e.party, e.call.index, e.call.parties, e.call.request)
    \/ e.act = "AwaitBarrier"   /\ AwaitBarrier(e.party, e.call.index, e.call.parties, e.call.round, e.call.request)
    \/ e.act = "LeaveBarrier"   /\ LeaveBarrier(e.party, e.call.index, e.call.request)
    \/ e.act = "ProcessDied"    /\ ProcessDied(e.party)
    \/ e.act = "RecvJoined"     /\ RecvJoined(e.node)
    \/ e.act = "RecvDone"       /\ RecvDone(e.node)
    \/ e.act = "RecvBroken"     /\ RecvBroken(e.node)
    \/ e.act = "RecvLeft"       /\ RecvLeft(e.node)
    \/ e.act = "HomeRecvJoin"   /\ HomeRecvJoin(e.node)
    \/ e.act = "HomeRecvArrive" /\ HomeRecvArrive(e.node)
    \/ e.act = "HomeRecvLeave"  /\ HomeRecvLeave(e.node)

\* After the step the barrier is at that place what the log says.
Becomes(e) == IF e.act \in AtHome THEN barrier' = e.post ELSE meeting'[e.node] = e.post

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

\* The parts of a generation: what, in the specification, in the log.
HomeParts(b, c) ==
    << <<"parties", b.parties, c.parties>>, <<"arrived", b.arrived, c.arrived>>, <<"over", b.over, c.over>>,
       <<"broken", b.broken, c.broken>>, <<"left", b.left, c.left>>, <<"seats", b.seats, c.seats>> >>
NodeParts(m, o) ==
    << <<"parties", m.parties, o.parties>>, <<"over", m.over, o.over>>, <<"broken", m.broken, o.broken>>,
       <<"seats", m.seats, o.seats>> >>

\* The parts of the state after the step: those of the first generation in which it is
\* another one, or which generations there are.
Parts(e) ==
    LET home   == barrier'
        GenOf(b) == [j \in DOMAIN b |-> b[j].gen]
        here   == meeting'[e.node]
        other  == {j \in DOMAIN home : home[j] # e.post[j]}
        others == {g \in DOMAIN here : here[g] # e.post[g]}
    IN  IF e.act \in AtHome
        THEN IF GenOf(home) # GenOf(e.post) THEN << <<"generations", GenOf(home), GenOf(e.post)>> >>
             ELSE IF other = {} THEN <<>>
             ELSE LET j == First(other) IN HomeParts(home[j], e.post[j])
        ELSE IF DOMAIN here # DOMAIN e.post THEN << <<"generations", DOMAIN here, DOMAIN e.post>> >>
             ELSE IF others = {} THEN <<>>
             ELSE LET g == First(others) IN NodeParts(here[g], e.post[g])

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
