----------------------------- MODULE MCSession -----------------------------
(***************************************************************************)
(* Bounds for TLC, and probes.                                             *)
(***************************************************************************)
EXTENDS SessionInvs

CONSTANTS
    Frames,       \* Frames[e]: so many does each end append
    MaxAttempts,
    MaxSessions,
    Mortal,       \* whose process may die
    Leaving,      \* who may leave
    Impatient,    \* whose link may end because nothing is heard
    Judges        \* who may be told that its peer is dead

One(d, a) == [d |-> d, a |-> a]
F11 == One(1, 1)
F12 == One(1, 2)
F22 == One(2, 2)
F01 == One(0, 1)
F10 == One(1, 0)

More == Len(conns) < MaxAttempts

BoundedNext ==
    \/ \E c \in 1..Len(conns) : ConnNext(c) \/ Hopeless(c) \/ (More /\ (GiveUp(c) \/ Break(c)))
    \/ \E e \in Ends, i \in Incarnations :
          \/ LinkNext(e, i)
          \/ (e = "d" => sessions < MaxSessions) /\ Connect(e, i)
          \/ links[e][i].nextSeq < Frames[e] /\ AppendFrame(e, i)
          \/ e \in Leaving /\ Linger(e, i)
          \/ e \in Judges /\ Disconnect(e, i)
          \/ e \in Impatient /\ Silent(e, i)
    \/ \E e \in Ends : (e \in Leaving /\ Close(e)) \/ (e \in Mortal /\ Restart(e))
    \/ \E i \in Incarnations : More /\ Dial(i)
BoundedSpec == Init /\ [][BoundedNext]_vars

\* Connections break and attempts are given up as long as there are more, and then
\* no longer.
LiveNext == BoundedNext \/ \E i \in Incarnations : Wanted(i)
LiveSpec == Init /\ [][LiveNext]_vars /\ WF_vars(Progress /\ LiveNext)

(***************************************************************************)
(* Probes.  Each says that a state or a step never happens, and must be    *)
(* violated.                                                               *)
(***************************************************************************)
Stages(e, stage) == {c \in 1..Len(conns) : conns[c].at[e] = stage}
\* A frame comes again that was delivered.
ReachDuplicate == \A c \in 1..Len(conns) : \A e \in Ends :
    conns[c].reading[e].seq = 0 \/ conns[c].reading[e].fresh
\* The acceptor forgets what its connection has not come to.
ReachAheadProp == [][\A i \in Incarnations :
    LET l == links.a[i]
        m == links'.a[i]
    IN  ~(l.cur # 0 /\ m.cur = l.cur /\ m.acked > l.acked /\ l.next <= m.acked)]_links
\* A proof arrives behind that of a later attempt.
ReachStale == \A c \in 1..Len(conns) : conns[c].to.d # <<>> => Head(conns[c].to.d) # Refused("Stale")
\* An attempt is welcomed that was overtaken.
ReachWelcomedInVain == \A c \in Stages("d", "proved") :
    Comes("d", c, {"Welcome"}) => links.d[conns[c].hello.to].proving = c
\* The acceptor has another connection than the one that still brings d frames.
ReachCrossed == ~ \E c, k \in 1..Len(conns) :
    c # k /\ conns[c].reading.d.fresh /\ conns[k].at.a = "pipe" /\ conns[k].at.d = "proved"
\* Both ends write on a connection while a third attempt begins.
ReachBeside == ~(\E c \in Stages("d", "pipe") : conns[c].up) \/ Stages("d", "hello") = {}
\* One end has given its peer up, who does not know.
ReachGone == \A c \in 1..Len(conns) : conns[c].to.d # <<>> => Head(conns[c].to.d) # Refused("Gone")
\* The acceptor knows that it is up, and the dialer does not when it is told that all
\* is over.
ReachGoneUnheard == \A c \in Stages("d", "proved") :
    conns[c].to.d # <<>> /\ Head(conns[c].to.d) = Refused("Gone") => links.d[conns[c].hello.to].up
\* Somebody is told that his peer has left.
ReachLeft == \A e \in Ends, i \in Incarnations : links[e][i].why # "Left"
\* A second incarnation waits for the end of the first.
ReachWaits == ~ \E e \in Ends : Has(e, 1) /\ Has(e, 2) /\ links[e][1].heard /\ links[e][2].up
\* An attempt of a process that has died arrives.
ReachGhost == ~ \E c \in Stages("a", "waiting") : Comes("a", c, {"Proof"}) /\ conns[c].hello.inc # inc.d
\* An attempt looks for a process that has died.
ReachLate == \A c \in 1..Len(conns) : conns[c].to.d # <<>> => Head(conns[c].to.d) # Refused("Incarnation")
============================================================================
