--------------------------- MODULE MCStrongRefine --------------------------
(***************************************************************************)
(* Strong pages are an atomic register.  The protocol does not know loads: *)
(* they are added here, and every load and store is written down in seen.  *)
(***************************************************************************)
EXTENDS MCStrong

VARIABLE seen

\* The content of the page: of any copy that may be read; if there is none, of the
\* copy on its way; else the home's.
Memory ==
    IF \E l \in Leaves : leaf[l].right >= Read
    THEN leaf[CHOOSE l \in Leaves : leaf[l].right >= Read].val
    ELSE IF data # {} THEN (CHOOSE d \in data : TRUE).val
    ELSE IF \E l \in Leaves : leaf[l].arrived # NoData
    THEN leaf[CHOOSE l \in Leaves : leaf[l].arrived # NoData].arrived[1]
    ELSE home.val

Register == INSTANCE Atomic WITH Clients <- Leaves, mem <- Memory

LoadSeen(l) ==
    /\ leaf[l].right >= Read
    /\ seen' = [by |-> l, op |-> "load", val |-> leaf[l].val]
    /\ UNCHANGED vars

StoreSeen(l, v) ==
    /\ Store(l, v)
    /\ seen' = [by |-> l, op |-> "store", val |-> v]

Silent(l) == \/ ReadFault(l) \/ WriteFault(l) \/ Writeback(l) \/ Evict(l)
             \/ RecvData(l) \/ LeafRecvGrant(l) \/ LeafRecvRecall(l)

RefineInit == Init /\ seen = Register!NothingSeen

RefineNext ==
    \/ \E l \in Leaves : LoadSeen(l) \/ \E v \in Values : StoreSeen(l, v)
    \/ /\ (\E m \in Managers : ManagerNext(m)) \/ (\E l \in Leaves : Silent(l))
       /\ UNCHANGED seen

RefineSpec == RefineInit /\ [][RefineNext]_<<vars, seen>>

\* Every load gives what the last store wrote, at every leaf.
RefinesAtomicProp == Register!Spec
============================================================================
