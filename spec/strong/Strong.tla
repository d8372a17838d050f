------------------------------- MODULE Strong ------------------------------
(***************************************************************************)
(* Strong pages: one writer or many readers.  Three operations, and a leaf *)
(* that runs the cache side of a manager only, whose frame answers in the  *)
(* same step.                                                              *)
(***************************************************************************)
EXTENDS Manager

CONSTANT Values  \* what a store may write

NoReq   == [op |-> "none", have |-> None]
NoData  == <<>>        \* no Data has arrived; else <<content>>

(***************************************************************************)
(* The operations: to read, to write, and to clean an owner's page.        *)
(***************************************************************************)
StrongServices == [
    read      |-> [needs |-> Read,   grants |-> Read,  supplies |-> TRUE,
                   least |-> None,   most |-> None,  recalls |-> "supplier", keep |-> Owned],
    write     |-> [needs |-> Write,  grants |-> Write, supplies |-> TRUE,
                   least |-> None,   most |-> Owned, recalls |-> "others",   keep |-> None],
    writeback |-> [needs |-> AtHome, grants |-> None,  supplies |-> FALSE,
                   least |-> Owned,  most |-> Write, recalls |-> "asker",    keep |-> Read]
]

(***************************************************************************)
(* What a node has of a page is three things: the right that the tree has  *)
(* granted, leaf[l].right; a copy of the content; and the access of its    *)
(* processes.  Under strong the right decides the other two.               *)
(***************************************************************************)
HasCopy(l) == leaf[l].right # None
Access(r)  == IF r = Owned THEN Read ELSE r  \* of a leaf with this right

\* It comes before every grant of stores: what must be kept of a page before it
\* changes is kept here.  Strong pages keep nothing.
PrepareStore(page) == page

(***************************************************************************)
(* The actions of a leaf.  It takes a Grant (rule 6) once its page is      *)
(* there, which comes another way.                                         *)
(***************************************************************************)
MayLeafRecvGrant(l) == Has(down[l], "Grant") /\ (Head(down[l]).source = "sent" => leaf[l].arrived # NoData)

Ask(l, op, have) ==
    /\ leaf[l].req = NoReq
    /\ leaf' = [leaf EXCEPT ![l].req = [op |-> op, have |-> have]]
    /\ up' = [up EXCEPT ![l] = Append(@, ReqMsg(op, l, have))]
    /\ UNCHANGED <<mgr, home, down, data>>

ReadFault(l)  == leaf[l].right = None  /\ Ask(l, "read", None)
WriteFault(l) == leaf[l].right < Write /\ Ask(l, "write", leaf[l].right)
Writeback(l)  == leaf[l].right >= Owned /\ Ask(l, "writeback", leaf[l].right)

\* Only a read copy leaves silently, and never under one's own request (rule 5).
Evict(l) ==
    /\ leaf[l].right = Read
    /\ leaf[l].req = NoReq
    /\ leaf' = [leaf EXCEPT ![l].right = None, ![l].val = Zero]
    /\ UNCHANGED <<mgr, home, up, down, data>>

RecvData(l) ==
    /\ \E d \in data :
        /\ d.to = l
        /\ leaf' = [leaf EXCEPT ![l].arrived = <<d.val>>]
        /\ data' = data \ {d}
    /\ UNCHANGED <<mgr, home, up, down>>

LeafRecvGrant(l) ==
    /\ MayLeafRecvGrant(l)
    /\ LET g    == Head(down[l])
           page == [right   |-> Max(leaf[l].right, Service[g.op].grants),
                    req     |-> NoReq,
                    val     |-> CASE g.source = "sent" -> leaf[l].arrived[1]
                                  [] g.source = "zero" -> Zero
                                  [] OTHER             -> leaf[l].val,
                    arrived |-> IF g.source = "sent" THEN NoData ELSE leaf[l].arrived]
       IN  leaf' = [leaf EXCEPT ![l] = IF Service[g.op].grants = Write THEN PrepareStore(page) ELSE page]
    /\ down' = [down EXCEPT ![l] = Tail(@)]
    /\ UNCHANGED <<mgr, home, up, data>>

LeafRecvRecall(l) ==
    /\ MayRecvRecall(l)
    /\ LET r    == Head(down[l])
           keep == Min(leaf[l].right, r.keep)
           hit  == HasCopy(l) /\ r.dst # "nobody"
       IN  /\ leaf' = [leaf EXCEPT ![l].right = keep,
                                   ![l].val = IF keep = None THEN Zero ELSE @]
           /\ up' = [up EXCEPT ![l] = Append(@, AckMsg(keep, hit))]
           /\ data' = IF hit
                      THEN data \cup {DataMsg(IF r.dst = "home" THEN Home ELSE r.leaf, leaf[l].val)}
                      ELSE data
    /\ down' = [down EXCEPT ![l] = Tail(@)]
    /\ UNCHANGED <<mgr, home>>

\* The application's store: invisible to the protocol.
Store(l, v) ==
    /\ Access(leaf[l].right) = Write
    /\ leaf[l].val # v
    /\ leaf' = [leaf EXCEPT ![l].val = v]
    /\ UNCHANGED <<mgr, home, up, down, data>>

(***************************************************************************)
(* The system                                                              *)
(***************************************************************************)
Init ==
    /\ ManagerInit
    /\ leaf = [l \in Leaves |-> [right |-> None, req |-> NoReq, val |-> Zero, arrived |-> NoData]]

LeafNext(l) ==
    \/ ReadFault(l) \/ WriteFault(l) \/ Writeback(l) \/ Evict(l)
    \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)
    \/ \E v \in Values : Store(l, v)

Next == (\E m \in Managers : ManagerNext(m)) \/ (\E l \in Leaves : LeafNext(l))

Spec == Init /\ [][Next]_vars
============================================================================
