--------------------------- MODULE MCTraceHeapLock --------------------------
(***************************************************************************)
(* A validator that accepts everything is worse than none.  This is a run  *)
(* that is a behaviour of HeapLock, as impl/trace/validate writes it, with *)
(* every action, and runs that differ from it in one thing each, and must  *)
(* not get beyond the event where they do.  A mutant of TraceHeapLock lets *)
(* one of them pass.                                                       *)
(***************************************************************************)
EXTENDS TraceHeapLock

MCNodeOf  == [a1 |-> "a", a2 |-> "a", b1 |-> "b", b2 |-> "b"]
MCParties == DOMAIN MCNodeOf
MCNodes   == {"a", "b"}

GoodShapes == <<
    [act |-> "AcquireLock", node |-> "b", party |-> "b1", call |-> [request |-> 1, try |-> FALSE, target |-> 0, fence |-> 0],
     post |-> [dead |-> FALSE, turn |-> [request |-> 1, fence |-> 0, cancel |-> 0, canceling |-> FALSE, try |-> FALSE], calls |-> {}]],
    [act |-> "HomeRecvAcquire", node |-> "b", msg |-> [kind |-> "Acquire", party |-> "b1", request |-> 1, try |-> FALSE],
     post |-> [fence |-> 1, holder |-> "b1", request |-> 1, died |-> FALSE, overtaken |-> 0, queue |-> <<>>]],
    [act |-> "RecvGrant", node |-> "b", party |-> "b1", msg |-> [kind |-> "Grant", party |-> "b1", request |-> 1, fence |-> 1, code |-> "OK"],
     post |-> [dead |-> FALSE, turn |-> [request |-> 1, fence |-> 1, cancel |-> 0, canceling |-> FALSE, try |-> FALSE], calls |-> {}]],
    [act |-> "AcquireLock", node |-> "b", party |-> "b2", call |-> [request |-> 2, try |-> FALSE, target |-> 0, fence |-> 0],
     post |-> [dead |-> FALSE, turn |-> [request |-> 2, fence |-> 0, cancel |-> 0, canceling |-> FALSE, try |-> FALSE], calls |-> {}]],
    [act |-> "HomeRecvAcquire", node |-> "b", msg |-> [kind |-> "Acquire", party |-> "b2", request |-> 2, try |-> FALSE],
     post |-> [fence |-> 1, holder |-> "b1", request |-> 1, died |-> FALSE, overtaken |-> 0, queue |-> <<[party |-> "b2", request |-> 2]>>]],
    [act |-> "ReleaseLock", node |-> "b", party |-> "b1", call |-> [request |-> 6, try |-> FALSE, target |-> 0, fence |-> 1],
     post |-> [dead |-> FALSE, turn |-> NoTurn, calls |-> {6}]],
    [act |-> "AcquireLock", node |-> "a", party |-> "a1", call |-> [request |-> 3, try |-> FALSE, target |-> 0, fence |-> 0],
     post |-> [dead |-> FALSE, turn |-> [request |-> 3, fence |-> 0, cancel |-> 0, canceling |-> FALSE, try |-> FALSE], calls |-> {}]],
    [act |-> "HomeRecvAcquire", node |-> "a", msg |-> [kind |-> "Acquire", party |-> "a1", request |-> 3, try |-> FALSE],
     post |-> [fence |-> 1, holder |-> "b1", request |-> 1, died |-> FALSE, overtaken |-> 0, queue |-> <<[party |-> "b2", request |-> 2], [party |-> "a1", request |-> 3]>>]],
    [act |-> "AcquireLock", node |-> "a", party |-> "a2", call |-> [request |-> 4, try |-> FALSE, target |-> 0, fence |-> 0],
     post |-> [dead |-> FALSE, turn |-> [request |-> 4, fence |-> 0, cancel |-> 0, canceling |-> FALSE, try |-> FALSE], calls |-> {}]],
    [act |-> "HomeRecvAcquire", node |-> "a", msg |-> [kind |-> "Acquire", party |-> "a2", request |-> 4, try |-> FALSE],
     post |-> [fence |-> 1, holder |-> "b1", request |-> 1, died |-> FALSE, overtaken |-> 0, queue |-> <<[party |-> "b2", request |-> 2], [party |-> "a1", request |-> 3], [party |-> "a2", request |-> 4]>>]],
    [act |-> "CancelLock", node |-> "a", party |-> "a2", call |-> [request |-> 5, try |-> FALSE, target |-> 4, fence |-> 0],
     post |-> [dead |-> FALSE, turn |-> [request |-> 4, fence |-> 0, cancel |-> 5, canceling |-> TRUE, try |-> FALSE], calls |-> {}]],
    [act |-> "HomeRecvCancel", node |-> "a", msg |-> [kind |-> "Cancel", party |-> "a2", request |-> 4],
     post |-> [fence |-> 1, holder |-> "b1", request |-> 1, died |-> FALSE, overtaken |-> 0, queue |-> <<[party |-> "b2", request |-> 2], [party |-> "a1", request |-> 3]>>]],
    [act |-> "RecvRefuse", node |-> "a", party |-> "a2", msg |-> [kind |-> "Refuse", party |-> "a2", request |-> 4, code |-> "Canceled"],
     post |-> [dead |-> FALSE, turn |-> NoTurn, calls |-> {}]],
    [act |-> "HomeRecvRelease", node |-> "b", msg |-> [kind |-> "Release", party |-> "b1", request |-> 6, fence |-> 1, code |-> "OK"],
     post |-> [fence |-> 2, holder |-> "b2", request |-> 2, died |-> FALSE, overtaken |-> 0, queue |-> <<[party |-> "a1", request |-> 3]>>]],
    [act |-> "ProcessDied", node |-> "a", party |-> "a1", call |-> [request |-> 0, try |-> FALSE, target |-> 0, fence |-> 0],
     post |-> [dead |-> TRUE, turn |-> [request |-> 3, fence |-> 0, cancel |-> 0, canceling |-> TRUE, try |-> FALSE], calls |-> {}]],
    [act |-> "RecvReleased", node |-> "b", party |-> "b1", msg |-> [kind |-> "Released", party |-> "b1", request |-> 6, code |-> "OK"],
     post |-> [dead |-> FALSE, turn |-> NoTurn, calls |-> {}]] >>

