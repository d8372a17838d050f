----------------------------- MODULE StrongInvs ----------------------------
(***************************************************************************)
(* The properties of Strong.  Each has one English sentence.               *)
(***************************************************************************)
EXTENDS Strong

\* Whatever is above x, and x itself.
RECURSIVE Above(_)
Above(x) == IF x = Root THEN {} ELSE {Parent[x]} \cup Above(Parent[x])

ChildRight(c) == IF c \in Leaves THEN leaf[c].right ELSE mgr[c].right

DataFor(x) == {d \in data : d.to = x}
Msgs(ch)  == {ch[i] : i \in 1..Len(ch)}
Reqs      == [kind : {"Req"}, op : Ops, leaf : Leaves, have : Rights]
Grants    == [kind : {"Grant"}, op : Ops, source : Sources, leaf : Leaves]
Recalls   == [kind : {"Recall"}, keep : Rights, dst : Dsts, leaf : Leaves]
Acks      == [kind : {"Ack"}, keep : Rights, hit : BOOLEAN]
Contents  == Values \cup {Zero}

\* Every variable has the shape that the code gives it, and every queue its bound.
TypeInv ==
    /\ \A m \in Managers :
        /\ mgr[m].right \in Rights
        /\ mgr[m].recorded \in [Children(m) -> Rights]
        /\ mgr[m].busy # NoBusy =>
            /\ mgr[m].busy.op \in Ops /\ mgr[m].busy.child \in Children(m)
            /\ mgr[m].busy.phase \in {"serve", "up"}
            /\ mgr[m].busy.wait \subseteq Children(m) /\ mgr[m].busy.homeDue \in 0..1
            /\ mgr[m].busy.keep \in {None, Read, Owned} /\ mgr[m].busy.dst \in Dsts
            /\ mgr[m].busy.source \in Sources \cup {"none"}
            /\ mgr[m].busy.phase = "up" => Collected(mgr[m].busy) /\ m # Root
        /\ mgr[m].recall # NoRecall =>
            /\ mgr[m].recall.keep \in {None, Read, Owned} /\ mgr[m].recall.dst \in Dsts
            /\ mgr[m].recall.wait \subseteq Children(m) /\ mgr[m].recall.wait # {}
            /\ mgr[m].recall.homeDue = 0
        \* one request per child and one recall
        /\ Len(mgr[m].queue) <= Cardinality(Children(m)) + 1
        /\ \A i, j \in 1..Len(mgr[m].queue) : i # j =>
            \/ mgr[m].queue[i].kind # mgr[m].queue[j].kind
            \/ mgr[m].queue[i].kind = "Req" /\ mgr[m].queue[i].child # mgr[m].queue[j].child
    /\ \A l \in Leaves : /\ leaf[l].right \in Rights
                         /\ leaf[l].val \in Contents
                         /\ leaf[l].arrived \in {NoData} \cup {<<v>> : v \in Contents}
    /\ home.state \in {"virgin", "valid", "stale"} /\ home.val \in Contents
    /\ \A x \in DOMAIN Parent : Msgs(up[x]) \subseteq Reqs \cup Acks
                                /\ Msgs(down[x]) \subseteq Grants \cup Recalls
    /\ data \subseteq [to : Leaves \cup {Home}, val : Contents]

\* A page that somebody may write is readable nowhere else.
SingleWriterInv ==
    \A l1, l2 \in Leaves : l1 # l2 /\ leaf[l1].right = Write => leaf[l2].right = None

\* All copies that may be read hold the same content.
DataValueInv ==
    \A l1, l2 \in Leaves :
        leaf[l1].right >= Read /\ leaf[l2].right >= Read => leaf[l1].val = leaf[l2].val

\* At most one leaf has the duty to supply, and while it has, the home is stale.
OneOwnerInv ==
    \A l \in Leaves : leaf[l].right >= Owned =>
        /\ \A k \in Leaves \ {l} : leaf[k].right < Owned
        /\ home.state = "stale"

