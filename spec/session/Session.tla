------------------------------ MODULE Session ------------------------------
(***************************************************************************)
(* One link between two nodes: a session that outlives its connections.    *)
(* Each end numbers its frames, keeps them until they are acknowledged,    *)
(* and sends on the next connection what the other end has not received.   *)
(* Node "d" dials, node "a" accepts.                                       *)
(*                                                                         *)
(* A connection carries messages in order and loses an end of them when it *)
(* breaks.  Attempts to make one run beside each other and are numbered.   *)
(* A process that has ended comes again as another incarnation.            *)
(*                                                                         *)
(* impl/wire does this: an action here has the name of the function there. *)
(* Time is not here: what takes time there may happen at any moment.       *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS
    Incarnations     \* 1..n: those that a process may have

Ends    == {"d", "a"}
Peer(e) == IF e = "d" THEN "a" ELSE "d"
Max(m, n) == IF m > n THEN m ELSE n

VARIABLES
    inc,       \* inc[e]: the incarnation of e's process
    links,     \* links[e][i]: e's link with incarnation i of its peer
    current,   \* current[e]: the incarnation whose link e has now, or 0
    gone,      \* gone[e]: up to this one, links are over for good
    closed,    \* closed[e]: e leaves
    attempts,  \* of d's process: attempts that have begun
    sessions,  \* how many sessions d has named
    conns      \* all connections, by the order in which their attempts began

(***************************************************************************)
(* What the handlers were told: no guard reads it.                         *)
(***************************************************************************)
VARIABLES
    got,       \* got[e][i]: the frames that were delivered, in order
    ended      \* ended[e]: the incarnations whose link was up and is over

mesh == <<inc, current, gone, closed, attempts, sessions>>
told == <<got, ended>>
vars == <<inc, links, current, gone, closed, attempts, sessions, conns, got, ended>>

NewLink(session) == [
    state    |-> "live",   \* then "halted", and "over"
    why      |-> "",       \* what Down will say of a link that is not live; "": no Down
    session  |-> session,  \* its name; 0: not known yet
    up       |-> FALSE,    \* was connected once
    heard    |-> FALSE,    \* the handler knows that it is up
    cur      |-> 0,        \* its connection, or 0
    next     |-> 0,        \* the next frame to write there
    bye      |-> FALSE,    \* Bye was written there
    nextSeq  |-> 0,        \* of the last frame
    acked    |-> 0,        \* of the last one that the peer has acknowledged: those behind it are kept
    maxSent  |-> 0,        \* of the last one that was ever written
    received |-> 0,        \* of the last one of the peer's
    attempt  |-> 0,        \* a: the last attempt that was taken
    proving  |-> 0,        \* d: the connection whose attempt has sent its PROOF last
    overtaken |-> 0]       \* d: attempts with lower numbers are
NoLink  == [NewLink(0) EXCEPT !.state = "none"]
Over(l) == [NewLink(0) EXCEPT !.state = "over", !.nextSeq = l.nextSeq, !.heard = l.heard]

Has(e, i)  == links[e][i].state \in {"live", "halted"}
Live(e, i) == links[e][i].state = "live"

(***************************************************************************)
(* Connections                                                             *)
(***************************************************************************)
NoFrame == [seq |-> 0, fresh |-> FALSE]
Dead == [
    hello   |-> [session |-> 0],
    up      |-> FALSE,                             \* it carries what is written
    at      |-> [d |-> "closed", a |-> "closed"],  \* each end: see below
    to      |-> [d |-> <<>>, a |-> <<>>],          \* what is under way to each end
    reading |-> [d |-> NoFrame, a |-> NoFrame]]    \* between begin and finish
\* at.d: "hello", "proved", "pipe" (it is the link's, and has a reader), "closed".
\* at.a: "waiting" for the PROOF, "pipe", "closed".
NewConn(hello) == [Dead EXCEPT !.hello = hello, !.up = TRUE, !.at = [d |-> "hello", a |-> "waiting"]]

Proof         == [kind |-> "Proof"]
Welcome(last) == [kind |-> "Welcome", ack |-> last]
Refused(code) == [kind |-> "Refused", code |-> code]
Frame(n, ack) == [kind |-> "Frame", seq |-> n, ack |-> ack]
Beat(ack)     == [kind |-> "Beat", ack |-> ack]
Bye(ack)      == [kind |-> "Bye", ack |-> ack]

\* Nobody looks at it any more.
Clean(k) ==
    IF k.at.d = "closed" /\ (k.at.a = "closed" \/ (k.at.a = "waiting" /\ k.to.a = <<>>)) THEN Dead ELSE k

\* The end e closes it.  What e has written may still arrive, or a part of it.
Shut(k, e) ==
    Clean([k EXCEPT !.up = FALSE, !.at[e] = "closed", !.to[e] = <<>>, !.reading[e] = NoFrame])

Write(k, e, m) ==
    IF k.up /\ k.at[Peer(e)] # "closed" THEN [k EXCEPT !.to[Peer(e)] = Append(@, m)] ELSE k

\* The incarnation of the peer that the end e of a connection has a link with.
PeerOf(e, k) == IF e = "d" THEN k.hello.to ELSE k.hello.inc

First(e, c) == Head(conns[c].to[e])
Comes(e, c, kinds) == conns[c].to[e] # <<>> /\ First(e, c).kind \in kinds

(***************************************************************************)
(* The state of a link, as functions                                       *)
(***************************************************************************)
\* Frames up to ack are forgotten; a connection that has not come to them yet
\* leaves them out.
AckBelow(l, ack) ==
    [l EXCEPT !.acked = Max(@, ack), !.next = IF l.cur # 0 THEN Max(@, ack + 1) ELSE @]

Halt(l, why) == IF l.state = "live" THEN [l EXCEPT !.state = "halted", !.why = why] ELSE l

\* The link's connection ends, and its reader.
Detach(ks, l, e) == IF l.cur = 0 THEN ks ELSE [ks EXCEPT ![l.cur] = Shut(@, e)]
Detached(l) == [l EXCEPT !.cur = 0, !.next = 0, !.bye = FALSE]

\* The peer has received the frames up to last, or more than that by now.
Attach(l, c, last) ==
    LET k == AckBelow(l, last)
    IN  [k EXCEPT !.up = TRUE, !.cur = c, !.next = Max(last, k.acked) + 1]

SetLink(e, i, l) == links' = [links EXCEPT ![e][i] = l]

\* A reader waits for the handler to know: so does who ends it.
Detachable(l) == l.up => l.heard

(***************************************************************************)
(* The mesh                                                                *)
(***************************************************************************)
\* e's link with incarnation i is the one that e has, in place of the one before.
NewLinks(ls, e, i, session) ==
    LET old == current[e]
        ends == IF old = 0 THEN ls ELSE [ls EXCEPT ![e][old] = Halt(@, "Incarnation")]
    IN  [ends EXCEPT ![e][i] = NewLink(session)]

\* e knows of an incarnation of its peer.
Connect(e, i) ==
    /\ ~closed[e]
    /\ i <= inc[Peer(e)] /\ i > gone[e] /\ i > current[e]
    /\ sessions' = IF e = "d" THEN sessions + 1 ELSE sessions
    /\ links' = NewLinks(links, e, i, IF e = "d" THEN sessions' ELSE 0)
    /\ current' = [current EXCEPT ![e] = i]
    /\ UNCHANGED <<inc, gone, closed, attempts, conns, told>>

\* Everybody hears that e leaves, behind all that was queued; where there is no
\* connection the link ends at once.
Close(e) ==
    /\ ~closed[e]
    /\ closed' = [closed EXCEPT ![e] = TRUE]
    /\ links' = [links EXCEPT ![e] = [i \in Incarnations |->
                    IF Live(e, i) /\ @[i].cur = 0 THEN Halt(@[i], "") ELSE @[i]]]
    /\ UNCHANGED <<inc, current, gone, attempts, sessions, conns, told>>

