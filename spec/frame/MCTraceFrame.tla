---------------------------- MODULE MCTraceFrame ----------------------------
(***************************************************************************)
(* A validator that accepts everything is worse than none.  These are runs *)
(* that are behaviours of Frame, as impl/trace/validate writes them, which *)
(* have every step that a node logs; and runs that differ from one of them *)
(* in one thing, and must not get beyond the event where they do.  A       *)
(* mutant of TraceFrame lets one of them pass.                             *)
(***************************************************************************)
EXTENDS TraceFrame

MCProcess   == {"p1", "p2"}
MCHole      == -1
MCTorn      == -2
MCNoContent == -3

-----------------------------------------------------------------------------
(* An event is its shape and its content: A, B, C, or Z, the zeros. *)

Z == 0
A == 1
B == 2
C == 3

Step(act, process, write, answer, content) ==
  << [act |-> act, process |-> process, write |-> write, answer |-> answer], content >>

Attached(p)       == Step("Attach", p, FALSE, "", Unknown)
Left(p)           == Step("Exit", p, FALSE, "", Unknown)
Faults(p, w)      == Step("TakeFault", p, w, "", Unknown)
Expected(p, w)    == Step("Expect", p, w, "", Unknown)
Copied(p, w, c)   == Step("Copy", p, w, "", c)
Zeroed(p)         == Step("ZeroPage", p, TRUE, "", Unknown)
Continued(p, w)   == Step("Continue", p, w, "", Unknown)
Unprotected(p)    == Step("Unprotect", p, FALSE, "", Unknown)
Woken(p)          == Step("Wake", p, FALSE, "", Unknown)
Protected(p)      == Step("Protect", p, FALSE, "", Unknown)
Filled(c)         == Step("Fill", "p0", FALSE, "", c)
Sent(c)           == Step("SendData", "p0", FALSE, "", c)
Punched           == Step("Punch", "p0", FALSE, "", Unknown)
Acked             == Step("SendAck", "p0", FALSE, "", Unknown)
Refused(e, errno) == << [e[1] EXCEPT !.answer = errno], e[2] >>

Asks(op)                == << [act |-> IF op = "read" THEN "ReadFault" ELSE "WriteFault"], Unknown >>
Granted(op, source)     == << [act |-> "LeafRecvGrant", op |-> op, source |-> source], Unknown >>
Recalled(keep, send)    == << [act |-> "LeafRecvRecall", keep |-> keep, send |-> send, local |-> FALSE], Unknown >>
RecalledHere(keep)      == << [act |-> "LeafRecvRecall", keep |-> keep, send |-> TRUE, local |-> TRUE], Unknown >>
Evicted                 == << [act |-> "Evict"], Unknown >>
Takes(c)                == << [act |-> "Take"], c >>
Gives(c)                == << [act |-> "Give"], c >>
Ends                    == << [act |-> "End"], Unknown >>

Begin == << Attached("p1"), Attached("p2") >>

(* How p1 comes to read A, and written to write A. *)
Reads  == Begin \o << Faults("p1", FALSE), Asks("read"), Takes(A), Granted("read", "sent"), Copied("p1", FALSE, A) >>
Writes == Begin \o << Faults("p1", TRUE), Asks("write"), Takes(A), Granted("write", "sent"), Copied("p1", TRUE, A) >>

