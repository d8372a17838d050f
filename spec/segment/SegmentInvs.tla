---------------------------- MODULE SegmentInvs ----------------------------
(***************************************************************************)
(* What segments promise.                                                  *)
(***************************************************************************)
EXTENDS Segment

Rights == {"none", "read", "write"}
Gens   == 1..Now.newest
Bytes  == 0..Now.newest

Messages == [kind : {"Req", "Grant", "Recall", "Ack"}, gen : Gens, op : Rights, bytes : Bytes]

TypeInv ==
    /\ view \in [Nodes -> 1..Rev]
    /\ \A n \in Nodes :
          /\ leaf[n].right \in Rights /\ leaf[n].bytes \in Bytes /\ leaf[n].asks \in Rights
          /\ home[n].owner \in Nodes \cup {Nobody} /\ home[n].bytes \in Bytes
          /\ home[n].readers \subseteq Nodes /\ home[n].wait \subseteq Nodes
          /\ maps[n] \subseteq Gens
    /\ \A n, m \in Nodes :
          /\ \A i \in DOMAIN net[m][n] : net[m][n][i] \in Messages
          /\ \A i \in DOMAIN early[n][m] : early[n][m][i] \in Messages

\* What a generation has: zeros, until somebody stores to it.
Content(g) == IF g \in stored THEN g ELSE 0

\* A generation never comes back, and later ones are higher.
GenerationInv ==
    \A i, j \in 1..Rev : i < j /\ past[i].gen # 0 /\ past[j].gen # 0 =>
        /\ past[i].gen <= past[j].gen
        /\ past[i].gen = past[j].gen => \A k \in i..j : past[k].gen = past[i].gen

\* Who has no segment at the page has nothing of it: no right, no bytes, no request,
\* and nothing to do as its home.
NothingInv == \A n \in Nodes : Gen(n) = 0 => leaf[n] = NoLeaf /\ home[n] = NoHome

\* Whoever may read the page of a segment has the bytes of that generation: what was
\* stored to it, and zeros where nothing was.
BytesInv == \A n \in Nodes : leaf[n].right # "none" => leaf[n].bytes = Content(Gen(n))

\* A home that nobody owns the page of has the bytes of the generation that it has.
HomeBytesInv == \A n \in Nodes :
    Gen(n) # 0 /\ HomeNode(n) = n /\ home[n].owner = Nobody => home[n].bytes = Content(Gen(n))

\* In one generation a page that somebody may write is readable nowhere else.
SingleWriterInv == \A n, m \in Nodes :
    n # m /\ leaf[n].right = "write" /\ leaf[m].right # "none" => Gen(n) # Gen(m)

\* A right is what the home of the same generation has recorded, and nobody else is
\* recorded there: but who is about to be granted it, or has just given it up.
Recorded(h) == (home[h].readers \cup {home[h].owner}) \ {Nobody}
OnItsWay(m, n, kind) == \E i \in DOMAIN Waiting(n, m) :
    Waiting(n, m)[i].gen = Gen(n) /\ Waiting(n, m)[i].kind = kind
RecordedInv == \A n, h \in Nodes : Gen(n) # 0 /\ Gen(h) = Gen(n) /\ HomeNode(n) = h =>
    /\ leaf[n].right # "none" => n \in Recorded(h)
    /\ n \in Recorded(h) => leaf[n].right # "none" \/ OnItsWay(h, n, "Grant") \/ OnItsWay(n, h, "Ack")

\* Nothing but a request is early, and of each sender at most one is kept.
EarlyInv == \A n, m \in Nodes :
    /\ Len(early[n][m]) <= 1
    /\ \A i \in DOMAIN Waiting(n, m) :
          IsEarly(n, Waiting(n, m)[i].gen) => Waiting(n, m)[i].kind = "Req"

\* A request is in one place until it is answered, unless its home has left the
\* generation.
Requests(n, h) ==
    LET own(e) == e.gen = Gen(n) /\ e.kind = "Req"
        granted(e) == e.gen = Gen(n) /\ e.kind = "Grant"
        queued(q) == q.node = n
    IN  Len(SelectSeq(Waiting(h, n), own)) + Len(SelectSeq(Waiting(n, h), granted))
        + IF Gen(h) # Gen(n) THEN 0
          ELSE Len(SelectSeq(home[h].queue, queued)) + IF home[h].busy.node = n THEN 1 ELSE 0
NoLostRequestInv == \A n \in Nodes :
    LET h == HomeNode(n) IN
    /\ leaf[n].asks # "none" => Requests(n, h) = 1 \/ (view[h] > view[n] /\ Gen(h) # Gen(n))
    /\ leaf[n].asks = "none" /\ Gen(n) # 0 => Requests(n, h) = 0

\* Who waits, waits for a page of the segment that his node has.
WaitsInv == \A n \in Nodes : Waits(n) => Gen(n) \in maps[n]

\* Views go forward.
ViewProp == [][\A n \in Nodes : view'[n] >= view[n]]_vars

\* Who reads is told what was stored last to the segment that he has mapped, and
\* zeros if nothing was; who stores, what he has stored.
ReadProp == [][\A n \in Nodes : told'[n] # told[n] /\ told'[n].is = "bytes" =>
    LET g == told'[n].gen IN g = Gen(n) /\ told'[n].value = IF g \in stored' THEN g ELSE 0]_vars

\* Who waits is told that his segment is gone only if it is.
GoneProp == [][\A n \in Nodes : told'[n] # told[n] /\ told'[n].is = "gone" => Now.gen # told'[n].gen]_vars

\* Who waits is answered when he no longer does.
AnsweredProp == [][\A n \in Nodes : Waits(n) /\ ~Waits(n)' => told'[n] # Nothing]_vars

\* A message of another generation has no effect: neither a right nor a byte, nor
\* anything that a home knows, changes with it, and nothing is sent.
NoEffectProp == [][\A n, m \in Nodes :
    Len(Waiting(n, m)') < Len(Waiting(n, m)) /\ First(n, m).gen # Gen(n) =>
        /\ UNCHANGED <<leaf, home>>
        /\ \A k \in Nodes : Len(net'[n][k]) <= Len(net[n][k])]_vars

\* A view in which the node's segment is as before takes nothing away.
StaysProp == [][\A n \in Nodes : view'[n] # view[n] /\ past[view'[n]].gen = Gen(n) => UNCHANGED <<leaf, home>>]_vars

\* Every access is answered: with the page, or because the segment is gone.
AccessServedProp == \A n \in Nodes : Waits(n) ~> ~Waits(n)

\* What is early is looked at in the end.
EarlyTakenProp == \A n, m \in Nodes : (early[n][m] # <<>>) ~> (early[n][m] = <<>>)
=============================================================================