\* Close waits for so long and no longer.
Linger(e, i) ==
    /\ closed[e] /\ Live(e, i)
    /\ SetLink(e, i, Halt(links[e][i], ""))
    /\ UNCHANGED <<mesh, conns, told>>

\* The peer was declared dead.
Disconnect(e, i) ==
    /\ i = current[e] /\ Live(e, i)
    /\ SetLink(e, i, Halt(links[e][i], ""))
    /\ gone' = [gone EXCEPT ![e] = Max(@, i)]
    /\ UNCHANGED <<inc, current, closed, attempts, sessions, conns, told>>

\* Nothing was heard of the peer for the repair time.
Silent(e, i) ==
    /\ Live(e, i)
    /\ SetLink(e, i, Halt(links[e][i], "Silent"))
    /\ UNCHANGED <<mesh, conns, told>>

\* The links with former incarnations of the peer are over.
FormerOver(e, i) == \A j \in Incarnations : j < i => ~Has(e, j)

\* The end of a link: of its connection, of its attempts, and then Down.  It comes
\* after that of a former one.
Conclude(e, i) ==
    LET l == links[e][i]
        mine(k) == e = "d" /\ k.at.d \in {"hello", "proved"} /\ k.hello.to = i
        shut(k) == IF mine(k) THEN Shut(k, "d") ELSE k
        ks == Detach(conns, l, e)
    IN  /\ l.state = "halted" /\ FormerOver(e, i) /\ Detachable(l)
        /\ conns' = [c \in 1..Len(ks) |-> shut(ks[c])]
        /\ SetLink(e, i, Over(l))
        /\ current' = [current EXCEPT ![e] = IF @ = i THEN 0 ELSE @]
        /\ gone' = [gone EXCEPT ![e] = IF l.up THEN Max(@, i) ELSE @]
        /\ ended' = [ended EXCEPT ![e] = IF l.up THEN @ \cup {i} ELSE @]
        /\ UNCHANGED <<inc, closed, attempts, sessions, got>>

