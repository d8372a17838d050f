------------------------------- MODULE Names -------------------------------
(***************************************************************************)
(* The name of a segment.  One place, the configuration store, decides     *)
(* which segment has the name: a generation, or none.  Each node has a     *)
(* view, which is what the name has been at some moment: views lag, and    *)
(* may skip.  Programs open, create, remove and map through their nodes.   *)
(* Names are independent: this is the protocol of one.                     *)
(*                                                                         *)
(* A segment may be temporary: it ends with the program that has made it.  *)
(*                                                                         *)
(* The code is impl/coord (Config.Sync, change, Create, Remove, Disown)    *)
(* and impl/node (attach_segments.go, temporary.go); segment.go of package *)
(* mome has OpenOrCreate.                                                  *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Nodes,
    Programs,
    NodeOf       \* NodeOf[p]: the node of a program

Nobody == "nobody"
Free   == [gen |-> 0, owner |-> Nobody]

VARIABLES
    past,   \* what the name has been: the last one is what the store has now
    view,   \* view[n]: up to where in the past node n has heard
    call,   \* call[p]: the request of p, or its answer
    dead,   \* programs that have ended
    over    \* those of them whose temporary segments their node has taken away

vars == <<past, view, call, dead, over>>

Rev     == Len(past)
Now     == past[Rev]
Newest  == LET gens == {past[i].gen : i \in 1..Rev}
           IN  CHOOSE g \in gens : \A h \in gens : h <= g
Fresh   == Newest + 1

\* A call: where the past was when it began and when it was answered, up to where
\* its node must have heard, what it is about, and what it was told.
Done == [kind |-> "None", step |-> "done", from |-> 1, to |-> 1, asked |-> 0,
         temp |-> FALSE, ref |-> 0, gen |-> 0, made |-> FALSE]

Init ==
    /\ past = <<Free>>
    /\ view = [n \in Nodes |-> 1]
    /\ call = [p \in Programs |-> Done]
    /\ dead = {}
    /\ over = {}

Seen(p)   == past[view[NodeOf[p]]]
\* The view of p's node has all that was decided before p's node has asked.
Heard(p)  == view[NodeOf[p]] >= call[p].asked
\* A transaction commits, and a refusal counts, only on the newest view.
Latest(p) == view[NodeOf[p]] = Rev
At(p, kinds, step) == call[p].kind \in kinds /\ call[p].step = step

\* p's call is answered, at the end of that past.
Answer(p, end, gen, made) ==
    call' = [call EXCEPT ![p].step = "done", ![p].to = end, ![p].gen = gen, ![p].made = made]
Step(p, step) == call' = [call EXCEPT ![p].step = step, ![p].asked = 0]

Decide(p, is) == past' = Append(past, is)

(***************************************************************************)
(* Programs                                                                *)
(***************************************************************************)
Call(p, kind, temp) ==
    /\ p \notin dead
    /\ call[p].step = "done"
    /\ kind = "Map" => call[p].gen # 0        \* what it has opened or made
    /\ call' = [call EXCEPT ![p] =
                  [Done EXCEPT !.kind = kind, !.from = Rev, !.to = Rev, !.temp = temp,
                               !.ref = IF kind = "Map" THEN call[p].gen ELSE 0,
                               !.step = IF kind = "Create" THEN "create" ELSE "called"]]
    /\ UNCHANGED <<past, view, dead, over>>

Die(p) ==
    /\ p \notin dead
    /\ dead' = dead \cup {p}
    /\ UNCHANGED <<past, view, call, over>>

(***************************************************************************)
(* Nodes                                                                   *)
(***************************************************************************)
\* A watch brings what was decided, in order; views in between may be skipped.
Hear(n, to) ==
    /\ to \in (view[n] + 1)..Rev
    /\ view' = [view EXCEPT ![n] = to]
    /\ UNCHANGED <<past, call, dead, over>>

\* The node asks the store where it is (Sync).
Ask(p) ==
    /\ At(p, {"Open", "OpenOrCreate", "Map"}, "called")
    /\ call' = [call EXCEPT ![p].step = "asked", ![p].asked = Rev]
    /\ UNCHANGED <<past, view, dead, over>>

AnswerOpen(p) ==
    /\ At(p, {"Open", "OpenOrCreate"}, "asked")
    /\ Heard(p)
    /\ IF call[p].kind = "OpenOrCreate" /\ Seen(p).gen = 0
       THEN Step(p, "create")
       ELSE Answer(p, Rev, Seen(p).gen, FALSE)
    /\ UNCHANGED <<past, view, dead, over>>

AnswerMap(p) ==
    /\ At(p, {"Map"}, "asked")
    /\ Heard(p)
    /\ Answer(p, Rev, IF Seen(p).gen = call[p].ref THEN call[p].ref ELSE 0, FALSE)
    /\ UNCHANGED <<past, view, dead, over>>

Create(p) ==
    /\ At(p, {"Create", "OpenOrCreate"}, "create")
    /\ Latest(p)
    /\ IF Seen(p).gen = 0
       THEN /\ Decide(p, [gen |-> Fresh, owner |-> IF call[p].temp THEN p ELSE Nobody])
            /\ Answer(p, Rev + 1, Fresh, TRUE)
       ELSE /\ IF call[p].kind = "Create"
               THEN Answer(p, Rev, 0, FALSE)
               ELSE Step(p, "called")        \* somebody was faster: once more
            /\ UNCHANGED past
    /\ UNCHANGED <<view, dead, over>>

Remove(p) ==
    /\ At(p, {"Remove"}, "called")
    /\ Latest(p)
    /\ IF Seen(p).gen # 0
       THEN /\ Decide(p, Free)
            /\ Answer(p, Rev + 1, 0, TRUE)
       ELSE /\ Answer(p, Rev, 0, FALSE)
            /\ UNCHANGED past
    /\ UNCHANGED <<view, dead, over>>

\* The node of a program that has ended takes its temporary segment away, once it
\* knows what has become of its requests.
Disown(p) ==
    /\ p \in dead \ over
    /\ call[p].step = "done"
    /\ Latest(p)
    /\ IF Seen(p).owner = p
       THEN Decide(p, Free)
       ELSE UNCHANGED past
    /\ over' = over \cup {p}
    /\ UNCHANGED <<view, call, dead>>

NodeNext(p) ==
    \/ Ask(p) \/ AnswerOpen(p) \/ AnswerMap(p) \/ Create(p) \/ Remove(p) \/ Disown(p)

Kinds == {"Open", "Create", "OpenOrCreate", "Remove", "Map"}

Next ==
    \/ \E p \in Programs, kind \in Kinds, temp \in BOOLEAN :
          (temp => kind \in {"Create", "OpenOrCreate"}) /\ Call(p, kind, temp)
    \/ \E p \in Programs : Die(p) \/ NodeNext(p)
    \/ \E n \in Nodes : \E to \in 1..Rev : Hear(n, to)

Spec == Init /\ [][Next]_vars

\* Nodes go on, and hear in the end.  Nothing is asked of programs.
Fairness ==
    /\ \A p \in Programs : WF_vars(NodeNext(p))
    /\ \A n \in Nodes : WF_vars(\E to \in 1..Rev : Hear(n, to))
=============================================================================
