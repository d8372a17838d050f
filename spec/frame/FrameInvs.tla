----------------------------- MODULE FrameInvs -----------------------------
(***************************************************************************)
(* What holds of a frame.                                                  *)
(***************************************************************************)
EXTENDS Frame

(* Every variable is of its type. *)
TypeInv ==
  /\ cache \in Value \cup {Hole, Torn}
  /\ pte \in [Process -> {"absent", "protected", "writable", "poisoned"}]
  /\ attached \subseteq Process
  /\ \A t \in Thread : thread[t] \in [op : Op \cup {"none"}, at : {"run", "asleep", "taken"}]
  /\ right \in {"none", "read", "owned", "write", "lost"}
  /\ want \in [Process -> {"none", "read", "write"}]
  /\ asked \in {"none", "read", "write"}
  /\ job.kind \in {"none", "install", "recall", "evict"}
  /\ job.step \in {"none", "fill", "filling", "protect", "read", "send", "punch", "ack"}
  /\ fix.step \in {"none", "continue", "unprotect", "poison", "wake"}
  /\ sent \in Value \cup {NoContent}
  /\ loaded \in Value \cup {NoContent, Torn}

(* Nobody can store without the right to. *)
WriterInv == \A p \in Process : pte[p] = "writable" => right = "write"

(* Nobody can load without the right to, nor anything but a whole page. *)
ReaderInv ==
  \A p \in Process :
    pte[p] \in {"protected", "writable"} => right \in Readable /\ cache \in Value

(* With a right there is a page. *)
ContentInv == right \in Readable => cache \in Value

(* Without a right there is none, but for one that is coming in: nothing old
   comes back, and no stray page of zeros. *)
HoleInv == right \notin Readable /\ job.kind # "install" => cache = Hole

(* What is about to be sent is the last store, and no store can follow it. *)
StableInv ==
  job.step = "send" =>
    /\ job.value = cache
    /\ \A p \in Process : pte[p] # "writable"

(* What is acknowledged is done: nobody can store, and without a right to
   keep nobody can load. *)
AckInv ==
  job.step = "ack" =>
    /\ ~job.send \/ right \notin Readable
    /\ Rank[right] <= Rank[job.keep]
    /\ \A p \in Process :
         /\ pte[p] # "writable"
         /\ pte[p] = "protected" => job.keep # "none"

(* Only a lost page is poisoned. *)
PoisonInv == \A p \in Process : pte[p] = "poisoned" => right = "lost"

(* What the leaf asks for is more than it has (its parent takes a request for
   read to say that there is no copy here), and can be had. *)
AskedInv == asked # "none" => right # "lost" /\ ~Covers(right, asked)

(* A thread whose event was read is waited for: its process wants something, or
   is about to be woken. *)
NoLostFaultInv ==
  \A t \in Thread :
    thread[t].at = "taken" => want[Owner(t)] # "none" \/ fix.process = Owner(t)

(* A continue never meets a hole. *)
NoEmptyContinueInv == fix.step = "continue" => cache \in Value

(* What goes in is what came; or nothing does, and it is recalled. *)
InstalledProp ==
  [][job.kind = "install" /\ job'.kind # "install" =>
       \/ cache' = job.value
       \/ job'.kind = "recall" /\ cache' = Hole]_<<job, cache>>

(* A recall ends with its acknowledgement, and with nothing else. *)
AckedProp ==
  [][job.kind = "recall" => job'.kind = "recall" \/ (job.step = "ack" /\ job' = NoJob)]_job

(* A lost page stays lost. *)
LostForeverProp == [][right = "lost" => right' = "lost"]_right

(* Every fault is answered: a thread does not sleep for ever. *)
FaultServedProp == \A t \in Thread : thread[t].at # "run" ~> thread[t].at = "run"

(* Every access comes to its end, through all its faults. *)
AccessEndsProp == \A t \in Thread : thread[t].op # "none" ~> thread[t].op = "none"

(* Every recall is acknowledged. *)
RecallServedProp == job.kind = "recall" ~> job.kind # "recall"

-----------------------------------------------------------------------------
(* The frame refines the leaf's atomic one. *)

Atomic == INSTANCE AtomicFrame WITH
  content <- IF right \in Readable THEN cache ELSE NoContent,
  recall <- IF job.kind = "recall"
            THEN [keep |-> job.keep, send |-> job.send]
            ELSE [keep |-> "all", send |-> FALSE]

RefinesAtomicProp == Atomic!Spec
=============================================================================
