package trace

import (
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// The encoders append JSON by hand: they run under the lock of a shard. The
// strings that they write are names of constants, which need no escaping, but
// for those of ndjson.AppendString. What is zero is left out.

func appendPlace(b []byte, p addr.Place) []byte {
	b = append(b, `{"node":`...)
	b = strconv.AppendUint(b, uint64(p.Node), 10)
	b = append(b, `,"tag":`...)
	b = strconv.AppendUint(b, uint64(p.Tag), 10)
	return append(b, '}')
}

// appendName appends a field whose value is the name of a constant.
func appendName(b []byte, key, name string) []byte {
	b = append(b, key...)
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

func nameField(b []byte, key string, v uint8, name string) []byte {
	if v == 0 {
		return b
	}
	return appendName(b, key, name)
}

// appendEnvelope appends what every message carries.
func appendEnvelope(b []byte, m *protocol.Envelope) []byte {
	b = append(b, `,"from":`...)
	b = appendPlace(b, m.From)
	b = append(b, `,"to":`...)
	b = appendPlace(b, m.To)
	b = ndjson.AppendUint(b, `,"fi":`, uint64(m.FromIncarnation))
	b = ndjson.AppendUint(b, `,"ti":`, uint64(m.ToIncarnation))
	b = ndjson.AppendUint(b, `,"gen":`, m.Generation)
	b = ndjson.AppendUint(b, `,"term":`, m.Term)
	b = ndjson.AppendUint(b, `,"epoch":`, m.Epoch)
	b = ndjson.AppendUint(b, `,"cut":`, m.Cut)
	return ndjson.AppendUint(b, `,"lc":`, m.Lamport)
}

func appendMessage(b []byte, m *protocol.Message) []byte {
	b = appendName(b, `{"kind":`, m.Kind.String())
	b = nameField(b, `,"op":`, uint8(m.Op), m.Op.String())
	b = nameField(b, `,"have":`, uint8(m.Have), m.Have.String())
	b = nameField(b, `,"keep":`, uint8(m.Keep), m.Keep.String())
	b = nameField(b, `,"source":`, uint8(m.Source), m.Source.String())
	b = nameField(b, `,"dst":`, uint8(m.Dst), m.Dst.String())
	if m.Hit {
		b = append(b, `,"hit":true`...)
	}
	b = ndjson.AppendUint(b, `,"leaf":`, uint64(m.Leaf))
	b = ndjson.AppendUint(b, `,"page":`, uint64(m.Page))
	b = appendEnvelope(b, &m.Envelope)
	b = ndjson.AppendUint(b, `,"prepared":`, m.Prepared)
	b = ndjson.AppendUint(b, `,"ver":`, m.Version)
	if m.Txn != (protocol.Txn{}) {
		b = append(b, `,"txn":{"leaf":`...)
		b = strconv.AppendUint(b, uint64(m.Txn.Leaf), 10)
		b = append(b, `,"inc":`...)
		b = strconv.AppendUint(b, uint64(m.Txn.Incarnation), 10)
		b = append(b, `,"n":`...)
		b = strconv.AppendUint(b, m.Txn.Counter, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendEffects appends the effects of a step in their order, one JSON object a
// line. It is canonical: two batches have the same text if and only if they are
// the same, so the digest of the text stands for the batch.
func appendEffects(b []byte, effects []protocol.Effect) []byte {
	for i := range effects {
		e := &effects[i]
		b = appendName(b, `{"kind":`, e.Kind.String())
		b = appendPage(b, e.Page)
		b = nameField(b, `,"access":`, uint8(e.Access), e.Access.String())
		b = ndjson.AppendUint(b, `,"stamp":`, uint64(e.Stamp))
		if e.Msg != (protocol.Message{}) {
			b = appendMessage(append(b, `,"m":`...), &e.Msg)
		}
		b = append(b, '}', '\n')
	}
	return b
}

// appendEffectName appends an effect in short: its kind, what is sent to whom,
// and the right that is granted.
func appendEffectName(b []byte, e *protocol.Effect) []byte {
	b = append(b, e.Kind.String()...)
	switch e.Kind {
	case protocol.Send:
		b = append(b, ' ')
		b = append(b, e.Msg.Kind.String()...)
		b = append(b, ' ')
		b = e.Msg.To.Append(b)
	case protocol.FrameGrant:
		b = append(b, ' ')
		b = append(b, e.Access.String()...)
	}
	return b
}

// appendHead begins the line of any record.
func appendHead(b []byte, lamport uint64, at addr.Place, shard int, seq uint64) []byte {
	b = append(b, `{"lc":`...)
	b = strconv.AppendUint(b, lamport, 10)
	b = append(b, `,"n":`...)
	b = appendPlace(b, at)
	b = append(b, `,"s":`...)
	b = strconv.AppendInt(b, int64(shard), 10)
	b = append(b, `,"seq":`...)
	return strconv.AppendUint(b, seq, 10)
}

func appendPage(b []byte, p addr.PageNum) []byte {
	b = append(b, `,"p":`...)
	return strconv.AppendUint(b, uint64(p), 10)
}

// appendPhase appends the phase in which an action began, unless it is idle.
func appendPhase(b []byte, ph protocol.Phase) []byte {
	if ph == protocol.Idle {
		return b
	}
	return appendName(b, `,"phase":`, ph.String())
}

// appendTail ends the line of any record.
func appendTail(b []byte, t int64) []byte {
	b = append(b, `,"t":`...)
	b = strconv.AppendInt(b, t, 10)
	return append(b, '}', '\n')
}

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, d Digest) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[d>>shift&15])
	}
	return b
}

func appendDigest(b []byte, key string, d Digest) []byte {
	return append(appendHex(append(append(b, key...), '"'), d), '"')
}

// appendRefusal appends the error with which a step refused its input, if it did.
func appendRefusal(b []byte, refused error) []byte {
	if refused == nil {
		return b
	}
	return ndjson.AppendString(append(b, `,"refused":`...), refused.Error())
}
