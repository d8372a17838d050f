package validate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// A chronicle is what two nodes do with page 0 over all its lives, a line each. A
// is the page's home. First comes the node, then
//
//	view G N             its shard has a view: generation G has the page (0: none has),
//	                     and the newest that the view knows of is N
//	view G N E           the same, and generation E has another page
//	fault OP ANSWER      a fault without an action: granted, nothing or refused
//	ACTION G RIGHT OP    an action of the leaf about generation G, and what it has and
//	                     asks for afterwards
//	RecvReq G            the root takes a request of the other node's leaf
//	RecvReq G others     the same, and it knows of children that have not asked
//	early KIND G         a message of the other node is refused as early
//	foreign KIND G       it is refused for another reason
//	drops KIND G         nothing becomes of it, or it waits at the leaf
type chronicle string

// teller writes the log of one node.
type teller struct {
	node    addr.NodeID
	rec     *trace.Recorder
	log     *trace.Log
	account trace.Account
	records int
}

// chronicled writes the logs of both nodes, and says where in them the event of each
// line of the chronicle is, as Event.Where does.
func chronicled(t *testing.T, c chronicle) (dir string, at []string) {
	t.Helper()
	dir = t.TempDir()
	slots, err := trace.SlotsOf(&protocol.Configuration{Epoch: 1, Fanout: 2, Members: protocol.Founders(2), Slots: protocol.DealSlots(1, protocol.Founders(2))})
	if err != nil {
		t.Fatal(err)
	}
	var tellers []*teller
	for node := range addr.NodeID(2) {
		rec, err := trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: node, Incarnation: 1, Nodes: 2, PageSize: addr.PageSize, Slots: slots}, 1)
		if err != nil {
			t.Fatal(err)
		}
		// What was sent is in no chronicle, and in no account.
		tellers = append(tellers, &teller{node: node, rec: rec, log: rec.Shard(0),
			account: trace.Account{Shards: make([]trace.CoreAccount, 1), Links: []trace.LinkAccount{{Peer: 1 - node}}}})
	}
	for i, line := range lines(story(c)) {
		words := strings.Fields(line)
		n := tellers[strings.Index("AB", words[0])]
		at = append(at, fmt.Sprintf("%s/node%05d-i1-s000.ndjson:%d", dir, n.node, 1+n.line(t, uint64(i+1), words[1], words[2:])))
	}
	for _, n := range tellers {
		if err := n.rec.Close(&n.account); err != nil {
			t.Fatal(err)
		}
	}
	return dir, at
}

// named is the constant with the name.
func named[T fmt.Stringer](t *testing.T, name string, all []T) T {
	t.Helper()
	i := slices.IndexFunc(all, func(v T) bool { return v.String() == name })
	if i < 0 {
		t.Fatalf("%q is none of %v", name, all)
	}
	return all[i]
}

var (
	someOps    = []protocol.Op{protocol.OpNone, protocol.OpRead, protocol.OpWrite}
	someRights = []protocol.Right{protocol.None, protocol.Read, protocol.Write}
	allKinds   = []protocol.Kind{protocol.Req, protocol.Grant, protocol.Recall, protocol.Ack, protocol.Data}
)

