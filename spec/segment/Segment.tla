------------------------------ MODULE Segment ------------------------------
(***************************************************************************)
(* The pages of segments, and what becomes of them when segments are       *)
(* removed and others are created at the same pages.                       *)
(*                                                                         *)
(* One place, the configuration store, decides which segment has a page: a *)
(* name and a generation, or none.  Each node has a view, which is what    *)
(* the store has had at some moment: views lag, and may skip.  What a node *)
(* keeps of a page (its right, its bytes, what it knows as the page's      *)
(* home, what it has asked for) belongs to one generation, and so does     *)
(* every message and every mapping of a program.  A message may be about a *)
(* generation that the receiver has not heard of: it is early, and is      *)
(* kept.  Or about one that is gone: it is late, and is dropped.           *)
(*                                                                         *)
(* spec/names has the names themselves, spec/strong the coherence of one   *)
(* generation.  Of the latter there is here what a mix-up of generations   *)
(* could break: requests, recalls, answers with bytes, and a queue.        *)
(*                                                                         *)
(* The code: impl/coord (Create, Remove, View.Since), impl/protocol        *)
(* (Shard.Configure, Shard.receive, Early) and impl/node (segments.go).    *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Nodes,
    Names,
    HomeOf       \* HomeOf[name]: the home of the page in a segment of that name

Nobody == "nobody"
Free   == [name |-> "", gen |-> 0, newest |-> 0]

VARIABLES
    past,     \* which segment has had the page, and the newest generation of all pages
    view,     \* view[n]: up to where in the past node n has heard
    leaf,     \* leaf[n]: what node n may do with the page, its bytes, and the access that
              \* its program waits for
    home,     \* home[n]: what node n knows as the home of the page
    net,      \* net[m][n]: messages from m to n, in order
    early,    \* early[n][m]: messages from m that n keeps, since they were early
    maps,     \* maps[n]: the generations that programs at n have mapped
    told,     \* told[n]: what its last access was told (no part of a state: View)
    stored    \* generations that somebody has stored to (only for properties)

vars == <<past, view, leaf, home, net, early, maps, told, stored>>

Rev        == Len(past)
Now        == past[Rev]
Fresh      == Now.newest + 1
Segment(n) == past[view[n]]
Gen(n)     == Segment(n).gen
\* The newest generation that the node has heard of, whether or not it has pages.
Newest(n)  == Segment(n).newest
HomeNode(n) == HomeOf[Segment(n).name]

\* Bytes are 0, or the generation under which they were stored.
NoLeaf == [right |-> "none", bytes |-> 0, asks |-> "none"]
Idle   == [node |-> Nobody, op |-> "none"]
NoHome == [owner |-> Nobody, readers |-> {}, bytes |-> 0, busy |-> Idle, wait |-> {}, queue |-> <<>>]
Nothing == [gen |-> 0, is |-> "nothing", value |-> 0]
Tell(n, g, is, value) == told' = [told EXCEPT ![n] = [gen |-> g, is |-> is, value |-> value]]

Init ==
    /\ past = <<Free>>
    /\ view = [n \in Nodes |-> 1]
    /\ leaf = [n \in Nodes |-> NoLeaf]
    /\ home = [n \in Nodes |-> NoHome]
    /\ net = [m \in Nodes |-> [n \in Nodes |-> <<>>]]
    /\ early = [n \in Nodes |-> [m \in Nodes |-> <<>>]]
    /\ maps = [n \in Nodes |-> {}]
    /\ told = [n \in Nodes |-> Nothing]
    /\ stored = {}

(***************************************************************************)
(* The store                                                               *)
(***************************************************************************)
Create(name) ==
    /\ Now.gen = 0
    /\ past' = Append(past, [name |-> name, gen |-> Fresh, newest |-> Fresh])
    /\ UNCHANGED <<view, leaf, home, net, early, maps, told, stored>>

Remove ==
    /\ Now.gen # 0
    /\ past' = Append(past, [Free EXCEPT !.newest = Now.newest])
    /\ UNCHANGED <<view, leaf, home, net, early, maps, told, stored>>

\* A segment is created that has other pages.
CreateElsewhere ==
    /\ past' = Append(past, [Now EXCEPT !.newest = Fresh])
    /\ UNCHANGED <<view, leaf, home, net, early, maps, told, stored>>

(***************************************************************************)
(* Views.  A node takes the newest there is, or any on the way: it may     *)
(* skip some.  Whether it has a segment as before is a matter of its       *)
(* generation, and not of its name or its pages.                           *)
(***************************************************************************)
Same(n, to) == past[to].gen = Gen(n)

Apply(n, to) ==
    /\ to \in (view[n] + 1)..Rev
    /\ view' = [view EXCEPT ![n] = to]
    /\ IF Same(n, to)
       THEN UNCHANGED <<leaf, home, told>>
       ELSE /\ leaf' = [leaf EXCEPT ![n] = NoLeaf]
            /\ home' = [home EXCEPT ![n] = NoHome]
            \* Who waits for the page gets an error.
            /\ IF leaf[n].asks = "none" THEN UNCHANGED told ELSE Tell(n, Gen(n), "gone", 0)
    /\ UNCHANGED <<past, net, early, maps, stored>>

(***************************************************************************)
(* Messages.  Those that were kept come before those that were not.        *)
(***************************************************************************)
IsEarly(n, g) == g > Newest(n)

Waiting(n, m) == early[n][m] \o net[m][n]
Has(n, m)     == early[n][m] # <<>> \/ net[m][n] # <<>>
First(n, m)   == IF early[n][m] # <<>> THEN Head(early[n][m]) ELSE Head(net[m][n])

\* The message is put aside, behind those of the same sender, so that others on the
\* link need not wait.  What the sender has said about an older generation no longer
\* counts: he has left that one.
PostponeEarly(n, m) ==
    /\ net[m][n] # <<>>
    /\ IsEarly(n, Head(net[m][n]).gen)
    /\ LET msg == Head(net[m][n])
           same(e) == e.gen = msg.gen
       IN  early' = [early EXCEPT ![n][m] = Append(SelectSeq(@, same), msg)]
    /\ net' = [net EXCEPT ![m][n] = Tail(@)]
    /\ UNCHANGED <<past, view, leaf, home, maps, told, stored>>

\* The next message from m can be looked at.
Due(n, m) == Has(n, m) /\ ~IsEarly(n, First(n, m).gen)

DropLate(n, m) ==
    /\ Due(n, m)
    /\ First(n, m).gen # Gen(n)
    /\ IF early[n][m] # <<>>
       THEN early' = [early EXCEPT ![n][m] = Tail(@)] /\ UNCHANGED net
       ELSE net' = [net EXCEPT ![m][n] = Tail(@)] /\ UNCHANGED early
    /\ UNCHANGED <<past, view, leaf, home, maps, told, stored>>

\* A message of the generation that n has, which a handler takes.
Takes(n, m, kind) ==
    /\ Due(n, m)
    /\ First(n, m).gen = Gen(n)
    /\ First(n, m).kind = kind

\* n takes its next message from m and sends these to the nodes named.
Exchange(n, m, to, msg) ==
    LET left == IF early[n][m] # <<>> THEN net ELSE [net EXCEPT ![m][n] = Tail(@)]
    IN  /\ early' = IF early[n][m] # <<>> THEN [early EXCEPT ![n][m] = Tail(@)] ELSE early
        /\ net' = [left EXCEPT ![n] = [k \in Nodes |-> IF k \in to THEN Append(@[k], msg) ELSE @[k]]]

SendAll(n, to, msg) ==
    net' = [net EXCEPT ![n] = [k \in Nodes |-> IF k \in to THEN Append(@[k], msg) ELSE @[k]]]

Message(n, kind, op, bytes) == [kind |-> kind, gen |-> Gen(n), op |-> op, bytes |-> bytes]

(***************************************************************************)
(* Programs.  At a node there may be one with a mapping of the segment as  *)
(* it is, and others with mappings of those before.  What an access is     *)
(* told is bytes (a store: its own), or that the segment is gone.          *)
(***************************************************************************)
Waits(n) == leaf[n].asks # "none"
Covers(right, op) == right = "write" \/ (right = "read" /\ op = "read")

Map(n) ==
    /\ Gen(n) # 0
    /\ Gen(n) \notin maps[n]
    /\ maps' = [maps EXCEPT ![n] = @ \cup {Gen(n)}]
    /\ UNCHANGED <<past, view, leaf, home, net, early, told, stored>>

\* The leaf, when a program has loaded or stored with this right and these bytes.
Done(n, g, op, right, bytes) ==
    /\ leaf' = [leaf EXCEPT ![n] = [right |-> right, bytes |-> IF op = "write" THEN g ELSE bytes, asks |-> "none"]]
    /\ stored' = IF op = "write" THEN stored \cup {g} ELSE stored
    /\ Tell(n, g, "bytes", leaf'[n].bytes)

\* A load or store through a mapping of generation g, which the node's right covers.
Access(n, g, op) ==
    /\ g \in maps[n]
    /\ g = Gen(n)
    /\ ~Waits(n)
    /\ Covers(leaf[n].right, op)
    /\ Done(n, g, op, leaf[n].right, leaf[n].bytes)
    /\ UNCHANGED <<past, view, home, net, early, maps>>

\* A request, which a node that is the home itself has at once: what passes within a
\* node passes within a step.
Fault(n, g, op) ==
    /\ g \in maps[n]
    /\ g = Gen(n)
    /\ ~Waits(n)
    /\ ~Covers(leaf[n].right, op)
    /\ leaf' = [leaf EXCEPT ![n].asks = op]
    /\ told' = [told EXCEPT ![n] = Nothing]
    /\ IF HomeNode(n) = n
       THEN /\ home' = [home EXCEPT ![n].queue = Append(@, [node |-> n, op |-> op])]
            /\ UNCHANGED net
       ELSE /\ SendAll(n, {HomeNode(n)}, Message(n, "Req", op, 0))
            /\ UNCHANGED home
    /\ UNCHANGED <<past, view, early, maps, stored>>

\* The program's segment is gone: an error, whatever has its pages now.
Refuse(n, g) ==
    /\ g \in maps[n]
    /\ g # Gen(n)
    /\ Tell(n, g, "gone", 0)
    /\ maps' = [maps EXCEPT ![n] = @ \ {g}]
    /\ UNCHANGED <<past, view, leaf, home, net, early, stored>>

(***************************************************************************)
(* The home                                                                *)
(***************************************************************************)
RecvReq(n, m) ==
    /\ Takes(n, m, "Req")
    /\ home' = [home EXCEPT ![n].queue = Append(@, [node |-> m, op |-> First(n, m).op])]
    /\ Exchange(n, m, {}, <<>>)
    /\ UNCHANGED <<past, view, leaf, maps, told, stored>>

\* The home grants the request: to the program of its own node at once.
Grants(n, h, q) ==
    /\ home' = [home EXCEPT ![n] =
                  IF q.op = "write"
                  THEN [h EXCEPT !.owner = q.node, !.readers = {}, !.busy = Idle]
                  ELSE [h EXCEPT !.readers = @ \cup {q.node}, !.busy = Idle]]
    /\ IF q.node = n THEN Done(n, Gen(n), q.op, q.op, h.bytes) ELSE UNCHANGED <<told, stored>>

\* What the home is when m has given the page up, with these bytes if it could write.
Without(h, m, right, bytes) ==
    [h EXCEPT !.wait = @ \ {m}, !.readers = @ \ {m}, !.owner = IF @ = m THEN Nobody ELSE @,
              !.bytes = IF right = "write" THEN bytes ELSE @]

\* The home begins with its first request: it recalls, and grants when nobody is left.
Serve(n) ==
    /\ home[n].queue # <<>>
    /\ home[n].busy = Idle
    /\ LET q      == Head(home[n].queue)
           owner  == IF home[n].owner = Nobody THEN {} ELSE {home[n].owner}
           others == (IF q.op = "write" THEN home[n].readers \cup owner ELSE owner) \ {q.node}
           begun  == [home[n] EXCEPT !.queue = Tail(@)]
           own    == n \in others
           h      == IF own THEN Without(begun, n, leaf[n].right, leaf[n].bytes) ELSE begun
           far    == others \ {n}
       IN  IF far = {}
           THEN /\ Grants(n, h, q)
                /\ IF q.node = n THEN UNCHANGED net
                   ELSE /\ leaf' = IF own THEN [leaf EXCEPT ![n].right = "none", ![n].bytes = 0] ELSE leaf
                        /\ SendAll(n, {q.node}, Message(n, "Grant", q.op, h.bytes))
           ELSE /\ home' = [home EXCEPT ![n] = [h EXCEPT !.busy = q, !.wait = far]]
                /\ leaf' = IF own THEN [leaf EXCEPT ![n].right = "none", ![n].bytes = 0] ELSE leaf
                /\ SendAll(n, far, Message(n, "Recall", "none", 0))
                /\ UNCHANGED <<told, stored>>
    /\ UNCHANGED <<past, view, early, maps>>

RecvAck(n, m) ==
    /\ Takes(n, m, "Ack")
    /\ LET msg == First(n, m)
           h   == Without(home[n], m, msg.op, msg.bytes)
           q   == h.busy
       IN  IF h.wait = {}
           THEN /\ Grants(n, h, q)
                /\ IF q.node = n THEN Exchange(n, m, {}, <<>>)
                   ELSE UNCHANGED leaf /\ Exchange(n, m, {q.node}, Message(n, "Grant", q.op, h.bytes))
           ELSE /\ home' = [home EXCEPT ![n] = h]
                /\ Exchange(n, m, {}, <<>>)
                /\ UNCHANGED <<leaf, told, stored>>
    /\ UNCHANGED <<past, view, maps>>

(***************************************************************************)
(* The leaf                                                                *)
(***************************************************************************)
\* The access that asked for the page is done before anything else happens to it.
RecvGrant(n, m) ==
    /\ Takes(n, m, "Grant")
    /\ Done(n, Gen(n), leaf[n].asks, First(n, m).op, First(n, m).bytes)
    /\ Exchange(n, m, {}, <<>>)
    /\ UNCHANGED <<past, view, home, maps>>

RecvRecall(n, m) ==
    /\ Takes(n, m, "Recall")
    /\ leaf' = [leaf EXCEPT ![n].right = "none", ![n].bytes = 0]
    /\ Exchange(n, m, {m}, Message(n, "Ack", leaf[n].right, leaf[n].bytes))
    /\ UNCHANGED <<past, view, home, maps, told, stored>>

Receive(n, m) ==
    \/ PostponeEarly(n, m) \/ DropLate(n, m)
    \/ RecvReq(n, m) \/ RecvAck(n, m) \/ RecvGrant(n, m) \/ RecvRecall(n, m)

Ops == {"read", "write"}

Next ==
    \/ \E name \in Names : Create(name)
    \/ Remove \/ CreateElsewhere
    \/ \E n \in Nodes : \E to \in 1..Rev : Apply(n, to)
    \/ \E n \in Nodes : Map(n) \/ Serve(n)
    \/ \E n \in Nodes : \E g \in maps[n] :
          Refuse(n, g) \/ \E op \in Ops : Access(n, g, op) \/ Fault(n, g, op)
    \/ \E n, m \in Nodes : n # m /\ Receive(n, m)

Spec == Init /\ [][Next]_vars

\* Nodes go on, each link is served, and views come in the end.  Nothing is asked of
\* programs, nor of the store.
Fairness ==
    /\ \A n \in Nodes : WF_vars(Serve(n)) /\ WF_vars(\E to \in 1..Rev : Apply(n, to))
    /\ \A n, m \in Nodes : n # m => WF_vars(Receive(n, m))
=============================================================================
