----------------------------- MODULE MCTraceStrong ----------------------------
(***************************************************************************)
(* A validator that accepts everything is worse than none.  This is a run  *)
(* that is a behaviour of Strong, as impl/trace/validate writes it: two    *)
(* leaves below a root, every action that there is without intermediates.  *)
(* With it are runs that differ from it in one thing each, and must not    *)
(* get beyond the event where they do.  A mutant of TraceStrong lets one   *)
(* of them pass.                                                           *)
(***************************************************************************)
EXTENDS TraceStrong

MCLeaves   == {"l0", "l1"}
MCManagers == {"root"}
MCParent   == [l0 |-> "root", l1 |-> "root"]
MCIndex    == [l0 |-> 0, l1 |-> 1]

\* A manager that serves a leaf, and waits for others.
Busy(op, l, have, wait, due, keep, dst) ==
    [op |-> op, child |-> l, have |-> have, phase |-> "serve", source |-> "none",
     wait |-> wait, homeDue |-> due, keep |-> keep, dst |-> dst, leaf |-> l, hit |-> FALSE]

Good == <<
    <<1, 0>>, <<2, 0>>, <<3, 0>>, <<4, 0>>, <<5, 0>>, <<6, 2>>, <<7, 2>>, <<8, 0>>, <<9, 0>>, <<10, 0>>,
    <<11, 0>>, <<12, 0>>, <<13, 0>>, <<14, 0>>, <<15, 0>>, <<16, 0>>, <<17, 3>>, <<18, 0>>, <<19, 3>>, <<20, 0>>,
    <<21, 0>>, <<22, 0>>, <<23, 0>>, <<24, 0>>, <<25, 0>>, <<26, 0>>, <<27, 0>>, <<28, 4>>, <<29, 4>>, <<30, 0>>,
    <<3, 0>>, <<31, 0>>, <<32, 0>>, <<33, 4>>, <<34, 0>>, <<14, 0>>, <<9, 0>>, <<35, 0>>, <<36, 4>>, <<20, 0>>,
    <<37, 0>> >>