Good == <<
  \* 1: a copy is dropped
  Reads \o << Recalled("none", FALSE), Punched, Acked, Ends >>,
  \* 2: what was stored goes out, and the page stays to be read
  Writes \o << Recalled("owned", TRUE), Protected("p1"), Protected("p2"), Gives(B), Sent(B), Acked,
               Faults("p2", FALSE), Continued("p2", FALSE), Ends >>,
  \* 3: a copy becomes writable, for two processes
  Reads \o << Faults("p2", FALSE), Continued("p2", FALSE), Faults("p1", TRUE), Asks("write"), Faults("p2", TRUE),
              Granted("write", "have"), Refused(Continued("p1", TRUE), "EEXIST"), Unprotected("p1"), Woken("p1"),
              Unprotected("p2"), Refused(Continued("p2", TRUE), "EEXIST"), Woken("p2"), Ends >>,
  \* 4: zeros, and a recall by this node's own manager
  Begin \o << Faults("p1", TRUE), Asks("write"), Granted("write", "zero"), Zeroed("p1"), RecalledHere("none"),
              Protected("p1"), Protected("p2"), Gives(Z), Sent(Z), Punched, Faults("p1", FALSE), Asks("read"), Ends >>,
  \* 5: the content comes before its grant, and nobody waits
  Begin \o << Asks("read"), Takes(A), Filled(A), Expected("p2", FALSE), Granted("read", "sent"),
              Continued("p2", FALSE), Evicted, Punched, Ends >>,
  \* 6: a mapping is busy, a process goes, a clean copy supplies another node
  Reads \o << Faults("p2", FALSE), Refused(Continued("p2", FALSE), "EAGAIN"), Woken("p2"), Faults("p2", FALSE),
              Continued("p2", FALSE), Left("p2"), Recalled("read", TRUE), Sent(A), Acked, Ends >>,
  \* 7: a process has unmapped the page, and there is none that could store
  Begin \o << Faults("p1", TRUE), Asks("write"), Takes(A), Granted("write", "sent"), Refused(Copied("p1", TRUE, A), "ENOENT"),
              Filled(A), Refused(Continued("p1", TRUE), "ENOENT"), Recalled("none", TRUE),
              Refused(Protected("p1"), "ESRCH"), Protected("p2"), Gives(A), Sent(A), Punched, Acked, Ends >>,
  \* 8: a page that nobody waits for comes with its recall, and does not go in; so do zeros
  Begin \o << Asks("read"), Takes(A), Granted("read", "sent"), Recalled("none", FALSE), Punched, Acked,
              Asks("read"), Granted("read", "zero"), Recalled("none", FALSE), Punched, Acked, Ends >> >>

-----------------------------------------------------------------------------
(* Runs that are wrong: the good run of that number up to the event before at, *)
(* and then those of is.  The first of these is wrong, or that at refused.     *)

Wrong == <<
  \* contents that nobody can have stored: of a clean copy, after the protection,
  \* where no process could store, and of a page that goes in
  [run |-> 6, at |-> 15, refused |-> 15, is |-> << Sent(B), Acked, Ends >>],
  [run |-> 2, at |-> 12, refused |-> 12, is |-> << Sent(C), Acked, Ends >>],
  [run |-> 7, at |-> 13, refused |-> 13, is |-> << Gives(B), Sent(B), Punched, Acked, Ends >>],
  [run |-> 5, at |-> 5, refused |-> 5, is |-> << Filled(B), Granted("read", "sent"), Ends >>],
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Copied("p1", FALSE, B), Ends >>],
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Copied("p1", FALSE, Z), Ends >>],
  \* stores are let through that must not be, or not let through that may
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Copied("p1", TRUE, A), Ends >>],
  [run |-> 3, at |-> 9, refused |-> 9, is |-> << Continued("p2", TRUE), Ends >>],
  [run |-> 3, at |-> 18, refused |-> 18, is |-> << Refused(Continued("p2", FALSE), "EEXIST"), Woken("p2"), Ends >>],
  [run |-> 1, at |-> 8, refused |-> 8, is |-> << Unprotected("p1"), Woken("p1"), Ends >>],
  \* a process is woken that could not store yet, or not at all
  [run |-> 3, at |-> 15, refused |-> 15, is |-> << Woken("p1"), Ends >>],
  [run |-> 3, at |-> 16, refused |-> 16, is |-> << Faults("p1", FALSE), Ends >>],
  \* answers that the kernel cannot have given, and those behind which nothing goes on
  [run |-> 3, at |-> 9, refused |-> 9, is |-> << Refused(Continued("p2", FALSE), "EEXIST"), Woken("p2"), Ends >>],
  [run |-> 6, at |-> 14, refused |-> 14, is |-> << Continued("p2", FALSE), Ends >>],
  [run |-> 3, at |-> 9, refused |-> 9, is |-> << Refused(Continued("p2", FALSE), "EINVAL"), Ends >>],
  [run |-> 3, at |-> 15, refused |-> 15, is |-> << Refused(Unprotected("p1"), "EAGAIN"), Woken("p1"), Ends >>],
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Refused(Protected("p2"), "EAGAIN"), Gives(B), Sent(B), Acked, Ends >>],
  [run |-> 5, at |-> 5, refused |-> 5, is |-> << Refused(Filled(A), "ENOSPC"), Granted("read", "sent"), Ends >>],
  [run |-> 1, at |-> 9, refused |-> 9, is |-> << Refused(Punched, "ENOSPC"), Acked, Ends >>],
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Refused(Copied("p1", FALSE, A), "EEXIST"), Filled(A), Ends >>],
  \* a downgrade in another order: a mapping that is left out, or protected twice;
  \* sent before the protection, punched before it is sent, acknowledged before that
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Gives(B), Sent(B), Acked, Ends >>],
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Protected("p1"), Protected("p2"), Gives(B), Sent(B), Acked, Ends >>],
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Sent(B), Protected("p2"), Acked, Ends >>],
  [run |-> 4, at |-> 10, refused |-> 10, is |-> << Punched, Sent(Z), Ends >>],
  [run |-> 7, at |-> 15, refused |-> 15, is |-> << Acked, Punched, Ends >>],
  \* what does not happen: an acknowledgement, a punch, a fill, all of it
  [run |-> 1, at |-> 10, refused |-> 10, is |-> << Faults("p1", FALSE), Ends >>],
  [run |-> 5, at |-> 10, refused |-> 10, is |-> << Ends >>],
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Faults("p2", FALSE), Ends >>],
  [run |-> 1, at |-> 7, refused |-> 7, is |-> << Ends >>],
  \* a page does not go in that is to be sent, to be kept or to be stored to, or was not recalled
  [run |-> 8, at |-> 6, refused |-> 7, is |-> << Recalled("none", TRUE), Punched, Acked, Ends >>],
  [run |-> 8, at |-> 6, refused |-> 7, is |-> << Recalled("owned", FALSE), Punched, Acked, Ends >>],
  [run |-> 7, at |-> 7, refused |-> 8, is |-> << Recalled("none", FALSE), Punched, Acked, Ends >>],
  [run |-> 8, at |-> 6, refused |-> 6, is |-> << Punched, Ends >>],
  \* what happens while the page's lock is held
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Asks("write"), Protected("p2"), Gives(B), Sent(B), Acked, Ends >>],
  [run |-> 2, at |-> 10, refused |-> 10, is |-> << Faults("p2", FALSE), Protected("p2"), Gives(B), Sent(B), Acked, Ends >>],
  \* a page that nobody asked for, and a grant of something else
  [run |-> 5, at |-> 3, refused |-> 4, is |-> << Takes(A), Filled(A), Ends >>],
  [run |-> 5, at |-> 7, refused |-> 8, is |-> << Granted("write", "sent"), Continued("p2", FALSE), Ends >>],
  [run |-> 1, at |-> 8, refused |-> 10, is |-> << Asks("write"), Granted("read", "have"), Faults("p1", TRUE), Ends >>],
  [run |-> 1, at |-> 8, refused |-> 8, is |-> << Zeroed("p1"), Ends >>],
  \* a process that comes twice
  [run |-> 1, at |-> 3, refused |-> 3, is |-> << Attached("p1"), Ends >>] >>

