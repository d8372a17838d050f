----------------------------- MODULE TraceFrame -----------------------------
(***************************************************************************)
(* Is what a node did with one page a behaviour of Frame?                  *)
(*                                                                         *)
(* The run is a constant: for each page of each node what its log tells,   *)
(* in order: the actions of the leaf, the daemon's single steps with the   *)
(* kernel's answers, and the contents that came and that were given up.    *)
(*                                                                         *)
(* Three things are not told and are put in.  What the daemon cannot see:  *)
(* a store, where the content that is given up is another one than came,   *)
(* and only while some process may store; a process that is gone, or an    *)
(* entry that the kernel has dropped, where an answer shows it.  What one  *)
(* system call does besides: COPY, ZEROPAGE and CONTINUE also wake.  And   *)
(* the beginning of a job, Serve, ProtectEnd and FillEnd, which are the    *)
(* daemon's thoughts.  A fault is always Expect: between the reading of    *)
(* its event and the handling of it anything may have happened.            *)
(*                                                                         *)
(* The leaf takes its actions first, and the frame follows.  So an action  *)
(* is due until a step needs it.  What is due must be done when the lock   *)
(* of the page was let go: a fault shows that, and a process that comes or *)
(* goes, and the end.                                                      *)
(*                                                                         *)
(* Every page is an initial state of its own.  Each state has one          *)
(* successor at most, so a deadlock is a verdict: the event at which it    *)
(* stands is no step of Frame.  impl/trace/validate writes the constants.  *)
(***************************************************************************)
EXTENDS Frame, Integers, Sequences, TLC

CONSTANTS
  Trace,   \* Trace[o][i]: <<k, content, seen>>, the i-th event of object o: k is
           \* its place in Shapes, content that of the event or Unknown, and seen
           \* the next content that is given up, by this event or a later one
  Shapes   \* Shapes[k]: act, process, write, answer of a step; act of the leaf's
           \* actions, with op and source, or keep, send and local

Unknown == -4

VARIABLES
  object,   \* which page this is
  next,     \* the event that comes next
  due,      \* the leaf's actions that the frame has not followed yet
  came,     \* the content that arrived last
  granted,  \* the grant of the page that goes in was received
  local,    \* the recall is this node's own: its acknowledgement is no message
  waking    \* the process that a system call is waking besides, or Nobody

auxiliary == <<due, came, granted, local, waking>>
traceVars == <<object, next, auxiliary, vars>>

Nobody == "nobody"
Itself(t) == t   \* the one thread of each process that stores

Event   == Shapes[Trace[object][next][1]]
Content == Trace[object][next][2]
Seen    == Trace[object][next][3]
Going   == next <= Len(Trace[object])

Consume == next' = next + 1 /\ UNCHANGED object
Hold    == UNCHANGED <<next, object>>

-----------------------------------------------------------------------------
(* What goes on without an event. *)

(* The content is going to be another one, and somebody can make it so. *)
Stored ==
  /\ right = "write"
  /\ Seen # Unknown
  /\ cache \notin {Hole, Torn, Seen}
  /\ \E p \in Process : pte[p] = "writable"

SilentStore ==
  LET p == CHOOSE q \in Process : pte[q] = "writable"
  IN  /\ IF thread[p] = Idle THEN Access(p, "write") ELSE Store(p, Seen)
      /\ UNCHANGED auxiliary

(* The daemon may have a process in its list twice, for a fault and for
   read-ahead, and serves it twice. *)
ServeOnce(p) == IF want[p] = "none" THEN Expect(p, "read") ELSE Serve(p)

(* The rest of a system call that has made an entry: it wakes who waits. *)
SilentWake ==
  LET p == waking
  IN  /\ CASE fix = NoFix -> ServeOnce(p)
           [] fix.step = "continue" -> Continue(p)
           [] fix.step = "unprotect" -> Unprotect(p)
           [] fix.step = "wake" -> Wake(p)
      /\ waking' = IF fix.step = "wake" THEN Nobody ELSE p
      /\ UNCHANGED <<due, came, granted, local>>

(* A job goes on without the kernel, or is at its end. *)
Thinking ==
  \/ job.step = "protect" /\ job.left = {}
  \/ job.step = "filling" /\ granted
  \/ job.step = "ack" /\ local

SilentThought ==
  /\ CASE job.step = "protect" -> ProtectEnd
       [] job.step = "filling" -> FillEnd
       [] job.step = "ack" -> SendAck
  /\ UNCHANGED auxiliary

(* The frame follows the leaf's action a. *)
Follow(a) ==
  CASE a.act = "ReadFault"  -> Fetch("read") /\ UNCHANGED <<granted, local>>
    [] a.act = "WriteFault" -> Fetch("write") /\ UNCHANGED <<granted, local>>
    [] a.act = "Evict"      -> Evict /\ UNCHANGED <<granted, local>>
    [] a.act = "LeafRecvRecall" ->
         /\ IF job.step = "fill"
            THEN a.keep = "none" /\ ~a.send /\ RecvRecallUnfilled
            ELSE RecvRecall(a.keep, a.send)
         /\ local' = a.local
         /\ UNCHANGED granted
    [] a.act = "LeafRecvGrant" ->
         /\ CASE job.kind = "install" -> job.to = a.op /\ UNCHANGED vars
              [] job.kind # "install" /\ right \in Readable -> a.op = "write" /\ RecvGrantHave
              [] OTHER -> RecvGrantData(a.op, IF a.source = "zero" THEN Zero ELSE came)
         /\ granted' = TRUE
         /\ UNCHANGED local

FollowDue ==
  /\ due # <<>>
  /\ Follow(Head(due))
  /\ due' = Tail(due)
  /\ UNCHANGED <<came, waking>>

(* Content goes in before its grant has come. *)
Early(e) ==
  /\ e.act = "Fill"
  /\ due = <<>>
  /\ job = NoJob
  /\ asked # "none"
  /\ right = "none"

-----------------------------------------------------------------------------
(* The events. *)

OfMapping == {"Copy", "ZeroPage", "Continue", "Unprotect", "Wake", "Protect"}
LeafActs == {"ReadFault", "WriteFault", "Evict", "LeafRecvGrant", "LeafRecvRecall"}

(* Nobody works on the page: its lock was let go. *)
Quiet == fix = NoFix /\ (job = NoJob \/ (job.step = "filling" /\ ~granted))
Idling == {"TakeFault", "Expect", "Attach", "Exit", "End"}

(* The answers of the kernel; Gone: the process is not there, or has no mapping
   of the page. *)
Gone(e) == e.answer \in {"ESRCH", "ENOENT"}
Done(e) == e.answer = ""
Exists(e) == e.answer = "EEXIST"
Busy(e) == e.answer = "EAGAIN"

Fix(p, step) == fix = [process |-> p, step |-> step]

(* The daemon answers p's fault with what it has. *)
CanServe(p, write) ==
  /\ fix = NoFix
  /\ job = NoJob
  /\ right \in Readable
  /\ write = (right = "write")

(* The event can be taken as things are; else what is due comes first. *)
Ready(e) ==
  CASE e.act \in LeafActs -> Quiet
    [] e.act \in Idling -> due = <<>> /\ Quiet
    [] e.act = "Take" -> TRUE
    [] e.act = "Give" -> job.step = "read"
    [] e.act = "Fill" -> job.step = "fill"
    [] e.act \in {"Copy", "ZeroPage"} -> job.step = "fill" \/ ~Done(e)
    [] e.act = "Continue" ->
         Busy(e) \/ Fix(e.process, "continue") \/ Fix(e.process, "wake") \/ CanServe(e.process, e.write)
    [] e.act = "Unprotect" ->
         \/ Fix(e.process, "unprotect")
         \/ Fix(e.process, "continue")
         \/ pte[e.process] # "protected"
         \/ CanServe(e.process, TRUE)
    [] e.act = "Wake" -> Fix(e.process, "wake") \/ Fix(e.process, "unprotect") \/ (fix = NoFix /\ job = NoJob)
    [] e.act = "Protect" -> job.step = "protect" \/ e.process \notin attached
    [] e.act = "SendData" -> job.step \in {"read", "send"}
    [] e.act = "Punch" -> job.step = "punch"
    [] e.act = "SendAck" -> job.step = "ack"

(* The entry was dropped, or the process is gone: the answer shows it. *)
Vanished(e) ==
  \/ e.act \in OfMapping /\ Gone(e) /\ e.process \in attached
  \/ e.act = "Continue" /\ Done(e) /\ Fix(e.process, "continue") /\ pte[e.process] # "absent"

Vanish(e) ==
  /\ IF Gone(e) THEN Exit(e.process) ELSE DropEntry(e.process)
  /\ Hold
  /\ UNCHANGED auxiliary

TakeContinue(e) ==
  LET p == e.process
  IN  IF Busy(e) THEN Consume /\ UNCHANGED <<vars, auxiliary>>
      ELSE IF fix = NoFix THEN ServeOnce(p) /\ Hold /\ UNCHANGED auxiliary
      ELSE /\ Done(e) \/ Exists(e) \/ Gone(e)
           /\ e.write = (right = "write") \/ Gone(e)
           /\ Exists(e) => pte[p] # "absent"
           \* At "wake", one un-protection of many pages came before.
           /\ IF fix.step = "wake" THEN UNCHANGED vars ELSE Continue(p)
           /\ Done(e) => pte'[p] # "absent"
           /\ waking' = IF Exists(e) THEN Nobody ELSE p
           /\ Consume
           /\ UNCHANGED <<due, came, granted, local>>

TakeUnprotect(e) ==
  LET p == e.process
  IN  IF Fix(p, "unprotect")
      THEN /\ Unprotect(p)
           /\ Done(e) \/ Gone(e)
           /\ waking' = IF Done(e) THEN Nobody ELSE p
           /\ Consume
           /\ UNCHANGED <<due, came, granted, local>>
      ELSE /\ IF Fix(p, "continue") THEN Continue(p) /\ Hold
              ELSE IF pte[p] = "protected" THEN ServeOnce(p) /\ Hold
              ELSE Consume /\ UNCHANGED vars
           /\ UNCHANGED auxiliary

TakeWake(e) ==
  LET p == e.process
  IN  /\ CASE Fix(p, "wake") -> Wake(p) /\ Consume
           [] Fix(p, "unprotect") -> pte[p] = "writable" /\ Unprotect(p) /\ Hold
           [] OTHER -> Again(p) /\ Hold
      /\ UNCHANGED auxiliary

TakeProtect(e) ==
  /\ IF e.process \in job.left
     THEN Protect(e.process)
     ELSE e.process \notin attached /\ UNCHANGED vars
  /\ Done(e) \/ Gone(e)
  /\ Consume
  /\ UNCHANGED auxiliary

TakeSend ==
  /\ IF job.step = "read"
     THEN cache = Content /\ ReadContent /\ Hold
     ELSE SendData /\ Consume
  /\ UNCHANGED auxiliary

(* Events that are one step of Frame, or none. *)
TakePlain(e) ==
  /\ CASE e.act \in {"TakeFault", "Expect"} -> Expect(e.process, IF e.write THEN "write" ELSE "read")
       [] e.act = "Attach" -> Attach(e.process)
       [] e.act = "Exit" -> IF e.process \in attached THEN Exit(e.process) ELSE UNCHANGED vars
       [] e.act = "Give" -> cache = Content /\ UNCHANGED vars
       [] e.act = "Fill" -> Done(e) /\ job.value = Content /\ FillBegin
       [] e.act = "Punch" -> Done(e) /\ Punch
       [] e.act = "SendAck" -> SendAck
       [] e.act \in {"Take", "End"} \cup LeafActs -> UNCHANGED vars
  /\ due' = IF e.act \in LeafActs THEN Append(due, e) ELSE due
  /\ came' = IF e.act = "Take" THEN Content ELSE came
  /\ Consume
  /\ UNCHANGED <<granted, local, waking>>

(* The page goes in, and into one mapping; if that is refused it goes in
   another way. *)
TakeCopy(e) ==
  /\ IF Done(e)
     THEN /\ IF e.act = "Copy"
             THEN job.value = Content /\ e.write = (job.to = "write") /\ Copy(e.process)
             ELSE ZeroPage(e.process)
          /\ waking' = e.process
     ELSE (Gone(e) \/ Busy(e)) /\ UNCHANGED <<vars, waking>>
  /\ Consume
  /\ UNCHANGED <<due, came, granted, local>>

Take(e) ==
  IF Vanished(e) THEN Vanish(e)
  ELSE CASE e.act = "Continue" -> TakeContinue(e)
         [] e.act = "Unprotect" -> TakeUnprotect(e)
         [] e.act = "Wake" -> TakeWake(e)
         [] e.act = "Protect" -> TakeProtect(e)
         [] e.act = "SendData" -> TakeSend
         [] e.act \in {"Copy", "ZeroPage"} -> TakeCopy(e)
         [] OTHER -> TakePlain(e)

-----------------------------------------------------------------------------

TraceInit ==
  /\ Init
  /\ object \in DOMAIN Trace
  /\ next = 1
  /\ due = <<>>
  /\ came = NoContent
  /\ granted = FALSE
  /\ local = FALSE
  /\ waking = Nobody

TakeOrFollow(e) ==
  IF Ready(e) THEN Take(e)
  ELSE /\ IF Early(e)
          THEN RecvGrantData(asked, came) /\ granted' = FALSE /\ UNCHANGED <<due, came, local, waking>>
          ELSE FollowDue
       /\ Hold

TraceNext ==
  IF ~Going THEN UNCHANGED traceVars
  ELSE IF Stored THEN SilentStore /\ Hold
  ELSE IF waking # Nobody THEN SilentWake /\ Hold
  ELSE IF Thinking THEN SilentThought /\ Hold
  ELSE TakeOrFollow(Event)

-----------------------------------------------------------------------------
(* Why an event is no step: what does not hold is printed, behind the      *)
(* object and the number of the event.                                     *)

JobGuards(e) ==
  CASE e.act = "Give"     -> << <<"job.step = \"read\"", job.step = "read">>,
                                <<"the content is what was stored: cache = content", cache = Content>> >>
    [] e.act = "Protect"  -> << <<"job.step = \"protect\"", job.step = "protect">>,
                                <<"p \\in job.left", e.process \in job.left>> >>
    [] e.act = "SendData" -> << <<"job.step = \"read\"", job.step = "read">>,
                                <<"the content is what was stored: cache = content", cache = Content>> >>
    [] e.act = "Punch"    -> << <<"job.step = \"punch\"", job.step = "punch">> >>
    [] e.act = "SendAck"  -> << <<"job.step = \"ack\"", job.step = "ack">> >>
    [] OTHER -> << <<"job.step = \"fill\"", job.step = "fill">>,
                   <<"what goes in is what came: job.value = content", job.value = Content>>,
                   <<"stores are let through if the grant is to write",
                     e.act = "Copy" => e.write = (job.to = "write")>> >>

FixGuards(e) ==
  LET p == e.process
  IN  << <<"job = NoJob", job = NoJob>>,
         <<"fix is of this process, or there is none", fix.process \in {p, "none"}>>,
         <<"right \\in Readable", right \in Readable>>,
         <<"stores are let through if and only if right = \"write\"", e.act = "Continue" => e.write = (right = "write")>>,
         <<"cache # Hole", cache # Hole>>,
         <<"the answer fits pte[p]", Exists(e) => pte[p] # "absent">> >>

QuietGuards ==
  << <<"fix = NoFix", fix = NoFix>>,
     <<"job = NoJob", job = NoJob>> >>

Guards(e) ==
  CASE e.act \in LeafActs \cup Idling -> QuietGuards
    [] e.act \in {"Continue", "Unprotect", "Wake"} -> FixGuards(e)
    [] OTHER -> JobGuards(e)

Say(text) == PrintT(ToString(object) \o "." \o ToString(next) \o " " \o text)

Explain ==
  /\ LET g == Guards(Event)
     IN  \A i \in 1..Len(g) : IF g[i][2] THEN TRUE ELSE Say("guard: " \o g[i][1])
  /\ IF due = <<>> THEN TRUE ELSE Say("part: the frame cannot follow the leaf's " \o Head(due).act \o " yet")

\* TraceNext for who judges: where nothing is a step, it prints why.  Register 1 is
\* the worker's own.
JudgeNext ==
  /\ TLCSet(1, FALSE)
  /\ \/ TraceNext /\ TLCSet(1, TRUE)
     \/ ~TLCGet(1) /\ Explain /\ FALSE
=============================================================================