\* A process dies, and comes again as another incarnation, that has nothing.
Restart(e) ==
    /\ inc[e] + 1 \in Incarnations
    /\ inc' = [inc EXCEPT ![e] = @ + 1]
    /\ links' = [links EXCEPT ![e] = [i \in Incarnations |-> NoLink]]
    /\ current' = [current EXCEPT ![e] = 0]
    /\ gone' = [gone EXCEPT ![e] = 0]
    /\ closed' = [closed EXCEPT ![e] = FALSE]
    /\ attempts' = IF e = "d" THEN 0 ELSE attempts
    /\ conns' = [c \in 1..Len(conns) |-> Shut(conns[c], e)]
    /\ got' = [got EXCEPT ![e] = [i \in Incarnations |-> <<>>]]
    /\ ended' = [ended EXCEPT ![e] = {}]
    /\ UNCHANGED sessions

(***************************************************************************)
(* The node that dials                                                     *)
(***************************************************************************)
\* An attempt begins.  Its HELLO says what d has received by then; the CHALLENGE
\* says nothing that matters here.
Dial(i) ==
    LET l == links.d[i]
    IN  /\ Live("d", i) /\ ~closed.d
        /\ attempts' = attempts + 1
        /\ conns' = Append(conns, NewConn([inc |-> inc.d, to |-> i, session |-> l.session,
                                           resume |-> l.up, attempt |-> attempts', last |-> l.received]))
        /\ UNCHANGED <<inc, links, current, gone, closed, sessions, told>>

DialOf(c, stages) == conns[c].at.d \in stages

\* An attempt that ends makes room for the next one's proof.
EndAttempt(l, c) == IF l.proving = c THEN [l EXCEPT !.proving = 0] ELSE l

\* One attempt at a time sends its proof; one that is not answered is overtaken.
TakeTurn(c) ==
    LET k == conns[c]
        i == k.hello.to
    IN  /\ DialOf(c, {"hello"}) /\ k.up /\ Has("d", i)
        /\ IF k.hello.attempt < links.d[i].overtaken
           THEN /\ conns' = [conns EXCEPT ![c] = Shut(@, "d")]
                /\ UNCHANGED links
           ELSE /\ SetLink("d", i, [links.d[i] EXCEPT !.proving = c, !.overtaken = k.hello.attempt])
                /\ conns' = [conns EXCEPT ![c] = Write([@ EXCEPT !.at.d = "proved"], "d", Proof)]
        /\ UNCHANGED <<mesh, told>>

