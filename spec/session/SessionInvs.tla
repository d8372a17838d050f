---------------------------- MODULE SessionInvs ----------------------------
(***************************************************************************)
(* What holds of a session.                                                *)
(***************************************************************************)
EXTENDS Session

\* The incarnation that e's peer has now, if e has a link with it, and it with e.
Both(e) ==
    LET p == Peer(e)
    IN  Has(e, inc[p]) /\ Has(p, inc[e])

\* Every frame is delivered once at most, in order, and none that was not appended.
DeliveredInv ==
    \A e \in Ends, i \in Incarnations :
        LET p == Peer(e)
            n == Len(got[e][i])
        IN  /\ got[e][i] = [k \in 1..n |-> k]
            /\ i = inc[p] => n <= links[p][inc[e]].nextSeq

\* Nothing is forgotten before the peer has received it.
KeptInv ==
    \A e \in Ends : LET p == Peer(e) IN Both(e) => links[e][inc[p]].acked <= links[p][inc[e]].received

\* What a connection is to carry next is kept still.
NextInv ==
    \A e \in Ends, i \in Incarnations :
        Has(e, i) /\ links[e][i].cur # 0 =>
            /\ links[e][i].next > links[e][i].acked
            /\ links[e][i].next <= links[e][i].nextSeq + 1

\* A link has one reader, and nobody writes where a frame was delivered.
PlaceInv ==
    \A c \in 1..Len(conns) : \A e \in Ends :
        conns[c].at[e] = "pipe" =>
            LET i == PeerOf(e, conns[c])
            IN  /\ Has(e, i) /\ links[e][i].cur = c
                /\ conns[c].reading[e].fresh => conns[c].reading[e].seq = links[e][i].received + 1

\* Who follows the rules is never taken for one who does not.
SoundInv == \A e \in Ends, i \in Incarnations : links[e][i].state = "halted" => links[e][i].why # "Malformed"

\* A peer that has left has said so behind everything.
LeftInv ==
    \A e \in Ends, i \in Incarnations :
        links[e][i].state = "halted" /\ links[e][i].why = "Left" /\ i = inc[Peer(e)] =>
            links[e][i].received = links[Peer(e)][inc[e]].nextSeq

\* A link that was up and is over stays over.
EndedInv == \A e \in Ends : \A i \in ended[e] : links[e][i].state = "over"

\* It gets no connection, and delivers nothing.
EndedProp ==
    [][\A e \in Ends, i \in Incarnations :
         i \in ended[e] /\ inc'[e] = inc[e] => got'[e][i] = got[e][i]]_vars
HaltedProp ==
    [][\A e \in Ends, i \in Incarnations :
         links[e][i].state = "halted" /\ links'[e][i].state = "halted" => links'[e][i].cur \in {0, links[e][i].cur}]_links

\* Attempts are taken in their order, at both ends.
AttemptsProp ==
    [][\A e \in Ends, i \in Incarnations :
         Has(e, i) /\ links'[e][i].state = "live" /\ links'[e][i].cur # 0 =>
             links'[e][i].cur >= links[e][i].cur /\ links'[e][i].attempt >= links[e][i].attempt]_links

\* The handler knows of one incarnation at a time: Down comes before the next Up.
OrderInv ==
    \A e \in Ends, i, j \in Incarnations :
        i < j /\ Has(e, i) /\ Has(e, j) => ~(links[e][i].heard /\ links[e][j].heard)

(***************************************************************************)
(* Liveness: where connections stay, at last, everything arrives, and is   *)
(* forgotten.                                                              *)
(***************************************************************************)
\* An attempt on a connection that is gone ends.
Hopeless(c) == ~conns[c].up /\ GiveUp(c)
\* d wants a connection when it has none.
Wanted(i) ==
    /\ links.d[i].state = "live" /\ links.d[i].cur = 0
    /\ \A c \in 1..Len(conns) : conns[c].at.d \notin {"hello", "proved"}
    /\ Dial(i)

Progress ==
    \/ \E c \in 1..Len(conns) : ConnNext(c) \/ Hopeless(c)
    \/ \E e \in Ends, i \in Incarnations : LinkNext(e, i)
    \/ \E i \in Incarnations : Wanted(i)
    \/ \E e \in Ends : Connect(e, inc[Peer(e)])

ArrivesProp ==
    \A e \in Ends : <>[](Has(Peer(e), inc[e]) =>
        LET p == Peer(e) IN Has(e, inc[p]) /\ links[e][inc[p]].received = links[p][inc[e]].nextSeq)
ForgottenProp ==
    \A e \in Ends : <>[](\A i \in Incarnations : Has(e, i) => links[e][i].acked = links[e][i].nextSeq)
============================================================================