-----------------------------------------------------------------------------

(* TLC evaluates each of these definitions once, but what one of them uses again
   and again. *)
Runs ==
  LET good == Good
      wrong == Wrong
      Bad(w) == SubSeq(good[w.run], 1, w.at - 1) \o w.is
  IN  good \o [i \in 1..Len(wrong) |-> Bad(wrong[i])]

(* The next content that is given up. *)
SeenFrom(run, i) ==
  LET later == {j \in i..Len(run) : run[j][1].act \in {"SendData", "Give"}}
  IN  IF later = {} THEN Unknown ELSE run[CHOOSE j \in later : \A k \in later : j <= k][2]

(* A shape's place is that of its event: no run has a hundred. *)
AllShapes ==
  LET runs == Runs
  IN  [k \in UNION {{100 * o + i : i \in 1..Len(runs[o])} : o \in 1..Len(runs)} |-> runs[k \div 100][k % 100][1]]

AllTraces ==
  LET runs == Runs
  IN  [o \in 1..Len(runs) |-> [i \in 1..Len(runs[o]) |-> << 100 * o + i, runs[o][i][2], SeenFrom(runs[o], i) >>]]

(* And what a configuration puts in place of a constant, at every use. *)
MCTrace  == AllTraces
MCShapes == AllShapes

(* What is wrong is refused where it is. *)
RefusedInv == object > Len(Good) => next <= Wrong[object - Len(Good)].refused

(* What is right is accepted, and what is wrong goes on until it is: no other
   state is without a step. *)
GoesOnInv ==
  \/ object > Len(Good) /\ next = Wrong[object - Len(Good)].refused
  \/ ENABLED TraceNext

(* The last good run comes to its end: this must be violated. *)
ReachAccepted == ~(object = Len(Good) /\ next > Len(AllTraces[object]))
=============================================================================
