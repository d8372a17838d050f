------------------------------ MODULE MCFrame ------------------------------
(***************************************************************************)
(* Sizes, and the states that must be reachable.                           *)
(***************************************************************************)
EXTENDS FrameInvs, TLC

CONSTANT Threads2   \* the process p1 has two threads

(* A thread is [process, number]. *)
MCThread == { <<p, 1>> : p \in Process } \cup { <<p, 2>> : p \in Threads2 }
MCOwner(t) == t[1]

(* No action reads what was sent or loaded; each step that sets them is
   checked as it is taken. *)
View == <<cache, pte, attached, thread, right, want, asked, job, fix>>

(* For liveness, where a view is not possible. *)
MCNoted(v) == NoContent

MCKeeps == {"none"}

Symmetry == Permutations(Process)

-----------------------------------------------------------------------------
(* Probes: each is violated, which shows that the state can be reached. *)

(* A process attaches in the middle of a downgrade and faults. *)
ReachAttachInRecall ==
  ~ /\ job.step = "protect"
    /\ \E t \in Thread :
         /\ thread[t].at = "taken"
         /\ Owner(t) \in attached
         /\ Owner(t) \notin job.left
         /\ Owner(t) \in Late
    /\ job.left # {}

(* A mapping is protected while another is still stored to. *)
ReachHalfProtected ==
  ~ /\ job.step = "protect"
    /\ \E p, q \in Process : p \notin job.left /\ pte[p] = "protected" /\ pte[q] = "writable"

(* A fault is answered that nobody waits for any more. *)
ReachStaleWant ==
  ~ /\ fix.step = "continue"
    /\ \A t \in Thread : Owner(t) = fix.process => thread[t] = Idle

(* A continue meets an entry that is there. *)
ReachEexist == ~ \E p \in Process : fix = [process |-> p, step |-> "continue"] /\ pte[p] = "protected"

(* A writer is un-protected. *)
ReachUnprotect == ~ \E p \in Process : fix = [process |-> p, step |-> "unprotect"] /\ pte[p] = "protected"

(* Two processes may store. *)
ReachTwoWriters == ~ \E p, q \in Process : p # q /\ pte[p] = "writable" /\ pte[q] = "writable"

(* A fix is under way for a process that is gone. *)
ReachGone == ~ (fix # NoFix /\ fix.process \notin attached)

(* A process faults while the page is going in. *)
ReachFaultInFill == ~ (job.step = "filling" /\ \E t \in Thread : thread[t].at = "taken")

(* A recall meets a frame without a page. *)
ReachMiss == ~ (job.step = "ack" /\ job.send)

(* A copy under a read right supplies a fetch. *)
ReachFetchClean == ~ (job.step = "send" /\ right = "read")

(* A poisoned entry. *)
ReachPoisoned == ~ \E p \in Process : pte[p] = "poisoned"

(* A thread is woken with less than it needs, and faults again. *)
ReachWokenInVain ==
  ~ \E t \in Thread :
      /\ thread[t].at = "run"
      /\ thread[t].op \in {"write", "call"}
      /\ pte[Owner(t)] = "protected"
      /\ fix # NoFix
=============================================================================