\* Its time is over, it was cancelled, or its connection broke.
GiveUp(c) ==
    LET i == conns[c].hello.to
    IN  /\ DialOf(c, {"hello", "proved"})
        /\ conns' = [conns EXCEPT ![c] = Shut(@, "d")]
        /\ SetLink("d", i, EndAttempt(links.d[i], c))
        /\ UNCHANGED <<mesh, told>>

\* The attempt was welcomed: its connection takes the place of the one before.
TakeOver(c) ==
    LET i    == conns[c].hello.to
        l    == links.d[i]
        last == First("d", c).ack
        lost == [conns EXCEPT ![c] = Shut(@, "d")]
        bad  == last < l.acked \/ last > l.maxSent
    IN  /\ DialOf(c, {"proved"}) /\ Comes("d", c, {"Welcome"})
        /\ IF l.proving # c
           THEN /\ conns' = lost
                /\ UNCHANGED links
           ELSE /\ Detachable(l)
                /\ IF bad \/ l.state # "live"
                   THEN /\ conns' = Detach(lost, l, "d")
                        /\ SetLink("d", i, Halt([Detached(l) EXCEPT !.proving = 0], "Malformed"))
                   ELSE /\ conns' = [Detach(conns, l, "d") EXCEPT ![c].at.d = "pipe", ![c].to.d = Tail(@)]
                        /\ SetLink("d", i, [Attach(Detached(l), c, last) EXCEPT
                                               !.proving = 0, !.overtaken = attempts + 1])
        /\ UNCHANGED <<mesh, told>>

\* Some refusals are final, and end the link.
RecvRefused(c) ==
    LET i    == conns[c].hello.to
        code == First("d", c).code
        l    == EndAttempt(links.d[i], c)
    IN  /\ DialOf(c, {"proved"}) /\ Comes("d", c, {"Refused"})
        /\ conns' = [conns EXCEPT ![c] = Shut(@, "d")]
        /\ SetLink("d", i, IF code = "Stale" THEN l ELSE Halt(l, code))
        /\ UNCHANGED <<mesh, told>>

(***************************************************************************)
(* The node that accepts                                                   *)
(***************************************************************************)
\* The PROOF has come: the attempt gets the link that it asks for, or a refusal.
Admit(c) ==
    LET h   == conns[c].hello
        i   == h.inc
        now == current.a
        refuse(code) == [conns EXCEPT ![c] = Shut(Write(@, "a", Refused(code)), "a")]
        new == now = 0 \/ i > now
        ls  == IF new THEN NewLinks(links, "a", i, 0) ELSE links
        l   == ls.a[i]
        known == l.session = h.session \/ (~l.up /\ ~h.resume)
    IN  /\ conns[c].at.a = "waiting" /\ Comes("a", c, {"Proof"})
        /\ IF h.to # inc.a
           THEN conns' = refuse("Incarnation") /\ UNCHANGED <<links, current>>
           ELSE IF closed.a
           THEN conns' = refuse("Closing") /\ UNCHANGED <<links, current>>
           ELSE IF i <= gone.a \/ (new /\ h.resume)
           THEN conns' = refuse("Gone") /\ UNCHANGED <<links, current>>
           ELSE IF i < now
           THEN conns' = refuse("Incarnation") /\ UNCHANGED <<links, current>>
           ELSE /\ current' = [current EXCEPT !.a = i]
                /\ IF h.attempt <= l.attempt
                   THEN conns' = refuse("Stale") /\ links' = ls
                   ELSE IF l.state # "live" \/ ~known
                   THEN /\ conns' = refuse("Gone")
                        /\ links' = [ls EXCEPT !.a[i] = Halt(l, "Gone")]
                   ELSE /\ Detachable(l)
                        /\ IF h.last > l.maxSent
                           THEN /\ conns' = [Detach(conns, l, "a") EXCEPT ![c] = Shut(@, "a")]
                                /\ links' = [ls EXCEPT !.a[i] = Halt(Detached(l), "Malformed")]
                           ELSE /\ conns' = [Detach(conns, l, "a") EXCEPT
                                    ![c] = Write([@ EXCEPT !.at.a = "pipe", !.to.a = Tail(@)], "a", Welcome(l.received))]
                                /\ links' = [ls EXCEPT !.a[i] =
                                    [Attach(Detached(l), c, h.last) EXCEPT !.session = h.session, !.attempt = h.attempt]]
        /\ UNCHANGED <<inc, gone, closed, attempts, sessions, told>>

