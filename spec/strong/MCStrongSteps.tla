--------------------------- MODULE MCStrongSteps ---------------------------
(***************************************************************************)
(* The recall of a leaf in the steps that a node takes for it: protect the *)
(* page, send it, drop it, acknowledge.  Between them other nodes go on,   *)
(* and processes of this one load and, until the page is protected, store. *)
(* Nothing else happens to the page at its node meanwhile: its lock is     *)
(* held.  The register is the same.                                        *)
(***************************************************************************)
EXTENDS MCStrongRefine

VARIABLES
    job,     \* job[l]: the step of the recall that comes next, and whether the page was sent
    may      \* may[l]: what processes may do

NoJob == [step |-> "none", hit |-> FALSE]

stepVars == <<vars, seen, job, may>>

ProtectPage(l) ==
    /\ job[l] = NoJob
    /\ MayRecvRecall(l)
    /\ job' = [job EXCEPT ![l].step = "send"]
    /\ may' = [may EXCEPT ![l] = Min(@, Read)]
    /\ UNCHANGED <<vars, seen>>

SendPage(l) ==
    /\ job[l].step = "send"
    /\ LET r   == Head(down[l])
           hit == HasCopy(l) /\ r.dst # "nobody"
       IN  /\ job' = [job EXCEPT ![l] = [step |-> "drop", hit |-> hit]]
           /\ data' = IF hit
                      THEN data \cup {DataMsg(IF r.dst = "home" THEN Home ELSE r.leaf, leaf[l].val)}
                      ELSE data
    /\ UNCHANGED <<mgr, leaf, home, up, down, seen, may>>

DropPage(l) ==
    /\ job[l].step = "drop"
    /\ LET keep == Min(leaf[l].right, Head(down[l]).keep)
       IN  /\ leaf' = [leaf EXCEPT ![l].right = keep,
                                   ![l].val = IF keep = None THEN Zero ELSE @]
           /\ may' = [may EXCEPT ![l] = Min(@, Access(keep))]
    /\ job' = [job EXCEPT ![l].step = "ack"]
    /\ UNCHANGED <<mgr, home, up, down, data, seen>>

AckRecall(l) ==
    /\ job[l].step = "ack"
    /\ up' = [up EXCEPT ![l] = Append(@, AckMsg(leaf[l].right, job[l].hit))]
    /\ down' = [down EXCEPT ![l] = Tail(@)]
    /\ job' = [job EXCEPT ![l] = NoJob]
    /\ UNCHANGED <<mgr, leaf, home, data, seen, may>>

\* What else happens at the leaf takes one step, as in Strong.
Other(l) ==
    /\ job[l] = NoJob
    /\ \/ ReadFault(l) \/ WriteFault(l) \/ Writeback(l) \/ Evict(l)
       \/ RecvData(l) \/ LeafRecvGrant(l)
    /\ may' = [may EXCEPT ![l] = Access(leaf'[l].right)]
    /\ UNCHANGED <<seen, job>>

Load(l) ==
    /\ may[l] >= Read
    /\ seen' = [by |-> l, op |-> "load", val |-> leaf[l].val]
    /\ UNCHANGED <<vars, job, may>>

StoreTo(l, v) ==
    /\ may[l] = Write
    /\ StoreSeen(l, v)
    /\ UNCHANGED <<job, may>>

StepsInit ==
    /\ RefineInit
    /\ job = [l \in Leaves |-> NoJob]
    /\ may = [l \in Leaves |-> None]

StepsNext ==
    \/ \E l \in Leaves : Load(l) \/ \E v \in Values : StoreTo(l, v)
    \/ \E l \in Leaves : ProtectPage(l) \/ SendPage(l) \/ DropPage(l) \/ AckRecall(l) \/ Other(l)
    \/ (\E m \in Managers : ManagerNext(m)) /\ UNCHANGED <<seen, job, may>>

StepsSpec == StepsInit /\ [][StepsNext]_stepVars

\* A process may do no more than its leaf.
ProcessInv == \A l \in Leaves : may[l] <= Access(leaf[l].right)
============================================================================