Good == [i \in 1..Len(GoodShapes) |-> <<i>>]

\* What differs: the event, and what the log has there instead.
Altered == <<
    \* a message that was not sent, to the home and from it
    [at |-> 2, shape |-> [GoodShapes[2] EXCEPT !.msg.try = TRUE]],
    [at |-> 3, shape |-> [GoodShapes[3] EXCEPT !.msg.code = "OwnerDied"]],
    \* a grant while the lock is held, and a waiter that is forgotten
    [at |-> 5, shape |-> [GoodShapes[5] EXCEPT !.post = [@ EXCEPT !.fence = 2, !.holder = "b2", !.request = 2, !.queue = <<>>]]],
    [at |-> 8, shape |-> [GoodShapes[8] EXCEPT !.post.queue = <<Head(@)>>]],
    \* a fence that stands still
    [at |-> 14, shape |-> [GoodShapes[14] EXCEPT !.post.fence = 1]],
    \* a turn that nobody has, and one that goes on
    [at |-> 1, shape |-> [GoodShapes[1] EXCEPT !.post.turn = NoTurn]],
    [at |-> 6, shape |-> [GoodShapes[6] EXCEPT !.post.turn = GoodShapes[3].post.turn]],
    \* a Release that is not waited for, and one that is for ever
    [at |-> 6, shape |-> [GoodShapes[6] EXCEPT !.post.calls = {}]],
    [at |-> 16, shape |-> [GoodShapes[16] EXCEPT !.post.calls = {6}]],
    \* a death that the node has not heard of
    [at |-> 15, shape |-> [GoodShapes[15] EXCEPT !.post.dead = FALSE]],
    \* a release under another fence
    [at |-> 6, shape |-> [GoodShapes[6] EXCEPT !.call.fence = 2]] >>

Bad(i) == [Good EXCEPT ![Altered[i].at] = <<Len(GoodShapes) + i>>]

\* Events that are missing, and one that comes twice.
Without2 == <<Good[1]>> \o SubSeq(Good, 3, Len(Good))
Twice2   == SubSeq(Good, 1, 2) \o SubSeq(Good, 2, Len(Good))

\* One that came to rest, and those that did with a message under way, to the home
\* and from it.
Ended(n) == SubSeq(Good, 1, n) \o << <<Len(GoodShapes) + Len(Altered) + 1>> >>

MCTrace  == <<Good>> \o [i \in 1..Len(Altered) |-> Bad(i)] \o <<Without2, Twice2, Ended(1), Ended(2), Ended(3)>>
MCShapes == GoodShapes \o [i \in 1..Len(Altered) |-> Altered[i].shape] \o << [act |-> "End"] >>

\* The event at which each must be refused; the good run comes first, and the last one
\* is good.
RefusedAt == [i \in 1..Len(Altered) |-> Altered[i].at] \o <<2, 3, 2, 3, 5>>

\* What is wrong is refused where it is.
RefusedInv == object > 1 => next <= RefusedAt[object - 1]

\* What is right is accepted: this must be violated.
ReachAccepted == ~ (object = 1 /\ next > Len(Good))

\* So is the one that came to rest.
ReachEnded == ~ (object = Len(RefusedAt) + 1 /\ next = RefusedAt[object - 1])
=============================================================================
