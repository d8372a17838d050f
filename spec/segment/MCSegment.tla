----------------------------- MODULE MCSegment -----------------------------
(***************************************************************************)
(* Nodes for TLC, bounds, and probes.                                      *)
(***************************************************************************)
EXTENDS SegmentInvs

CONSTANTS
    Most,       \* generations that are created
    Elsewhere,  \* some of them may be elsewhere
    Asks        \* the accesses that programs of a node make: one of AsksOf

MCNodes  == {"A", "B"}
MCThree  == {"A", "B", "C"}
MCNames  == {"a", "b"}
MCHomeOf == [a |-> "A", b |-> "B"]
AsksOf   == [
    all    |-> [n \in Nodes |-> {"read", "write"}],
    stores |-> [n \in Nodes |-> {"write"}],
    mixed  |-> [n \in Nodes |-> IF n = "A" THEN {"write"} ELSE {"read"}],
    far    |-> [n \in Nodes |-> IF n = "A" THEN {} ELSE {"write"}]
]
Active == {n \in Nodes : AsksOf[Asks][n] # {}}

\* The answers are looked at in the step, and are no part of a state.
View == <<past, view, leaf, home, net, early, maps, stored>>

\* The first segment is called a: nodes and names are alike.
BoundedNext ==
    \/ \E name \in Names : Now.newest < Most /\ (Now.newest = 0 => name = "a") /\ Create(name)
    \/ Remove
    \/ Elsewhere /\ Now.newest < Most /\ CreateElsewhere
    \/ \E n \in Nodes : \E to \in 1..Rev : Apply(n, to)
    \/ \E n \in Active : Map(n)
    \/ \E n \in Nodes : Serve(n)
    \/ \E n \in Active : \E g \in maps[n] :
          Refuse(n, g) \/ \E op \in AsksOf[Asks][n] : Access(n, g, op) \/ Fault(n, g, op)
    \/ \E n, m \in Nodes : n # m /\ Receive(n, m)
BoundedSpec == Init /\ [][BoundedNext]_vars
LiveSpec == BoundedSpec /\ Fairness

(***************************************************************************)
(* Probes.  Each says that something never happens, and must be violated.  *)
(***************************************************************************)
\* A view is skipped, and the page has another segment, while the node may store to it.
ReachSkippedWriteProp == [][\A n \in Nodes :
    ~(leaf[n].right = "write" /\ view'[n] > view[n] + 1 /\ Gen(n)' # 0 /\ Gen(n)' # Gen(n))]_vars
\* The same while a program waits, and while the node serves as the page's home.
ReachSkippedWaitProp == [][\A n \in Nodes : ~(Waits(n) /\ view'[n] > view[n] + 1 /\ Gen(n)' # 0)]_vars
ReachSkippedServingProp == [][\A n \in Nodes : ~(home[n].busy # Idle /\ view'[n] > view[n] + 1 /\ Gen(n)' # 0)]_vars
\* The old segment had the same name as the new one.
ReachSameName == ~ \E i, j \in 1..Rev : past[i].gen # past[j].gen /\ past[i].gen # 0 /\ past[i].name = past[j].name
\* A message is early; one that is kept is about a segment that came and went unseen; a
\* later one takes its place.
ReachEarly == \A n, m \in Nodes : early[n][m] = <<>>
ReachUnseen == \A n, m \in Nodes : ~(early[n][m] # <<>> /\ Due(n, m) /\ First(n, m).gen # Gen(n))
ReachReplacedProp == [][\A n, m \in Nodes :
    ~(early[n][m] # <<>> /\ early'[n][m] # <<>> /\ early'[n][m] # early[n][m])]_vars
\* What is early is served in the end.
ReachKeptTaken == \A n, m \in Nodes : ~(early[n][m] # <<>> /\ Takes(n, m, "Req"))
\* A Grant and a Recall of the segment before come late, while a program waits for the
\* same page of the next one; an Ack with stored bytes comes late.
IsHome(n) == Gen(n) # 0 /\ HomeNode(n) = n
Late(n, m, kind) == Due(n, m) /\ First(n, m).gen # Gen(n) /\ First(n, m).kind = kind
ReachLateGrant == \A n, m \in Nodes : ~(Late(n, m, "Grant") /\ Waits(n) /\ First(n, m).bytes # 0)
ReachLateRecall == \A n, m \in Nodes : ~(Late(n, m, "Recall") /\ leaf[n].right = "write")
ReachLateAck == \A n, m \in Nodes : ~(Late(n, m, "Ack") /\ First(n, m).bytes # 0 /\ IsHome(n))
ReachLateReq == \A n, m \in Nodes : ~(Late(n, m, "Req") /\ IsHome(n))
\* A program has mapped the segment before, while its node may store to the next one.
ReachOldMapping == \A n \in Nodes : ~(\E g \in maps[n] : g # Gen(n) /\ leaf[n].right # "none")
\* Two nodes may store to the page, each of another generation.
ReachTwoWriters == \A n, m \in Nodes : ~(n # m /\ leaf[n].right = "write" /\ leaf[m].right = "write")
\* Two nodes are the page's home, each of another generation.
ReachTwoHomes == \A n, m \in Nodes : ~(n # m /\ IsHome(n) /\ IsHome(m))
\* A segment is created elsewhere, and a message of an older generation is not late.
ReachElsewhere == \A n, m \in Nodes : ~(Has(n, m) /\ First(n, m).gen = Gen(n) /\ Newest(n) > Gen(n))
=============================================================================