(***************************************************************************)
(* Both ends, on the link's connection                                     *)
(***************************************************************************)
AppendFrame(e, i) ==
    /\ Live(e, i) /\ ~closed[e]
    /\ SetLink(e, i, [links[e][i] EXCEPT !.nextSeq = @ + 1])
    /\ UNCHANGED <<mesh, conns, told>>

Connected(e, i) == Has(e, i) /\ links[e][i].cur # 0 /\ conns[links[e][i].cur].up

\* Each frame carries the newest acknowledgement.
Assemble(e, i) ==
    LET l == links[e][i]
    IN  /\ Connected(e, i) /\ ~l.bye
        /\ l.next <= l.nextSeq
        /\ SetLink(e, i, [l EXCEPT !.next = @ + 1, !.maxSent = Max(@, l.next)])
        /\ conns' = [conns EXCEPT ![l.cur] = Write(@, e, Frame(l.next, l.received))]
        /\ UNCHANGED <<mesh, told>>

\* An acknowledgement by itself, or a heartbeat.  One that says what the peer
\* knows, or is about to be told, changes nothing: it is no step.
Acknowledge(e, i) ==
    LET l  == links[e][i]
        p  == Peer(e)
        k  == conns[l.cur]
        under == k.to[p]
    IN  /\ Connected(e, i) /\ ~l.bye
        /\ l.next > l.nextSeq
        /\ k.at[p] # "closed" /\ links[p][PeerOf(p, k)].acked < l.received
        /\ under # <<>> => under[Len(under)].ack < l.received
        /\ conns' = [conns EXCEPT ![l.cur] = Write(@, e, Beat(l.received))]
        /\ UNCHANGED <<mesh, links, told>>

SayBye(e, i) ==
    LET l == links[e][i]
    IN  /\ closed[e] /\ Connected(e, i) /\ ~l.bye
        /\ l.next > l.nextSeq
        /\ SetLink(e, i, [l EXCEPT !.bye = TRUE])
        /\ conns' = [conns EXCEPT ![l.cur] = Write(@, e, Bye(l.received))]
        /\ UNCHANGED <<mesh, told>>

\* The reader of the first connection begins with it, when the Down of every
\* former incarnation was told.
Up(e, i) ==
    LET l == links[e][i]
    IN  /\ Has(e, i) /\ l.up /\ ~l.heard
        /\ FormerOver(e, i)
        /\ SetLink(e, i, [l EXCEPT !.heard = TRUE])
        /\ UNCHANGED <<mesh, conns, told>>

\* The reader ends, and the connection with it.
EndReader(e, c, l, why) ==
    /\ conns' = [conns EXCEPT ![c] = Shut(@, e)]
    /\ LET k == IF l.cur = c THEN Detached(l) ELSE l
       IN  SetLink(e, PeerOf(e, conns[c]),
                   IF closed[e] THEN Halt(k, "") ELSE IF why # "" THEN Halt(k, why) ELSE k)

Reads(e, c) == conns[c].at[e] = "pipe" /\ links[e][PeerOf(e, conns[c])].heard
Malformed(l, seq, ack) == seq > l.received + 1 \/ ack > l.maxSent

\* The header of a frame is there.  A frame that is not here yet is read to where
\* the handler says.
Begin(e, c) ==
    LET i == PeerOf(e, conns[c])
        l == links[e][i]
        m == First(e, c)
    IN  /\ Reads(e, c) /\ Comes(e, c, {"Frame"}) /\ conns[c].reading[e] = NoFrame
        /\ IF Malformed(l, m.seq, m.ack)
           THEN EndReader(e, c, l, "Malformed")
           ELSE /\ SetLink(e, i, AckBelow(l, m.ack))
                /\ conns' = [conns EXCEPT ![c].reading[e] = [seq |-> m.seq, fresh |-> m.seq = l.received + 1]]
        /\ UNCHANGED <<mesh, told>>

\* It is delivered, if it was not before.
Finish(e, c) ==
    LET i == PeerOf(e, conns[c])
        l == links[e][i]
        f == conns[c].reading[e]
    IN  /\ Reads(e, c) /\ f # NoFrame
        /\ conns' = [conns EXCEPT ![c].reading[e] = NoFrame, ![c].to[e] = Tail(@)]
        /\ IF f.seq <= l.received
           THEN UNCHANGED <<links, got>>
           ELSE /\ SetLink(e, i, [l EXCEPT !.received = f.seq])
                /\ got' = [got EXCEPT ![e][i] = Append(@, f.seq)]
        /\ UNCHANGED <<mesh, ended>>

\* Frames without a number.
RecvControl(e, c) ==
    LET i == PeerOf(e, conns[c])
        l == links[e][i]
        m == First(e, c)
    IN  /\ Reads(e, c) /\ Comes(e, c, {"Beat", "Bye"})
        /\ IF Malformed(l, 0, m.ack)
           THEN EndReader(e, c, l, "Malformed")
           ELSE IF m.kind = "Bye"
           THEN EndReader(e, c, AckBelow(l, m.ack), "Left")
           ELSE /\ SetLink(e, i, AckBelow(l, m.ack))
                /\ conns' = [conns EXCEPT ![c].to[e] = Tail(@)]
        /\ UNCHANGED <<mesh, told>>

\* A connection that broke ends where it has not brought everything, too.
ReadLoopEnds(e, c) ==
    /\ Reads(e, c) /\ ~conns[c].up
    /\ EndReader(e, c, links[e][PeerOf(e, conns[c])], "")
    /\ UNCHANGED <<mesh, told>>

\* Waiting for a PROOF in vain.
AcceptorEnds(c) ==
    /\ conns[c].at.a = "waiting" /\ ~conns[c].up
    /\ conns' = [conns EXCEPT ![c] = Shut(@, "a")]
    /\ UNCHANGED <<mesh, links, told>>

(***************************************************************************)
(* The network                                                             *)
(***************************************************************************)
Break(c) ==
    /\ conns[c].up
    /\ conns' = [conns EXCEPT ![c].up = FALSE]
    /\ UNCHANGED <<mesh, links, told>>

----------------------------------------------------------------------------
Init ==
    /\ inc = [e \in Ends |-> 1]
    /\ links = [e \in Ends |-> [i \in Incarnations |-> NoLink]]
    /\ current = [e \in Ends |-> 0]
    /\ gone = [e \in Ends |-> 0]
    /\ closed = [e \in Ends |-> FALSE]
    /\ attempts = 0
    /\ sessions = 0
    /\ conns = <<>>
    /\ got = [e \in Ends |-> [i \in Incarnations |-> <<>>]]
    /\ ended = [e \in Ends |-> {}]

\* What goes on by itself, on one connection.
ConnNext(c) ==
    \/ TakeTurn(c) \/ TakeOver(c) \/ RecvRefused(c) \/ Admit(c) \/ AcceptorEnds(c)
    \/ \E e \in Ends : Begin(e, c) \/ Finish(e, c) \/ RecvControl(e, c) \/ ReadLoopEnds(e, c)

LinkNext(e, i) == Assemble(e, i) \/ Acknowledge(e, i) \/ SayBye(e, i) \/ Up(e, i) \/ Conclude(e, i)

Next ==
    \/ \E c \in 1..Len(conns) : ConnNext(c) \/ GiveUp(c) \/ Break(c)
    \/ \E e \in Ends, i \in Incarnations :
          \/ LinkNext(e, i) \/ Connect(e, i) \/ AppendFrame(e, i)
          \/ Linger(e, i) \/ Disconnect(e, i) \/ Silent(e, i)
    \/ \E e \in Ends : Close(e) \/ Restart(e)
    \/ \E i \in Incarnations : Dial(i)

Spec == Init /\ [][Next]_vars
============================================================================
