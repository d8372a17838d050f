package trace

import (
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// SyncSpec is the Header.Spec of a log of locks and barriers: spec/heaplock, and
// beside it spec/barrier.
const SyncSpec = "heaplock"

// SyncLog is the record of a node's locks and barriers: the inputs of its
// protocol.SyncNode, the actions, what each step put out. A nil *SyncLog is off.
// Whoever uses it holds the lock of the machine.
type SyncLog struct {
	log  *Log
	text []byte // scratch of Output
}

// Sync begins the log of the node's locks and barriers.
//
// Preconditions: it is called once, before Close.
func (r *Recorder) Sync() (*SyncLog, error) {
	if r == nil {
		return nil, nil
	}
	h := r.header
	h.Spec, h.Shard, h.Shards = SyncSpec, 0, 1
	l, err := r.open(h)
	if err != nil {
		return nil, err
	}
	r.sync = &SyncLog{log: l}
	return r.sync, nil
}

// SyncState appends the state of an event's object, at the place of the event,
// as one line of JSON. *protocol.SyncNode is one.
type SyncState interface {
	AppendState(b []byte, e *protocol.SyncEvent) []byte
}

// Action records an action, with the state of its object after it. It is what a
// protocol.SyncObserver does.
func (l *SyncLog) Action(e *protocol.SyncEvent, post SyncState) {
	if l == nil {
		return
	}
	g := l.log
	b, ok := g.out.Begin()
	if !ok {
		return
	}
	g.seq++
	g.lamport = e.Lamport
	b = appendHead(b, e.Lamport, e.At, g.shard, g.seq)
	b = appendName(b, `,"act":`, e.Action.String())
	b = appendObject(b, e.Object)
	b = appendName(b, `,"of":`, e.Protocol.Object)
	b = ndjson.AppendUint(b, `,"party":`, e.Party)
	if e.Message != nil {
		b = append(b, `,"f":`...)
		b = appendPlace(b, e.Message.From)
		b = append(b, `,"m":`...)
		b = appendSync(b, e.Message)
	} else {
		b = appendCall(b, e.Input)
	}
	b = append(b, `,"post":`...)
	b = post.AppendState(b, e)
	g.finish(b)
}

// place is where an input goes, and the object that it is about, if it says so.
func (l *SyncLog) place(in *protocol.SyncInput) (addr.Place, uint64) {
	at := addr.Place{Node: l.log.node, Tag: addr.Leaf}
	if in.Kind != protocol.InSync {
		return at, in.Object
	}
	at.Tag = in.Sync.To.Tag
	return at, in.Sync.Object
}

// Input records what is about to be given to the machine.
func (l *SyncLog) Input(in *protocol.SyncInput) {
	if l == nil {
		return
	}
	at, object := l.place(in)
	b, ok := l.log.begin(at)
	if !ok {
		return
	}
	b = appendName(b, `,"in":`, in.Kind.String())
	b = appendObject(b, object)
	if in.Kind == protocol.InSync {
		b = append(b, `,"m":`...)
		b = appendSync(b, in.Sync)
	} else {
		b = appendCall(b, in)
	}
	b = ndjson.AppendUint(b, `,"cut":`, in.Cut)
	l.log.finish(b)
}

// Output records what a step put out, as Log.Output does: the digest of its
// messages and answers and their names, or the error with which Step refused
// the input.
func (l *SyncLog) Output(in *protocol.SyncInput, batch *protocol.SyncBatch, refused error) {
	if l == nil {
		return
	}
	at, object := l.place(in)
	l.text = appendBatch(l.text[:0], batch)
	b, ok := l.log.begin(at)
	if !ok {
		return
	}
	b = appendDigest(b, `,"out":`, DigestOf(l.text))
	b = appendObject(b, object)
	separator := `,"effects":["`
	for i := range batch.Send {
		b = appendSendName(append(b, separator...), &batch.Send[i])
		separator = `","`
	}
	for i := range batch.Answers {
		b = appendAnswerName(append(b, separator...), &batch.Answers[i])
		separator = `","`
	}
	if len(batch.Send)+len(batch.Answers) > 0 {
		b = append(b, `"]`...)
	}
	l.log.finish(appendRefusal(b, refused))
}

// SyncOutputOf is what SyncLog.Output records of a step, and the canonical
// encoding of its batch: one JSON object a line, messages before answers.
func SyncOutputOf(batch *protocol.SyncBatch, refused error) (Output, []byte) {
	text := appendBatch(nil, batch)
	out := Output{Digest: DigestOf(text)}
	for i := range batch.Send {
		out.Effects = append(out.Effects, string(appendSendName(nil, &batch.Send[i])))
	}
	for i := range batch.Answers {
		out.Effects = append(out.Effects, string(appendAnswerName(nil, &batch.Answers[i])))
	}
	if refused != nil {
		out.Refused = refused.Error()
	}
	return out, text
}

func appendObject(b []byte, object uint64) []byte {
	b = append(b, `,"p":`...)
	return strconv.AppendUint(b, object, 10)
}

// appendCall appends what a process asked for, beside the kind and the object.
func appendCall(b []byte, in *protocol.SyncInput) []byte {
	b = append(b, `,"call":{"party":`...)
	b = strconv.AppendUint(b, in.Party, 10)
	b = ndjson.AppendUint(b, `,"request":`, in.Request)
	if in.Try {
		b = append(b, `,"try":true`...)
	}
	b = ndjson.AppendUint(b, `,"target":`, in.Target)
	b = ndjson.AppendUint(b, `,"fence":`, in.Fence)
	b = ndjson.AppendUint(b, `,"index":`, uint64(in.Index))
	b = ndjson.AppendUint(b, `,"parties":`, uint64(in.Parties))
	b = ndjson.AppendUint(b, `,"round":`, in.Round)
	return append(b, '}')
}

func appendSync(b []byte, m *protocol.Sync) []byte {
	b = appendName(b, `{"kind":`, m.Kind.String())
	b = appendName(b, `,"code":`, m.Code.String())
	b = append(b, `,"object":`...)
	b = strconv.AppendUint(b, m.Object, 10)
	b = ndjson.AppendUint(b, `,"party":`, m.Party)
	b = ndjson.AppendUint(b, `,"request":`, m.Request)
	b = ndjson.AppendUint(b, `,"fence":`, m.Fence)
	if m.Try {
		b = append(b, `,"try":true`...)
	}
	b = ndjson.AppendUint(b, `,"index":`, uint64(m.Index))
	b = ndjson.AppendUint(b, `,"parties":`, uint64(m.Parties))
	b = ndjson.AppendUint(b, `,"round":`, m.Round)
	return append(appendEnvelope(b, &m.Envelope), '}')
}

func appendBatch(b []byte, batch *protocol.SyncBatch) []byte {
	for i := range batch.Send {
		b = append(appendSync(b, &batch.Send[i]), '\n')
	}
	for i := range batch.Answers {
		a := &batch.Answers[i]
		b = appendName(b, `{"answer":`, a.Kind.String())
		b = appendName(b, `,"code":`, a.Code.String())
		b = append(b, `,"party":`...)
		b = strconv.AppendUint(b, a.Party, 10)
		b = ndjson.AppendUint(b, `,"request":`, a.Request)
		b = ndjson.AppendUint(b, `,"fence":`, a.Fence)
		if a.OwnerDied {
			b = append(b, `,"owner_died":true`...)
		}
		b = append(b, '}', '\n')
	}
	return b
}

// appendSendName appends a message in short: what is sent to which node.
func appendSendName(b []byte, m *protocol.Sync) []byte {
	b = append(b, "Send "...)
	b = append(b, m.Kind.String()...)
	b = append(b, ' ')
	return strconv.AppendUint(b, uint64(m.To.Node), 10)
}

// appendAnswerName appends an answer in short: how whose request ended.
func appendAnswerName(b []byte, a *protocol.Answer) []byte {
	b = append(b, "Answer "...)
	b = append(b, a.Kind.String()...)
	b = append(b, ' ')
	b = append(b, a.Code.String()...)
	b = append(b, ' ')
	return strconv.AppendUint(b, a.Party, 10)
}