\* Data in flight or arrived is what every readable copy holds.
DataFreshInv ==
    \A l \in Leaves : leaf[l].right >= Read =>
        /\ \A d \in data : d.val = leaf[l].val
        /\ \A k \in Leaves : leaf[k].arrived # NoData => leaf[k].arrived[1] = leaf[l].val

\* A home that is not stale holds what every readable copy holds.
HomeFreshInv ==
    home.state # "stale" => \A l \in Leaves : leaf[l].right >= Read => leaf[l].val = home.val

\* Nobody stores while an older content is on its way to anybody.
StoreFreshInv ==
    (\E l \in Leaves : leaf[l].right = Write) =>
        /\ data = {} /\ \A k \in Leaves : leaf[k].arrived = NoData

\* A child never has more than its parent recorded.
InclusionInv ==
    \A m \in Managers : \A c \in Children(m) : ChildRight(c) <= mgr[m].recorded[c]

\* A manager never records more for its children than it has itself; one owner.
MarkedOnlyInv ==
    \A m \in Managers :
        /\ m # Root => \A c \in Children(m) :
             mgr[m].recorded[c] <= mgr[m].right
        /\ \A c, d \in Children(m) : c # d /\ mgr[m].recorded[c] >= Owned => mgr[m].recorded[d] < Owned
        /\ \A c, d \in Children(m) : c # d /\ mgr[m].recorded[c] = Write => mgr[m].recorded[d] = None

\* A manager with the duty to supply has a child with it (an idle root: or a home that is not stale).
SupplierInv ==
    \A m \in Managers : mgr[m].busy = NoBusy /\ mgr[m].recall = NoRecall =>
        LET owned == \E c \in Children(m) : mgr[m].recorded[c] >= Owned
        IN  IF m = Root THEN owned <=> home.state = "stale"
            ELSE (mgr[m].right >= Owned) <=> owned

\* A link carries at most a Grant and a Recall down (in that order: rule 6), and
\* at most a request and an acknowledgement up.
OneDownInv ==
    \A x \in DOMAIN Parent :
        /\ Len(down[x]) <= 2
        /\ Len(down[x]) = 2 => down[x][1].kind = "Grant" /\ down[x][2].kind = "Recall"
        /\ Len(up[x]) <= 2
        /\ Len(up[x]) = 2 => up[x][1].kind # up[x][2].kind

\* An acknowledgement answers a Recall that its parent waits for.
AckOnlyInv ==
    \A x \in DOMAIN Parent :
        LET m == Parent[x]
            waits == (IF mgr[m].busy = NoBusy THEN {} ELSE mgr[m].busy.wait)
                     \cup (IF mgr[m].recall = NoRecall THEN {} ELSE mgr[m].recall.wait)
        IN  (\E a \in Msgs(up[x]) : a.kind = "Ack") => x \in waits

\* At most one Data is on its way to, or has arrived at, each leaf and the home.
OneDataInv ==
    /\ \A l \in Leaves : Cardinality({d \in data : d.to = l})
                         + (IF leaf[l].arrived = NoData THEN 0 ELSE 1) <= 1
    /\ Cardinality({d \in data : d.to = Home}) <= 1

\* A request climbs only where the right of the subtree does not cover it (rule 2).
\* What covers what is said here once more: a wrong row must not be right by itself.
LocalGrantInv ==
    \A m \in Managers \ {Root} :
        mgr[m].busy # NoBusy /\ mgr[m].busy.phase = "up" =>
            CASE mgr[m].busy.op = "read"      -> mgr[m].right < Read
              [] mgr[m].busy.op = "write"     -> mgr[m].right < Write
              [] mgr[m].busy.op = "writeback" ->
                   \* while it waits, a Recall may take the page from the owner
                   \/ mgr[m].recorded[mgr[m].busy.child] >= Owned
                   \/ mgr[m].recall # NoRecall
                   \/ mgr[m].right < Owned

