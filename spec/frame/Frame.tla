------------------------------- MODULE Frame -------------------------------
(***************************************************************************)
(* One page of one node, below the leaf: the page cache of the memfd, the  *)
(* page-table entries of the processes that map it, the faults they raise, *)
(* and the single steps with which the daemon makes the leaf's rights      *)
(* true.  impl/memory does these steps, impl/node orders them.             *)
(*                                                                         *)
(* The daemon works on a page under one lock: a job (install, recall,      *)
(* evict) and a fix (the answer to one process's fault) exclude each other.*)
(* The application and the kernel step in between at any time.             *)
(*                                                                         *)
(* What is not here, and why.  Write-protect markers of absent entries:    *)
(* with MINOR registered every absent entry faults, and CONTINUE sets the  *)
(* protection anew.  The kind of a fault event (missing, minor, protect):  *)
(* it may be out of date when it is read, so the daemon decides by its own *)
(* state alone.  The gap between the trap and the sleep of a thread: the   *)
(* kernel looks at the entry again before it puts the thread to sleep, so  *)
(* Fault is one step.                                                      *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
  Process,    \* the processes of the node
  Thread,     \* their threads
  Owner(_),   \* the process of a thread
  Late,       \* the processes that attach and exit while the node runs
  Reclaimed,  \* the processes whose entries the kernel may drop
  Ahead,      \* the processes that the daemon may serve ahead of a fault, with
              \* less than they ask for, or not at all
  Op,         \* the accesses that threads make: read, write, call
  Value,      \* contents of a page
  Zero,       \* the content of a page that was never written
  Hole,       \* the page cache holds nothing
  Torn,       \* the page cache holds a part of a page
  NoContent   \* no content was sent or loaded yet

VARIABLES
  (* The kernel. *)
  cache,      \* the page cache of the memfd: Hole, Torn or a value
  pte,        \* per process: absent, protected, writable or poisoned
  attached,   \* the processes whose userfaultfd the daemon holds
  thread,     \* per thread: [op, at]; at is run, asleep (its event is
              \* unread) or taken (its event was read)
  (* The daemon. *)
  right,      \* the leaf's right: none, read, owned, write, or lost
  want,       \* per process: what its faults ask for: none, read or write
  asked,      \* what the leaf asked its parent for: none, read or write
  job,        \* the change of right that holds the page's lock
  fix,        \* the answer to a fault that holds the page's lock
  sent        \* the content that was sent last

(* Ghost variable: what the refinement observes; no guard reads it. *)
VARIABLE
  loaded      \* the content that a load returned last

kernel == <<cache, pte, attached, thread>>
vars == <<cache, pte, attached, thread, right, want, asked, job, fix, sent, loaded>>

-----------------------------------------------------------------------------

Rank == [none |-> 0, lost |-> 0, read |-> 1, owned |-> 2, write |-> 3]
Readable == {"read", "owned", "write"}
Lower(r, keep) == IF Rank[r] <= Rank[keep] THEN r ELSE keep

(* read(2) into the page is a store by the kernel. *)
Need(op) == IF op = "read" THEN "read" ELSE "write"
Stronger(a, b) == IF Rank[a] >= Rank[b] THEN a ELSE b

(* The right suffices for what is wanted; owned does not suffice for write. *)
Covers(r, w) == Rank[r] >= Rank[w]

Idle == [op |-> "none", at |-> "run"]
NoJob == [kind |-> "none", step |-> "none", to |-> "none", keep |-> "none",
          send |-> FALSE, value |-> NoContent, left |-> {}]
NoFix == [process |-> "none", step |-> "none"]

Init ==
  /\ cache = Hole
  /\ pte = [p \in Process |-> "absent"]
  /\ attached = Process \ Late
  /\ thread = [t \in Thread |-> Idle]
  /\ right = "none"
  /\ want = [p \in Process |-> "none"]
  /\ asked = "none"
  /\ job = NoJob
  /\ fix = NoFix
  /\ sent = NoContent
  /\ loaded = NoContent

(* The rights that a recall may leave. *)
Keeps == {"none", "read", "owned"}

(* What an observer outside notes down; a model may let him sleep. *)
Noted(v) == v

-----------------------------------------------------------------------------
(* The application. *)

(* A thread begins an access and will not do anything else before it. *)
Access(t, op) ==
  /\ Owner(t) \in attached
  /\ thread[t] = Idle
  /\ thread' = [thread EXCEPT ![t] = [op |-> op, at |-> "run"]]
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, fix, sent, loaded>>

(* The page-table entry lets the access through. *)
Permits(p, op) ==
  \/ pte[p] = "writable"
  \/ pte[p] = "protected" /\ Need(op) = "read"

Load(t) ==
  /\ thread[t].op = "read"
  /\ thread[t].at = "run"
  /\ Permits(Owner(t), "read")
  /\ loaded' = Noted(cache)
  /\ thread' = [thread EXCEPT ![t] = Idle]
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, fix, sent>>

Store(t, v) ==
  /\ thread[t].op \in {"write", "call"}
  /\ thread[t].at = "run"
  /\ Permits(Owner(t), "write")
  /\ cache' = v
  /\ thread' = [thread EXCEPT ![t] = Idle]
  /\ UNCHANGED <<pte, attached, right, want, asked, job, fix, sent, loaded>>

(* A poisoned entry: the access ends with SIGBUS (or read(2) with EFAULT). *)
Bus(t) ==
  /\ thread[t].op # "none"
  /\ thread[t].at = "run"
  /\ pte[Owner(t)] = "poisoned"
  /\ thread' = [thread EXCEPT ![t] = Idle]
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, fix, sent, loaded>>

(* The entry does not let the access through: the thread raises an event and
   sleeps until it is woken. *)
Fault(t) ==
  /\ thread[t].op # "none"
  /\ thread[t].at = "run"
  /\ pte[Owner(t)] # "poisoned"
  /\ ~Permits(Owner(t), thread[t].op)
  /\ thread' = [thread EXCEPT ![t].at = "asleep"]
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, fix, sent, loaded>>

(* A signal (garbage collection) ends the sleep; an unread event vanishes, a
   read one is out of date.  A thread in a system call is not interrupted. *)
Interrupt(t) ==
  /\ thread[t].at # "run"
  /\ thread[t].op # "call"
  /\ thread' = [thread EXCEPT ![t].at = "run"]
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, fix, sent, loaded>>

(* A process maps the memfd, registers MISSING|MINOR|WP, and only then hands
   its userfaultfd over and touches the memory. *)
Attach(p) ==
  /\ p \in Late \ attached
  /\ attached' = attached \cup {p}
  /\ pte' = [pte EXCEPT ![p] = "absent"]
  /\ UNCHANGED <<cache, thread, right, want, asked, job, fix, sent, loaded>>

(* A process goes; what the daemon knows of it is out of date. *)
Exit(p) ==
  /\ p \in Late \cap attached
  /\ attached' = attached \ {p}
  /\ pte' = [pte EXCEPT ![p] = "absent"]
  /\ thread' = [t \in Thread |-> IF Owner(t) = p THEN Idle ELSE thread[t]]
  /\ UNCHANGED <<cache, right, want, asked, job, fix, sent, loaded>>

(* The kernel drops an entry (reclaim, migration); the page stays. *)
DropEntry(p) ==
  /\ p \in Reclaimed
  /\ pte[p] \in {"protected", "writable"}
  /\ pte' = [pte EXCEPT ![p] = "absent"]
  /\ UNCHANGED <<cache, attached, thread, right, want, asked, job, fix, sent, loaded>>

-----------------------------------------------------------------------------
(* The daemon: faults. *)

(* The daemon reads an event, without any lock of the page, and notes the most
   that the process asks for. *)
TakeFault(t) ==
  /\ thread[t].at = "asleep"
  /\ thread' = [thread EXCEPT ![t].at = "taken"]
  /\ want' = [want EXCEPT ![Owner(t)] = Stronger(@, Need(thread[t].op))]
  /\ UNCHANGED <<cache, pte, attached, right, asked, job, fix, sent, loaded>>

(* The leaf asks its parent for what its right does not cover, nor will the one
   that is being installed.  (One request at a time is a matter of the leaf's
   protocol.) *)
Ask(w) ==
  /\ job.kind # "install"
  /\ asked = "none"
  /\ right # "lost"
  /\ ~Covers(right, w)
  /\ asked' = w
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, job, fix, sent, loaded>>

(* ... for a fault.  A stale one may ask for nobody; that does no harm. *)
Request(p) == want[p] # "none" /\ Ask(want[p])

(* Read-ahead: p is going to fault, and is served as if it had.  A fault that
   was answered with another one of its process, between the reading of its
   event and the handling of it, looks the same. *)
Expect(p, w) ==
  /\ p \in Ahead
  /\ want' = [want EXCEPT ![p] = Stronger(@, w)]
  /\ UNCHANGED <<cache, pte, attached, thread, right, asked, job, fix, sent, loaded>>

(* Read-ahead: the leaf asks for a page that no process is to be given yet. *)
Fetch(w) == Ahead # {} /\ Ask(w)

(* A process is made to try again: it asked while the page was being written
   back, or its mapping was changing and took no page. *)
Again(p) ==
  /\ p \in Ahead
  /\ job = NoJob
  /\ fix = NoFix
  /\ want' = [want EXCEPT ![p] = "none"]
  /\ fix' = [process |-> p, step |-> "wake"]
  /\ UNCHANGED <<cache, pte, attached, thread, right, asked, job, sent, loaded>>

(* The right covers a fault (or never will): its entry in the table is
   cleared before anything that may wake the process.  A grant may serve all
   who wait, also those who want more than there is: they fault again. *)
Serve(p) ==
  /\ job = NoJob
  /\ fix = NoFix
  /\ want[p] # "none"
  /\ right = "lost" \/ Covers(right, want[p]) \/ (p \in Ahead /\ right \in Readable)
  /\ want' = [want EXCEPT ![p] = "none"]
  /\ fix' = [process |-> p, step |-> IF right = "lost" THEN "poison" ELSE "continue"]
  /\ UNCHANGED <<cache, pte, attached, thread, right, asked, job, sent, loaded>>

(* UFFDIO_CONTINUE on one mapping.  EEXIST (the entry is there): a writer may
   still be protected.  EFAULT (a hole) and ESRCH (the process is gone) change
   nothing. *)
Continue(p) ==
  /\ fix = [process |-> p, step |-> "continue"]
  /\ IF pte[p] = "absent"
     THEN /\ pte' = IF p \in attached /\ cache # Hole
                    THEN [pte EXCEPT ![p] = IF right = "write" THEN "writable" ELSE "protected"]
                    ELSE pte
          /\ fix' = [fix EXCEPT !.step = "wake"]
     ELSE /\ fix' = [fix EXCEPT !.step = IF right = "write" THEN "unprotect" ELSE "wake"]
          /\ UNCHANGED pte
  /\ UNCHANGED <<cache, attached, thread, right, want, asked, job, sent, loaded>>

(* UFFDIO_WRITEPROTECT, mode 0. *)
Unprotect(p) ==
  /\ fix = [process |-> p, step |-> "unprotect"]
  /\ pte' = IF pte[p] = "protected" THEN [pte EXCEPT ![p] = "writable"] ELSE pte
  /\ fix' = [fix EXCEPT !.step = "wake"]
  /\ UNCHANGED <<cache, attached, thread, right, want, asked, job, sent, loaded>>

(* UFFDIO_POISON on one mapping. *)
Poison(p) ==
  /\ fix = [process |-> p, step |-> "poison"]
  /\ pte' = IF p \in attached /\ pte[p] = "absent" THEN [pte EXCEPT ![p] = "poisoned"] ELSE pte
  /\ fix' = [fix EXCEPT !.step = "wake"]
  /\ UNCHANGED <<cache, attached, thread, right, want, asked, job, sent, loaded>>

(* UFFDIO_WAKE: every thread of the process that sleeps on the page, whether
   its event was read or not. *)
Wake(p) ==
  /\ fix = [process |-> p, step |-> "wake"]
  /\ thread' = [t \in Thread |-> IF Owner(t) = p THEN [thread[t] EXCEPT !.at = "run"] ELSE thread[t]]
  /\ fix' = NoFix
  /\ UNCHANGED <<cache, pte, attached, right, want, asked, job, sent, loaded>>

-----------------------------------------------------------------------------
(* The daemon: a right arrives. *)

(* Grant with data or zero: the frame is a hole, and the page goes in. *)
RecvGrantData(to, v) ==
  /\ job = NoJob
  /\ asked = to
  /\ right = "none"
  /\ asked' = "none"
  /\ job' = [NoJob EXCEPT !.kind = "install", !.step = "fill", !.to = to, !.value = v]
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, fix, sent, loaded>>

(* A grant of write with have, or with data that is not needed: the copy here
   is current already, and is not touched. *)
RecvGrantHave ==
  /\ job = NoJob
  /\ asked = "write"
  /\ right \in Readable
  /\ asked' = "none"
  /\ right' = "write"
  /\ UNCHANGED <<cache, pte, attached, thread, want, job, fix, sent, loaded>>

(* The page is lost.  Nothing is here that this could disturb, but a punch, which
   comes first. *)
RecvGrantLost ==
  /\ job.step # "punch"
  /\ asked # "none"
  /\ right = "none"
  /\ asked' = "none"
  /\ right' = "lost"
  /\ UNCHANGED <<cache, pte, attached, thread, want, job, fix, sent, loaded>>

(* The page goes in through the daemon's own mapping, in many stores. *)
FillBegin ==
  /\ job.step = "fill"
  /\ cache' = Torn
  /\ job' = [job EXCEPT !.step = "filling"]
  /\ UNCHANGED <<pte, attached, thread, right, want, asked, fix, sent, loaded>>

FillEnd ==
  /\ job.step = "filling"
  /\ cache' = job.value
  /\ right' = job.to
  /\ job' = NoJob
  /\ UNCHANGED <<pte, attached, thread, want, asked, fix, sent, loaded>>

(* UFFDIO_COPY: the page goes in and into one mapping at once.  It needs a hole
   (else EEXIST, and Fill is the way); there is one here. *)
Copy(p) ==
  /\ job.step = "fill"
  /\ p \in attached
  /\ cache' = job.value
  /\ pte' = [pte EXCEPT ![p] = IF job.to = "write" THEN "writable" ELSE "protected"]
  /\ right' = job.to
  /\ job' = NoJob
  /\ UNCHANGED <<attached, thread, want, asked, fix, sent, loaded>>

(* UFFDIO_ZEROPAGE: it has no mode to protect, so only for write. *)
ZeroPage(p) ==
  /\ job.step = "fill"
  /\ p \in attached
  /\ job.value = Zero
  /\ job.to = "write"
  /\ cache' = Zero
  /\ pte' = [pte EXCEPT ![p] = "writable"]
  /\ right' = job.to
  /\ job' = NoJob
  /\ UNCHANGED <<attached, thread, want, asked, fix, sent, loaded>>

-----------------------------------------------------------------------------
(* The daemon: a right goes. *)

(* A recall.  What was stored is never dropped unsent; what is to be kept is
   recalled only to be sent. *)
RecvRecall(keep, send) ==
  /\ job = NoJob
  /\ fix = NoFix
  /\ right = "write" \/ keep # "none" => send
  /\ job' = [NoJob EXCEPT
       !.kind = "recall",
       !.keep = keep,
       !.send = send,
       !.step = CASE right \notin Readable -> "ack"
                  [] right = "write" -> "protect"
                  [] right # "write" /\ send -> "read"
                  [] OTHER -> "punch",
       !.left = IF right = "write" THEN attached ELSE {}]
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, asked, fix, sent, loaded>>

(* A recall comes with the grant, before the page has gone in.  Nobody was let in
   and nobody is to be, so it does not go in any more.  What may be stored to is
   not recalled unsent, as above. *)
RecvRecallUnfilled ==
  /\ job.step = "fill"
  /\ job.to = "read"
  /\ fix = NoFix
  /\ job' = [NoJob EXCEPT !.kind = "recall", !.keep = "none", !.step = "punch"]
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, asked, fix, sent, loaded>>

(* A clean copy goes in silence.  (That the leaf pins it during its own upgrade
   is a matter of its protocol, not of the frame.) *)
Evict ==
  /\ job = NoJob
  /\ fix = NoFix
  /\ right = "read"
  /\ job' = [NoJob EXCEPT !.kind = "evict", !.step = "punch"]
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, asked, fix, sent, loaded>>

(* UFFDIO_WRITEPROTECT on one mapping. *)
Protect(p) ==
  /\ job.step = "protect"
  /\ p \in job.left
  /\ pte' = IF pte[p] = "writable" THEN [pte EXCEPT ![p] = "protected"] ELSE pte
  /\ job' = [job EXCEPT !.left = @ \ {p}]
  /\ UNCHANGED <<cache, attached, thread, right, want, asked, fix, sent, loaded>>

(* Every mapping that was there is protected. *)
ProtectEnd ==
  /\ job.step = "protect"
  /\ job.left = {}
  /\ job' = [job EXCEPT !.step = "read"]
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, asked, fix, sent, loaded>>

(* The daemon reads through its own mapping, which is not registered: on a
   hole it would find, and leave behind, a page of zeros. *)
ReadContent ==
  /\ job.step = "read"
  /\ cache' = IF cache = Hole THEN Zero ELSE cache
  /\ job' = [job EXCEPT !.step = "send", !.value = cache']
  /\ UNCHANGED <<pte, attached, thread, right, want, asked, fix, sent, loaded>>

(* Data leaves, and with it the right to store. *)
SendData ==
  /\ job.step = "send"
  /\ sent' = Noted(job.value)
  /\ right' = Lower(right, IF job.keep = "read" THEN "read" ELSE "owned")
  /\ job' = [job EXCEPT !.send = FALSE, !.value = NoContent,
                        !.step = IF job.keep = "none" THEN "punch" ELSE "ack"]
  /\ UNCHANGED <<cache, pte, attached, thread, want, asked, fix, loaded>>

(* fallocate(PUNCH_HOLE): frees the page and takes it out of every mapping. *)
Punch ==
  /\ job.step = "punch"
  /\ cache' = Hole
  /\ pte' = [p \in Process |-> IF pte[p] = "poisoned" THEN "poisoned" ELSE "absent"]
  /\ right' = "none"
  /\ job' = IF job.kind = "evict" THEN NoJob ELSE [job EXCEPT !.step = "ack"]
  /\ UNCHANGED <<attached, thread, want, asked, fix, sent, loaded>>

SendAck ==
  /\ job.step = "ack"
  /\ job' = NoJob
  /\ UNCHANGED <<cache, pte, attached, thread, right, want, asked, fix, sent, loaded>>

-----------------------------------------------------------------------------

Application ==
  \/ \E t \in Thread :
       \/ \E op \in Op : Access(t, op)
       \/ Load(t)
       \/ \E v \in Value : Store(t, v)
       \/ Bus(t)
       \/ Fault(t)
       \/ Interrupt(t)
  \/ \E p \in Process : Attach(p) \/ Exit(p) \/ DropEntry(p)

Daemon ==
  \/ \E t \in Thread : TakeFault(t)
  \/ \E p \in Process :
       \/ Request(p)
       \/ \E w \in {"read", "write"} : Expect(p, w)
       \/ Again(p)
       \/ Serve(p)
       \/ Continue(p)
       \/ Unprotect(p)
       \/ Poison(p)
       \/ Wake(p)
       \/ Copy(p)
       \/ ZeroPage(p)
       \/ Protect(p)
  \/ \E w \in {"read", "write"} : Fetch(w)
  \/ FillBegin
  \/ FillEnd
  \/ ProtectEnd
  \/ ReadContent
  \/ SendData
  \/ Punch
  \/ SendAck
  \/ Evict

Parent ==
  \/ \E to \in {"read", "write"}, v \in Value : RecvGrantData(to, v)
  \/ RecvGrantHave
  \/ RecvGrantLost
  \/ \E keep \in Keeps, send \in BOOLEAN : RecvRecall(keep, send)
  \/ RecvRecallUnfilled

Next == Application \/ Daemon \/ Parent

(* A job and a fix run to their end once begun; the parent answers every
   request.  A page goes in, a thread gets its access, and a fault its answer, if
   that is possible again and again: a page stays a short time with who was
   granted it (Config.Residence of impl/node). *)
JobStep ==
  \/ FillBegin
  \/ FillEnd
  \/ \E p \in Process : Protect(p)
  \/ ProtectEnd
  \/ ReadContent
  \/ SendData
  \/ Punch
  \/ SendAck

FixStep(p) == Continue(p) \/ Unprotect(p) \/ Poison(p) \/ Wake(p)

Answer ==
  \/ \E to \in {"read", "write"}, v \in Value : RecvGrantData(to, v)
  \/ RecvGrantHave
  \/ RecvGrantLost

GoIn == FillBegin \/ \E p \in Process : Copy(p) \/ ZeroPage(p)

Complete(t) == Load(t) \/ (\E v \in Value : Store(t, v)) \/ Bus(t)

Fairness ==
  /\ WF_vars(JobStep)
  /\ SF_vars(Answer)
  /\ SF_vars(GoIn)
  /\ \A p \in Process :
       /\ WF_vars(FixStep(p))
       /\ WF_vars(Request(p))
       /\ SF_vars(Serve(p))
  /\ \A t \in Thread :
       /\ WF_vars(Fault(t))
       /\ SF_vars(TakeFault(t))
       /\ SF_vars(Complete(t))

Spec == Init /\ [][Next]_vars
FairSpec == Spec /\ Fairness
=============================================================================
