---------------------------- MODULE AtomicFrame ----------------------------
(***************************************************************************)
(* The frame of one page at one leaf as the leaf's protocol sees it: a     *)
(* right and a content, changed in single steps.  Stores need write, loads *)
(* need read; what is sent is the last store, in the very step that gives  *)
(* the right to store up; and a recall is acknowledged only once the right *)
(* is gone.  Frame.tla refines it.                                         *)
(***************************************************************************)
EXTENDS Naturals

CONSTANTS
  Value,      \* contents of a page
  NoContent   \* what a frame without a right holds

VARIABLES
  right,      \* none, read, owned, write, or lost
  content,    \* the page, while there is a right
  recall,     \* the recall that is being answered, or NoRecall
  sent,       \* the content that was sent last
  loaded      \* the content that a load returned last

vars == <<right, content, recall, sent, loaded>>

Rank == [none |-> 0, lost |-> 0, read |-> 1, owned |-> 2, write |-> 3]
Readable == {"read", "owned", "write"}
NoRecall == [keep |-> "all", send |-> FALSE]

(* The right that is left when only keep may be kept. *)
Lower(r, keep) == IF Rank[r] <= Rank[keep] THEN r ELSE keep

Init ==
  /\ right = "none"
  /\ content = NoContent
  /\ recall = NoRecall
  /\ sent = NoContent
  /\ loaded = NoContent

(* A right arrives, with the page if there was none. *)
Grant(to, v) ==
  /\ right # "lost"
  /\ Rank[to] > Rank[right]
  /\ right' = to
  /\ content' = IF right = "none" THEN v ELSE content
  /\ UNCHANGED <<recall, sent, loaded>>

(* The page is lost, for good. *)
Lose ==
  /\ right = "none"
  /\ right' = "lost"
  /\ UNCHANGED <<content, recall, sent, loaded>>

Store(v) ==
  /\ right = "write"
  /\ content' = v
  /\ UNCHANGED <<right, recall, sent, loaded>>

Load ==
  /\ right \in Readable
  /\ loaded' = content
  /\ UNCHANGED <<right, content, recall, sent>>

RecvRecall(keep, send) ==
  /\ recall = NoRecall
  /\ recall' = [keep |-> keep, send |-> send]
  /\ UNCHANGED <<right, content, sent, loaded>>

(* The content goes out and no store is possible any more: one step. *)
Send ==
  /\ recall.send
  /\ right \in Readable
  /\ sent' = content
  /\ right' = Lower(right, IF recall.keep = "read" THEN "read" ELSE "owned")
  /\ recall' = [recall EXCEPT !.send = FALSE]
  /\ UNCHANGED <<content, loaded>>

(* The copy goes: recalled and sent, or evicted in silence. *)
Drop ==
  /\ \/ /\ right \in Readable
        /\ recall.keep = "none"
        /\ ~recall.send
     \/ right = "read"
  /\ right' = "none"
  /\ content' = NoContent
  /\ UNCHANGED <<recall, sent, loaded>>

Ack ==
  /\ recall # NoRecall
  /\ recall.send => right \notin Readable
  /\ Rank[right] <= Rank[recall.keep]
  /\ recall' = NoRecall
  /\ UNCHANGED <<right, content, sent, loaded>>

Next ==
  \/ \E to \in {"read", "write"}, v \in Value : Grant(to, v)
  \/ Lose
  \/ \E v \in Value : Store(v)
  \/ Load
  \/ \E keep \in {"none", "read", "owned"}, send \in BOOLEAN : RecvRecall(keep, send)
  \/ Send
  \/ Drop
  \/ Ack

Spec == Init /\ [][Next]_vars
=============================================================================
