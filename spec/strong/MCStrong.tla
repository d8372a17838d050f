------------------------------ MODULE MCStrong -----------------------------
(***************************************************************************)
(* Trees for TLC, by name: the cfg files choose one.                       *)
(***************************************************************************)
EXTENDS StrongInvs

CONSTANT Tree

\* Trees name each node's parent; "r" is the root.
Trees == [
    root2    |-> [a |-> "r", b |-> "r"],
    root3    |-> [a |-> "r", b |-> "r", c |-> "r"],
    root4    |-> [a |-> "r", b |-> "r", c |-> "r", d |-> "r"],
    chain3   |-> [a |-> "m", b |-> "r", m |-> "r"],
    pair3    |-> [a |-> "m", b |-> "m", m |-> "r"],
    trio3    |-> [a |-> "m", b |-> "m", c |-> "m", m |-> "r"],
    wide3    |-> [a |-> "m", b |-> "m", c |-> "m", d |-> "r", m |-> "r"],
    deep3    |-> [a |-> "m", b |-> "m", c |-> "r", m |-> "r"],
    deep4    |-> [a |-> "m", b |-> "m", c |-> "r", m |-> "n", n |-> "r"],
    thin4    |-> [a |-> "m", b |-> "r", m |-> "n", n |-> "r"],
    fork4    |-> [a |-> "m", b |-> "m", c |-> "n", m |-> "n", n |-> "r"]
]
MCParent   == Trees[Tree]
MCLeaves   == DOMAIN MCParent \cap {"a", "b", "c", "d"}
MCManagers == (DOMAIN MCParent \cap {"m", "n"}) \cup {"r"}

(***************************************************************************)
(* Liveness in larger trees: leaves that want to read and write again and  *)
(* again, and neither store, evict nor write back.                         *)
(***************************************************************************)
Asker(l)   == ReadFault(l) \/ WriteFault(l) \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)
AskersNext == (\E m \in Managers : ManagerNext(m)) \/ (\E l \in Leaves : Asker(l))
AskersSpec == Init /\ [][AskersNext]_vars /\ Fairness

\* The same with leaves that only want to write: four of them, for the order of
\* arrival (rule 10).
Writer(l)   == WriteFault(l) \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)
WritersNext == (\E m \in Managers : ManagerNext(m)) \/ (\E l \in Leaves : Writer(l))
WritersSpec == Init /\ [][WritersNext]_vars /\ Fairness

----------------------------------------------------------------------------
(***************************************************************************)
(* Probes.  Each says that a state or a step never happens, and must be    *)
(* violated: that shows that the properties were put to the test there.    *)
(***************************************************************************)
Busy(m)      == mgr[m].busy # NoBusy
Recalled(m)  == mgr[m].recall # NoRecall
Inner        == Managers \ {Root}
Grants1(x)   == {g \in Msgs(down[x]) : g.kind = "Grant"}

\* Leaves.

\* Rule 5: a leaf loses its copy while its upgrade is under way, and is sent data.
ReachLostUpgrade ==
    ~ \E l \in Leaves : /\ leaf[l].req.op = "write" /\ leaf[l].req.have # None
                        /\ leaf[l].right = None /\ leaf[l].arrived # NoData
\* An upgrade keeps its copy to the end.
ReachKeptUpgrade ==
    ~ \E l \in Leaves : \E g \in Grants1(l) : g.op = "write" /\ g.source = "have"
\* An owner upgrades while another has a copy.
ReachOwnerUpgrade ==
    ~ \E l, k \in Leaves : leaf[l].right = Owned /\ leaf[l].req.op = "write" /\ leaf[k].right = Read
\* Rule 6: the Grant is there, its Data is not, and a Recall waits behind it.
ReachGrantWaits ==
    ~ \E l \in Leaves : /\ Len(down[l]) = 2 /\ down[l][1].source = "sent"
                        /\ leaf[l].arrived = NoData
\* The Data is there before its Grant.
ReachDataFirst ==
    ~ \E l \in Leaves : leaf[l].arrived # NoData /\ Grants1(l) = {}
\* An owner that keeps its copy supplies another leaf.
ReachOwnerSupplies ==
    ~ \E l, k \in Leaves : l # k /\ leaf[l].right = Owned /\ DataFor(k) # {}
\* A writer asks to write back, and has nothing left when the answer comes.
ReachWritebackLost ==
    ~ \E l \in Leaves : leaf[l].right = None /\ \E g \in Grants1(l) : g.op = "writeback"
\* A write of a page that was never written.
ReachZeroWrite ==
    ~ \E l \in Leaves : \E g \in Grants1(l) : g.op = "write" /\ g.source = "zero"

\* The home.