// line writes the records of one line, and says which of them has the event.
func (n *teller) line(t *testing.T, lamport uint64, verb string, words []string) (event int) {
	t.Helper()
	number := func(i int) (v uint64) {
		if i < len(words) {
			fmt.Sscan(words[i], &v)
		}
		return v
	}
	switch verb {
	case "view":
		n.configure(t, number(0), number(1), number(2))
		return n.records
	case "fault":
		in := &protocol.Input{Kind: protocol.InReadFault}
		if words[0] == "write" {
			in.Kind = protocol.InWriteFault
		}
		switch words[1] {
		case "granted":
			return n.step(in, nil, []protocol.Effect{{Kind: protocol.FrameGrant, Access: protocol.Read}}, nil)
		case "refused":
			return n.step(in, nil, nil, errors.New("mome: no segment has the page"))
		}
		return n.step(in, nil, nil, nil)
	case "early":
		return n.step(n.message(named(t, words[0], allKinds), number(1)), nil, nil, protocol.ErrEarly)
	case "foreign":
		return n.step(n.message(named(t, words[0], allKinds), number(1)), nil, nil, protocol.ErrForeign)
	case "drops":
		return n.step(n.message(named(t, words[0], allKinds), number(1)), nil, nil, nil)
	}
	act := &protocol.Event{Action: named(t, verb, protocol.Actions()), At: addr.Place{Node: n.node, Tag: addr.Leaf}, Lamport: lamport}
	if act.Action == protocol.ActRecvReq {
		in := n.message(protocol.Req, number(0))
		act.At.Tag, act.Message = addr.Root, in.Msg
		var s protocol.ManagerState
		if len(words) > 1 {
			s.Marked = 3
		}
		return n.step(in, &acted{act, &s}, nil, nil)
	}
	var s protocol.LeafState
	s.Right, s.Op = named(t, words[1], someRights), named(t, words[2], someOps)
	var in *protocol.Input
	switch act.Action {
	case protocol.ActReadFault, protocol.ActWriteFault:
		in = &protocol.Input{Kind: protocol.InReadFault}
		if act.Action == protocol.ActWriteFault {
			in.Kind = protocol.InWriteFault
		}
		act.Message = n.message(protocol.Req, number(0)).Msg
		act.Message.From, act.Message.Op = act.At, s.Op
	case protocol.ActRecvData:
		in = n.message(protocol.Data, number(0))
		act.Message = in.Msg
	case protocol.ActLeafRecvGrant:
		in = n.message(protocol.Grant, number(0))
		act.Message = in.Msg
	default:
		t.Fatalf("no chronicle has a %v", act.Action)
	}
	return n.step(in, &acted{act, &s}, nil, nil)
}

// acted is an action and the state after it.
type acted struct {
	*protocol.Event
	post interface{ AppendJSON([]byte) []byte }
}

// AppendState implements trace.State.
func (a *acted) AppendState(b []byte, _ addr.PageNum, _ addr.Place) []byte {
	return a.post.AppendJSON(b)
}

// message is one that the other node has sent.
func (n *teller) message(k protocol.Kind, generation uint64) *protocol.Input {
	leaf, root := addr.Place{Node: 1 - n.node, Tag: addr.Leaf}, addr.Place{Node: 0, Tag: addr.Root}
	m := &protocol.Message{Kind: k, Envelope: protocol.Envelope{Generation: generation, From: leaf, To: addr.Place{Node: n.node, Tag: addr.Leaf}}}
	switch k {
	case protocol.Req, protocol.Ack:
		m.To = root
	case protocol.Grant, protocol.Recall:
		m.From = root
	}
	return &protocol.Input{Kind: protocol.InMessage, Msg: m}
}

// step writes an input, the action that it was if it was one, and what became of it.
func (n *teller) step(in *protocol.Input, act *acted, out []protocol.Effect, refused error) (event int) {
	n.log.Input(in)
	n.records++
	work := &n.account.Shards[0]
	work.Inputs++
	if act != nil {
		n.log.Action(act.Event, act)
		n.records++
		work.Actions++
		event = n.records
	}
	n.log.Output(in, out, refused)
	n.records++
	if in.Msg != nil && refused == nil {
		n.account.Links[0].Received++
	}
	if act == nil {
		event = n.records
	}
	return event
}

func (n *teller) configure(t *testing.T, generation, newest, elsewhere uint64) {
	t.Helper()
	change := trace.Change{Epoch: 1, Generation: newest, Segments: []protocol.Segment{}}
	if generation != 0 {
		change.Segments = append(change.Segments, protocol.Segment{Pages: 4, Generation: generation})
	}
	if elsewhere != 0 {
		change.Segments = append(change.Segments, protocol.Segment{First: 4, Pages: 4, Generation: elsewhere})
	}
	text, err := json.Marshal(change)
	if err != nil {
		t.Fatal(err)
	}
	n.log.Configure(text)
	n.records++
}