GoodShapes == <<
    [act |-> "WriteFault", at |-> "l1", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l1", have |-> 0],
     post |-> [right |-> 0, req |-> [op |-> "write", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l1", msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l1", have |-> 0],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 3], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "ReadFault", at |-> "l0", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l0", have |-> 0],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l0", msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l0", have |-> 0],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 3], busy |-> Busy("read", "l0", 0, {"l1"}, 0, 2, "leaf"), recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvGrant", at |-> "l1", from |-> "root", msg |-> [kind |-> "Grant", op |-> "write", source |-> "zero", leaf |-> "l1"],
     post |-> [right |-> 3, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "LeafRecvRecall", at |-> "l1", from |-> "root", msg |-> [kind |-> "Recall", keep |-> 2, dst |-> "leaf", leaf |-> "l0"],
     post |-> [right |-> 2, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvData", at |-> "l0", from |-> "l1", msg |-> [to |-> "l0"],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> TRUE]],
    [act |-> "RecvAck", at |-> "root", from |-> "l1", msg |-> [kind |-> "Ack", keep |-> 2, hit |-> TRUE],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 1, l1 |-> 2], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvGrant", at |-> "l0", from |-> "root", msg |-> [kind |-> "Grant", op |-> "read", source |-> "sent", leaf |-> "l0"],
     post |-> [right |-> 1, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "WriteFault", at |-> "l0", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l0", have |-> 1],
     post |-> [right |-> 1, req |-> [op |-> "write", have |-> 1], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l0", msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l0", have |-> 1],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 1, l1 |-> 2], busy |-> Busy("write", "l0", 1, {"l1"}, 0, 0, "nobody"), recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvRecall", at |-> "l1", from |-> "root", msg |-> [kind |-> "Recall", keep |-> 0, dst |-> "nobody", leaf |-> "l0"],
     post |-> [right |-> 0, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvAck", at |-> "root", from |-> "l1", msg |-> [kind |-> "Ack", keep |-> 0, hit |-> FALSE],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 3, l1 |-> 0], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "ReadFault", at |-> "l1", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l1", have |-> 0],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> FALSE]],
    [act |-> "LeafRecvGrant", at |-> "l0", from |-> "root", msg |-> [kind |-> "Grant", op |-> "write", source |-> "have", leaf |-> "l0"],
     post |-> [right |-> 3, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l1", msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l1", have |-> 0],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 3, l1 |-> 0], busy |-> Busy("read", "l1", 0, {"l0"}, 0, 2, "leaf"), recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvRecall", at |-> "l0", from |-> "root", msg |-> [kind |-> "Recall", keep |-> 2, dst |-> "leaf", leaf |-> "l1"],
     post |-> [right |-> 2, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvAck", at |-> "root", from |-> "l0", msg |-> [kind |-> "Ack", keep |-> 2, hit |-> TRUE],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 2, l1 |-> 1], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "RecvData", at |-> "l1", from |-> "l0", msg |-> [to |-> "l1"],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> TRUE]],
    [act |-> "LeafRecvGrant", at |-> "l1", from |-> "root", msg |-> [kind |-> "Grant", op |-> "read", source |-> "sent", leaf |-> "l1"],
     post |-> [right |-> 1, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "WriteFault", at |-> "l1", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l1", have |-> 1],
     post |-> [right |-> 1, req |-> [op |-> "write", have |-> 1], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l1", msg |-> [kind |-> "Req", op |-> "write", leaf |-> "l1", have |-> 1],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 2, l1 |-> 1], busy |-> Busy("write", "l1", 1, {"l0"}, 0, 0, "nobody"), recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvRecall", at |-> "l0", from |-> "root", msg |-> [kind |-> "Recall", keep |-> 0, dst |-> "nobody", leaf |-> "l1"],
     post |-> [right |-> 0, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvAck", at |-> "root", from |-> "l0", msg |-> [kind |-> "Ack", keep |-> 0, hit |-> FALSE],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 3], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvGrant", at |-> "l1", from |-> "root", msg |-> [kind |-> "Grant", op |-> "write", source |-> "have", leaf |-> "l1"],
     post |-> [right |-> 3, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "Writeback", at |-> "l1", from |-> Nobody, msg |-> [kind |-> "Req", op |-> "writeback", leaf |-> "l1", have |-> 3],
     post |-> [right |-> 3, req |-> [op |-> "writeback", have |-> 3], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l1", msg |-> [kind |-> "Req", op |-> "writeback", leaf |-> "l1", have |-> 3],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 3], busy |-> Busy("writeback", "l1", 3, {"l1"}, 1, 1, "home"), recall |-> NoRecall, queue |-> <<>>], home |-> "stale"]],
    [act |-> "LeafRecvRecall", at |-> "l1", from |-> "root", msg |-> [kind |-> "Recall", keep |-> 1, dst |-> "home", leaf |-> "l1"],
     post |-> [right |-> 1, req |-> [op |-> "writeback", have |-> 3], arrived |-> FALSE]],
    [act |-> "HomeRecvData", at |-> "root", from |-> "l1", msg |-> [to |-> "home"],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 3], busy |-> Busy("writeback", "l1", 3, {"l1"}, 0, 1, "home"), recall |-> NoRecall, queue |-> <<>>], home |-> "valid"]],
    [act |-> "RecvAck", at |-> "root", from |-> "l1", msg |-> [kind |-> "Ack", keep |-> 1, hit |-> TRUE],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 0, l1 |-> 1], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "valid"]],
    [act |-> "RecvReq", at |-> "root", from |-> "l0", msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l0", have |-> 0],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 1, l1 |-> 1], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "valid"]],
    [act |-> "LeafRecvGrant", at |-> "l1", from |-> "root", msg |-> [kind |-> "Grant", op |-> "writeback", source |-> "have", leaf |-> "l1"],
     post |-> [right |-> 1, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvData", at |-> "l0", from |-> "root", msg |-> [to |-> "l0"],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> TRUE]],
    [act |-> "Evict", at |-> "l1", from |-> Nobody, msg |-> <<>>,
     post |-> [right |-> 0, req |-> [op |-> "none", have |-> 0], arrived |-> FALSE]],
    [act |-> "RecvReq", at |-> "root", from |-> "l1", msg |-> [kind |-> "Req", op |-> "read", leaf |-> "l1", have |-> 0],
     post |-> [mgr |-> [right |-> 3, recorded |-> [l0 |-> 1, l1 |-> 1], busy |-> NoBusy, recall |-> NoRecall, queue |-> <<>>], home |-> "valid"]],
    [act |-> "RecvData", at |-> "l1", from |-> "root", msg |-> [to |-> "l1"],
     post |-> [right |-> 0, req |-> [op |-> "read", have |-> 0], arrived |-> TRUE]],
    [act |-> "End", removed |-> FALSE, data |-> 0, up |-> 0, down |-> 0] >>

\* What differs: the event, and what the log has there instead.
Altered == <<
    \* a message that was not sent; one that is not the Req of this fault
    [at |-> 4, shape |-> [GoodShapes[4] EXCEPT !.msg.have = Read], content |-> Unknown],
    [at |-> 1, shape |-> [GoodShapes[1] EXCEPT !.msg.have = Read], content |-> Unknown],
    \* Data for nobody
    [at |-> 7, shape |-> [GoodShapes[7] EXCEPT !.msg.to = "l1"], content |-> 2],
    \* a page that changed on its way, to a leaf and to the home
    [at |-> 7, shape |-> GoodShapes[7], content |-> 9],
    [at |-> 29, shape |-> GoodShapes[29], content |-> 9],
    \* a store without the right to write
    [at |-> 12, shape |-> GoodShapes[12], content |-> 9],
    \* a leaf that has more than it was granted, still asks, has no Data
    [at |-> 9, shape |-> [GoodShapes[9] EXCEPT !.post.right = Owned], content |-> Unknown],
    [at |-> 9, shape |-> [GoodShapes[9] EXCEPT !.post.req = [op |-> "read", have |-> None]], content |-> Unknown],
    [at |-> 7, shape |-> [GoodShapes[7] EXCEPT !.post.arrived = FALSE], content |-> 2],
    \* a root that forgets a child, and one whose home is not stale
    [at |-> 8, shape |-> [GoodShapes[8] EXCEPT !.post.mgr.recorded["l0"] = None], content |-> Unknown],
    [at |-> 2, shape |-> [GoodShapes[2] EXCEPT !.post.home = "virgin"], content |-> Unknown],
    \* an action that was not possible: the leaf is the owner
    [at |-> 20, shape |-> [GoodShapes[34] EXCEPT !.at = "l0", !.post.right = Owned], content |-> Unknown] >>

Bad(i) == [Good EXCEPT ![Altered[i].at] = <<Len(GoodShapes) + i, Altered[i].content>>]

\* Events that are missing, and one that comes twice.
Without6  == SubSeq(Good, 1, 5) \o SubSeq(Good, 7, Len(Good))
Twice1    == <<Good[1]>> \o Good

\* Runs that came to rest behind event n, in which so many messages were dropped when
\* the segment was gone: Data, up and down.
Ended == <<
    \* a message up, and down to a leaf, and Data are under way, and nothing was dropped
    [n |-> 1,  removed |-> FALSE, data |-> 0, up |-> 0, down |-> 0],
    [n |-> 2,  removed |-> FALSE, data |-> 0, up |-> 0, down |-> 0],
    [n |-> 39, removed |-> FALSE, data |-> 0, up |-> 0, down |-> 0],
    [n |-> 32, removed |-> FALSE, data |-> 0, up |-> 0, down |-> 0],
    [n |-> 1,  removed |-> TRUE,  data |-> 0, up |-> 0, down |-> 0],
    [n |-> 6,  removed |-> TRUE,  data |-> 0, up |-> 1, down |-> 0],
    \* and more was than was under way
    [n |-> 6,  removed |-> TRUE,  data |-> 1, up |-> 2, down |-> 0],
    [n |-> 39, removed |-> TRUE,  data |-> 0, up |-> 0, down |-> 2],
    \* These are good: what was under way was dropped, or kept by a leaf.
    [n |-> 6,  removed |-> TRUE,  data |-> 1, up |-> 1, down |-> 0],
    [n |-> 39, removed |-> TRUE,  data |-> 0, up |-> 0, down |-> 1],
    [n |-> 39, removed |-> TRUE,  data |-> 0, up |-> 0, down |-> 0] >>
GoodEnds == 3

EndOf(e)  == [act |-> "End", removed |-> e.removed, data |-> e.data, up |-> e.up, down |-> e.down]
Ending(i) == SubSeq(Good, 1, Ended[i].n) \o << <<Len(GoodShapes) + Len(Altered) + i, 0>> >>

MCTrace  == <<Good>> \o [i \in 1..Len(Altered) |-> Bad(i)] \o <<Without6, Twice1>> \o [i \in 1..Len(Ended) |-> Ending(i)]
MCShapes == GoodShapes \o [i \in 1..Len(Altered) |-> Altered[i].shape] \o [i \in 1..Len(Ended) |-> EndOf(Ended[i])]

\* The event at which each must be refused; the good run comes first.
RefusedAt == [i \in 1..Len(Altered) |-> Altered[i].at] \o <<6, 2>> \o [i \in 1..(Len(Ended) - GoodEnds) |-> Ended[i].n + 1]

\* What is wrong is refused where it is.
RefusedInv == object \in 2..(Len(RefusedAt) + 1) => next <= RefusedAt[object - 1]

\* What is right is accepted: this must be violated.
ReachAccepted == ~ (object = 1 /\ next > Len(Good))

\* So are those that end with what was dropped: the last one.
ReachEnded == ~ (object = Len(RefusedAt) + 1 + GoodEnds /\ next = Ended[Len(Ended)].n + 2)
===============================================================================