\* The home is valid again, and grants.
ReachHomeGrants ==
    ~ (home.state = "valid" /\ \E l \in Leaves : DataFor(l) # {})
\* Rule 8: the acknowledgement of a writeback is there before its Data.
ReachAckBeforeData == ~ (Busy(Root) /\ mgr[Root].busy.wait = {} /\ mgr[Root].busy.homeDue > 0)
\* ... and the other way round.
ReachDataBeforeAck ==
    ~ (Busy(Root) /\ mgr[Root].busy.op = "writeback" /\ mgr[Root].busy.wait # {} /\ mgr[Root].busy.homeDue = 0)

\* Intermediates.

\* Rule 4: a Recall that comes in the middle of serving waits.
ReachDeferredRecall ==
    ~ \E m \in Inner : /\ Busy(m) /\ mgr[m].busy.phase = "serve"
                       /\ RecallWaits(mgr[m]) # {}
\* ... and has a request before it.
ReachRecallBehind ==
    ~ \E m \in Inner : \E i \in RecallWaits(mgr[m]) : i > 1
\* ... and one behind it.
ReachRecallBefore ==
    ~ \E m \in Inner : \E i \in RecallWaits(mgr[m]) : i < Len(mgr[m].queue)
\* A Recall is taken while waiting for the parent.
ReachRecallWhileUp == ~ \E m \in Inner : Busy(m) /\ Recalled(m)
\* The Grant of that request comes while the Recall is still behind it.
ReachGrantThenRecall == ~ \E m \in Inner : Len(down[m]) = 2
\* A request comes while a Recall is being answered, and waits.
ReachRecallThenReq ==
    ~ \E m \in Inner : Recalled(m) /\ \E c \in Children(m) : Has(up[c], "Req")
\* An intermediate claims more than its leaf has: its own right.
ReachClaim ==
    ~ \E m \in Inner : \E r \in Msgs(up[m]) :
        r.kind = "Req" /\ r.op = "write" /\ r.have > mgr[m].recorded[mgr[m].busy.child]
\* ... and is granted "have" for a leaf that has nothing: its children must supply it.
ReachHaveFromChild ==
    ~ \E m \in Inner : \E g \in Grants1(m) :
        /\ g.op = "write" /\ g.source = "have"
        /\ Busy(m) /\ mgr[m].recorded[mgr[m].busy.child] = None
\* The page goes from writer to writer within a subtree, and the root hears nothing.
ReachLocalWrite ==
    ~ \E m \in Inner : /\ Busy(m) /\ mgr[m].busy.op = "write" /\ mgr[m].busy.phase = "serve"
                       /\ mgr[m].busy.wait # {} /\ ~Busy(Root)
\* An evicted copy misses a fetch.
ReachMiss ==
    ~ \E m \in Inner : /\ Busy(m) /\ mgr[m].busy.op = "read" /\ mgr[m].busy.phase = "serve"
                       /\ \E c \in mgr[m].busy.wait :
                            \E a \in Msgs(up[c]) : a.kind = "Ack" /\ ~a.hit
\* Rule 7: the next is tried.
ReachNextProp ==
    [][\A m \in Inner :
        ~ (/\ Busy(m) /\ mgr[m].busy.op = "read" /\ mgr[m].busy.wait # {}
           /\ mgr'[m].busy # NoBusy /\ mgr'[m].busy.child = mgr[m].busy.child
           /\ mgr'[m].busy.wait # {} /\ mgr'[m].busy.wait # mgr[m].busy.wait)]_vars
\* Nobody is left: the manager climbs.
ReachMissClimbsProp ==
    [][\A m \in Inner :
        ~ (/\ Busy(m) /\ mgr[m].busy.op = "read" /\ mgr[m].busy.wait # {}
           /\ mgr'[m].busy # NoBusy /\ mgr'[m].busy.child = mgr[m].busy.child
           /\ mgr'[m].busy.phase = "up")]_vars
\* The same for a fetch that came from above: the next is tried ...
ReachRecallNextProp ==
    [][\A m \in Inner :
        ~ (/\ Recalled(m) /\ mgr'[m].recall # NoRecall
           /\ mgr'[m].recall.wait # {} /\ mgr'[m].recall.wait \ mgr[m].recall.wait # {})]_vars
\* ... or the intermediate misses itself.
ReachRecallMiss ==
    ~ \E m \in Inner : \E a \in Msgs(up[m]) : /\ a.kind = "Ack" /\ ~a.hit
                                              /\ mgr[Parent[m]].busy # NoBusy
                                              /\ mgr[Parent[m]].busy.op = "read"
\* Rule 2: a writeback is moot at an intermediate, which answers it.
ReachMootProp ==
    [][\A m \in Inner : \A c \in Children(m) :
        ~ (/\ Len(down'[c]) > Len(down[c])
           /\ down'[c][Len(down'[c])].kind = "Grant" /\ down'[c][Len(down'[c])].op = "writeback"
           /\ down'[m] = down[m])]_vars
============================================================================