// begun is how B comes to read the page in its first life.
const begun = `
	A view 1 1
	B view 1 1
	B ReadFault 1 none read
	A RecvReq 1
	B RecvData 1 none read
	B LeafRecvGrant 1 read none`

// ahead is how B comes to ask in the next life, which A has not heard of.
const ahead = begun + `
	B view 3 3
	B WriteFault 3 none write
	A early Req 3`

// TestSuccessionsAccepted: a segment goes and another one has its page. The views skip,
// lag, and meet messages that are early and late.
func TestSuccessionsAccepted(t *testing.T) {
	c := chronicle(ahead + `
		B fault write nothing
		B drops Grant 1
		B drops Data 1
		A view 0 1 2
		A early Req 3
		A fault read refused
		A view 3 3
		A RecvReq 3
		A drops Req 1
		B drops Recall 3
		B LeafRecvGrant 3 write none
		B fault read granted
		B view 0 3
		A view 0 4 4`)
	dir, at := chronicled(t, c)
	v := judgeKind(t, dir, Successions)
	if !v.Accepted {
		t.Fatalf("%s, %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
			strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
	}
	// The views tell of five states of the store, and the run has an end.
	if want := len(at) + v.Acts["Store"] + 1; v.Objects != 1 || v.Events != want || v.Acts["View"] != 7 || v.Acts["Refused"] != 2 {
		t.Errorf("%d events of %d pages, want %d of one: %v", v.Events, v.Objects, want, v.Acts)
	}
}

// Each chronicle is wrong at a line that begins with "!", and nowhere before. If there
// is none, it is wrong at its end. spec/segment/MCTraceSegment has more of them.
func TestSuccessionsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		chronicle chronicle
		reason    string
	}{
		"a view goes back": {ahead + `
			!B view 1 1`, "a view comes behind the one before it"},
		"a generation has two segments, a page of each": {begun + `
			!B view 3 3
			!A view 0 3 3`, "one generation is of one segment"},
		"a right outlives its segment": {begun + `
			B view 3 3
			!B fault read granted`, "a fault is answered by the right that there is"},
		"a late message is taken": {ahead + `
			!B LeafRecvGrant 1 write none`, "the message is of the generation that the node has"},
		"an early one is dropped": {begun + `
			B view 3 3
			B WriteFault 3 none write
			!A drops Req 3`, "an early message is not dropped"},
		"one is refused that is not early": {begun + `
			!A foreign Req 1`, "a message is refused only if it is early"},
		"a manager knows of somebody from the life before": {ahead + `
			A view 3 3
			!A RecvReq 3 others`, "after it a manager knows of nobody but who asks"},
		"what was kept is not looked at": {ahead + `
			A view 3 3`, "what was kept has been looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, at := chronicled(t, chronicle(strings.ReplaceAll(string(c.chronicle), "!", "")))
			var wrong []string
			for i, line := range lines(story(c.chronicle)) {
				if strings.HasPrefix(strings.TrimSpace(line), "!") {
					wrong = append(wrong, at[i])
				}
			}
			v := judgeKind(t, dir, Successions)
			if v.Accepted {
				t.Fatal("accepted")
			}
			r := v.Refusal
			where := slices.Contains(wrong, r.Event.Where())
			if wrong == nil {
				where = r.Event.Act == endAct
			}
			if reasons := strings.Join(r.Reasons, "; "); !where || !strings.Contains(reasons, c.reason) {
				t.Errorf("refused at %s, %s: %s; want one of %v: %s\n%s", r.Event.Where(), r.Event.Act, reasons, wrong, c.reason, r.State)
			}
		})
	}
}