\* "have" reaches a leaf only while it has a copy (rule 5).
HaveInv ==
    \A l \in Leaves : \A g \in Msgs(down[l]) :
        g.kind = "Grant" /\ g.op = "write" /\ g.source = "have" => leaf[l].right >= Read

\* A leaf is never sent a page that it has.
SurplusInv ==
    \A l \in Leaves : leaf[l].right >= Read => leaf[l].arrived = NoData /\ DataFor(l) = {}

\* Who asks to read is not asked for the page itself (rule 1).
AskerInv ==
    \A m \in Managers : mgr[m].busy # NoBusy /\ mgr[m].busy.op = "read" =>
        mgr[m].busy.child \notin mgr[m].busy.wait

\* What is at the head of the channel to x can be taken.
DownReady(x) == MayRecvRecall(x) \/ IF x \in Leaves THEN MayLeafRecvGrant(x) ELSE MayRecvGrant(x)

\* Where no protocol step is possible, nobody waits.  (Written out, because ENABLED
\* of a whole handler is slow.  That a handler which may run can is what TLC's look
\* for deadlocks says: where nobody faults, there is nothing else that it could do.)
ProtocolStep ==
    \/ \E x \in DOMAIN Parent : MayRecvReq(x) \/ MayRecvAck(x) \/ DownReady(x)
    \/ \E x \in Leaves \cup {Home} : MayRecvData(x)
QuietInv ==
    ~ProtocolStep => /\ \A l \in Leaves : leaf[l].req = NoReq
                     /\ \A m \in Managers : mgr[m].busy = NoBusy /\ mgr[m].recall = NoRecall /\ mgr[m].queue = <<>>
                     /\ \A x \in DOMAIN Parent : up[x] = <<>> /\ down[x] = <<>>
                     /\ data = {}

(***************************************************************************)
(* Liveness.  What is at the head of a channel is taken some day, for each *)
(* channel by itself: that is weak fairness of the handlers, since a head  *)
(* that can be taken stays so until it is.  It is written without ENABLED, *)
(* which TLC evaluates very slowly on Decide.  So written it leaves out    *)
(* the behaviours that stop for ever.  Weak fairness lets them stop only   *)
(* where nothing can be taken, and there QuietInv says that nobody waits;  *)
(* that they stop nowhere else is what the models' look for deadlocks is   *)
(* for: it finds a handler that may run and cannot.                        *)
(***************************************************************************)
\* No step both takes from a channel and adds to it: who takes never sends on it.
TakesUp(x)   == MayRecvReq(x) \/ MayRecvAck(x) => Len(up'[x]) < Len(up[x])
TakesDown(x) == DownReady(x) => Len(down'[x]) < Len(down[x])
TakesData(x) == MayRecvData(x) => DataFor(x)' = {}

Fairness ==
    /\ \A x \in DOMAIN Parent : []<><<TakesUp(x)>>_vars /\ []<><<TakesDown(x)>>_vars
    /\ \A x \in Leaves \cup {Home} : []<><<TakesData(x)>>_vars

LiveSpec == Spec /\ Fairness

\* Every fault is served, and every request to write back answered.
FaultServedProp == \A l \in Leaves : leaf[l].req # NoReq ~> leaf[l].req = NoReq
\* Every recall is answered: whether it is on its way to x, waits there, or is taken.
RecallUnder(x) ==
    \/ \E r \in Msgs(down[x]) : r.kind = "Recall"
    \/ x \in Managers /\ (RecallWaits(mgr[x]) # {} \/ mgr[x].recall # NoRecall)
RecallServedProp == \A x \in DOMAIN Parent : RecallUnder(x) ~> ~RecallUnder(x)
\* No manager is busy for ever with one request.  (It may go from one straight to
\* the next, but never to another one of the same child.)
ServesChild(m, c) == mgr[m].busy # NoBusy /\ mgr[m].busy.child = c
ManagerFreesProp ==
    \A m \in Managers : \A c \in Children(m) : ServesChild(m, c) ~> ~ServesChild(m, c)
============================================================================
