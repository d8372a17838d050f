package wire

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// The codec of frame headers. It writes and reads wirepb.Frame, straight from
// and into flat structs and without allocating. Its simple twin is the
// generated code: TestCodecAgainstGenerated and FuzzFrame hold them together.

// ends names the two ends of a link as one direction of it sees them. A message
// field that equals its end is not sent.
type ends struct {
	sender              addr.NodeID
	senderIncarnation   addr.Incarnation
	receiver            addr.NodeID
	receiverIncarnation addr.Incarnation
}

// header is the part of a frame's header that is about the session.
type header struct {
	ends
	seq, ack uint64
	control  wirepb.Control
	cause    addr.NodeID // of FAILED, and so is reason, which isClean
	reason   string
}

// Field tags: every field is a varint but for the two embedded messages and the
// reason.
const (
	tagPage   = 8<<3 | byte(protowire.BytesType)
	tagSync   = 9<<3 | byte(protowire.BytesType)
	tagReason = 11<<3 | byte(protowire.BytesType)
)

// appendField appends a varint field unless it is zero.
func appendField(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendPresent(b, num, v)
}

// appendPresent appends a varint field, zero too.
func appendPresent(b []byte, num protowire.Number, v uint64) []byte {
	if num < 16 {
		b = append(b, byte(num)<<3)
	} else {
		b = append(b, byte(num)<<3|0x80, byte(num>>4))
	}
	if v < 0x80 {
		return append(b, byte(v))
	}
	return protowire.AppendVarint(b, v)
}

// closeEmbedded writes the length of the embedded message that began at start,
// behind one byte that was left free for it.
func closeEmbedded(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	// Two bytes: a message is never as long as 1 << 14.
	b = append(b, 0)
	copy(b[start+1:], b[start:])
	b[start-1] = byte(n) | 0x80
	b[start] = byte(n >> 7)
	return b
}

// maxFront bounds what appendHeader appends.
const maxFront = 2*11 + 2*(4+6) + 2

// appendHeader appends the session's part of a header.
func appendHeader(b []byte, h *header) []byte {
	b = appendField(b, 1, h.seq)
	b = appendField(b, 2, h.ack)
	b = appendField(b, 3, uint64(h.sender))
	b = appendField(b, 4, uint64(h.senderIncarnation))
	b = appendField(b, 5, uint64(h.receiver))
	b = appendField(b, 6, uint64(h.receiverIncarnation))
	return appendField(b, 7, uint64(h.control))
}

// appendFailure appends the rest of the header of a FAILED frame.
func appendFailure(b []byte, f *PeerFailure) []byte {
	b = appendField(b, 10, uint64(f.Cause))
	b = append(b, tagReason)
	b = protowire.AppendVarint(b, uint64(len(f.Reason)))
	return append(b, f.Reason...)
}

// maxLike is how far back in a frame a message may refer to another.
const maxLike = 2

// next makes the message like m about the next page.
func next(m *protocol.Message) {
	m.Page++
	m.Txn.Counter++
}

// recent is the last messages of a frame that is being encoded.
type recent struct {
	list [maxLike]protocol.Message
	n    int // of the frame
}

// add adds a message and says how far back the one is that it is like, or 0. It
// returns that one.
func (r *recent) add(m *protocol.Message) (like int, of protocol.Message) {
	for back := 1; back <= min(r.n, maxLike); back++ {
		base := &r.list[(r.n-back)%maxLike]
		if m.Page != base.Page+1 || m.Lamport == 0 || m.Version == 0 && base.Version != 0 {
			continue
		}
		was := *base
		next(&was)
		of = was
		was.Lamport, was.Version = m.Lamport, m.Version
		if was == *m {
			like = back
			break
		}
	}
	r.list[r.n%maxLike] = *m
	r.n++
	return like, of
}

// appendMessage appends one element of Frame.pages, behind those of r.
func appendMessage(b []byte, m *protocol.Message, e *ends, r *recent) []byte {
	b = append(b, tagPage, 0)
	start := len(b)
	if like, of := r.add(m); like > 0 {
		if m.Lamport != of.Lamport {
			b = appendPresent(b, 13, m.Lamport)
		}
		if m.Version != of.Version {
			b = appendPresent(b, 14, m.Version)
		}
		b = appendPresent(b, 26, uint64(like))
		return closeEmbedded(b, start)
	}
	b = appendField(b, 1, uint64(m.Kind))
	b = appendField(b, 2, uint64(m.Op))
	b = appendField(b, 3, uint64(m.Have))
	b = appendField(b, 4, uint64(m.Keep))
	b = appendField(b, 5, uint64(m.Source))
	b = appendField(b, 6, uint64(m.Dst))
	if m.Hit {
		b = append(b, 8<<3, 1)
	}
	b = appendField(b, 9, uint64(m.Leaf))
	b = appendField(b, 10, uint64(m.Page))
	b = appendField(b, 14, m.Version)
	b = appendField(b, 15, m.Txn.Counter)
	b = appendField(b, 16, uint64(m.Txn.Leaf))
	if m.Txn.Incarnation != e.senderIncarnation {
		b = appendPresent(b, 17, uint64(m.Txn.Incarnation))
	}
	b = appendField(b, 27, m.Prepared)
	return closeEmbedded(appendEnvelope(b, &m.Envelope, e), start)
}

// appendEnvelope appends the fields of an envelope, which have the same numbers in
// every message.
func appendEnvelope(b []byte, m *protocol.Envelope, e *ends) []byte {
	b = appendField(b, 11, uint64(m.From.Tag))
	b = appendField(b, 12, uint64(m.To.Tag))
	b = appendField(b, 13, m.Lamport)
	b = appendField(b, 18, m.Generation)
	b = appendField(b, 19, m.Epoch)
	b = appendField(b, 20, m.Term)
	b = appendField(b, 21, m.Cut)
	if m.From.Node != e.sender {
		b = appendPresent(b, 22, uint64(m.From.Node))
	}
	if m.To.Node != e.receiver {
		b = appendPresent(b, 23, uint64(m.To.Node))
	}
	if m.FromIncarnation != e.senderIncarnation {
		b = appendPresent(b, 24, uint64(m.FromIncarnation))
	}
	if m.ToIncarnation != e.receiverIncarnation {
		b = appendPresent(b, 25, uint64(m.ToIncarnation))
	}
	return b
}

// appendSync appends one element of Frame.syncs, behind after messages.
func appendSync(b []byte, s *protocol.Sync, after int, e *ends) []byte {
	b = append(b, tagSync, 0)
	start := len(b)
	b = appendField(b, 1, uint64(s.Kind))
	b = appendField(b, 2, uint64(s.Code))
	if s.Try {
		b = append(b, 3<<3, 1)
	}
	b = appendField(b, 4, uint64(after))
	b = appendField(b, 5, s.Object)
	b = appendField(b, 6, s.Party)
	b = appendField(b, 7, s.Request)
	b = appendField(b, 8, s.Fence)
	b = appendField(b, 9, uint64(s.Index))
	b = appendField(b, 10, uint64(s.Parties))
	b = appendField(b, 14, s.Round)
	return closeEmbedded(appendEnvelope(b, &s.Envelope, e), start)
}

// uvarint reads a varint. n is 0 where there is none.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n = protowire.ConsumeVarint(b)
	return v, max(n, 0)
}

// malformed is what every decoding error is.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// decodeFrame decodes a whole header into h and f, whose slices are reused. All
// of it is validated: enumerations, widths, counts and order. Pages of f are
// nil; pages is how many of them the payload holds.
//
// Postconditions: on an error, h and f hold nothing to rely on.
func decodeFrame(b []byte, h *header, f *Frame) (pages int, err error) {
	*h = header{}
	f.Messages, f.Pages = f.Messages[:0], f.Pages[:0]
	f.Syncs, f.After = f.Syncs[:0], f.After[:0]
	if len(b) > maxHeader {
		return 0, malformed("a header of %d bytes", len(b))
	}
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n == 0 {
			return 0, malformed("truncated tag")
		}
		v, k := uvarint(b[n:])
		if k == 0 {
			return 0, malformed("truncated field %d", tag>>3)
		}
		b = b[n+k:]
		if tag == uint64(tagPage) || tag == uint64(tagSync) {
			if v > uint64(len(b)) {
				return 0, malformed("truncated message")
			}
			if len(f.Messages)+len(f.Syncs) == maxItems {
				return 0, malformed("more than %d messages", maxItems)
			}
			if tag == uint64(tagPage) {
				f.Messages = append(f.Messages, protocol.Message{})
				m := &f.Messages[len(f.Messages)-1]
				if err := decodeMessage(b[:v], f.Messages, &h.ends); err != nil {
					return 0, err
				}
				if carriesPage(m) {
					pages++
				}
				f.Pages = append(f.Pages, nil)
			} else {
				f.Syncs = append(f.Syncs, protocol.Sync{})
				after, err := decodeSync(b[:v], &f.Syncs[len(f.Syncs)-1], &h.ends)
				if err != nil {
					return 0, err
				}
				if len(f.After) > 0 && after < f.After[len(f.After)-1] {
					return 0, malformed("syncs out of order")
				}
				f.After = append(f.After, after)
			}
			b = b[v:]
			continue
		}
		if len(f.Messages)+len(f.Syncs) > 0 {
			return 0, malformed("tag %d after the first message", tag)
		}
		limit := uint64(math.MaxUint64)
		switch tag {
		case uint64(tagReason):
			if v > uint64(len(b)) {
				return 0, malformed("truncated reason")
			}
			if h.reason, b = string(b[:v]), b[v:]; !isClean(h.reason) {
				return 0, malformed("a reason that is not a short line of text")
			}
			continue
		case 10 << 3:
			h.cause, limit = addr.NodeID(v), math.MaxUint16
		case 1 << 3:
			h.seq = v
		case 2 << 3:
			h.ack = v
		case 3 << 3:
			h.sender, limit = addr.NodeID(v), math.MaxUint16
		case 4 << 3:
			h.senderIncarnation, limit = addr.Incarnation(v), math.MaxUint32
		case 5 << 3:
			h.receiver, limit = addr.NodeID(v), math.MaxUint16
		case 6 << 3:
			h.receiverIncarnation, limit = addr.Incarnation(v), math.MaxUint32
		case 7 << 3:
			h.control, limit = wirepb.Control(v), uint64(wirepb.Control_FAILED)
		default:
			return 0, malformed("unknown tag %d in a frame", tag)
		}
		if v > limit {
			return 0, malformed("field %d of a frame is %d", tag>>3, v)
		}
	}
	switch failed := h.control == wirepb.Control_FAILED; {
	case failed != (h.reason != "") || !failed && h.cause != 0:
		return 0, malformed("control %d with the reason %q and cause %d", h.control, h.reason, h.cause)
	case failed && len(f.Messages)+len(f.Syncs) > 0:
		return 0, malformed("messages of a node that has failed")
	}
	if n := len(f.After); n > 0 && int(f.After[n-1]) > len(f.Messages) {
		return 0, malformed("sync behind message %d of %d", f.After[n-1], len(f.Messages))
	}
	return pages, nil
}

// decodeMessage decodes the last of the messages, which is zero.
func decodeMessage(b []byte, messages []protocol.Message, e *ends) error {
	m := &messages[len(messages)-1]
	m.Txn.Incarnation = e.senderIncarnation
	m.Envelope = e.envelope()
	like := 0
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n == 0 {
			return malformed("truncated tag in a page message")
		}
		v, k := uvarint(b[n:])
		if k == 0 {
			return malformed("truncated field %d in a page message", tag>>3)
		}
		b = b[n+k:]
		limit := uint64(math.MaxUint64)
		switch tag {
		case 1 << 3:
			m.Kind, limit = protocol.Kind(v), uint64(protocol.Data)
		case 2 << 3:
			m.Op, limit = protocol.Op(v), uint64(protocol.OpWriteback)
		case 3 << 3:
			m.Have, limit = protocol.Right(v), uint64(protocol.Write)
		case 4 << 3:
			m.Keep, limit = protocol.Right(v), uint64(protocol.Write)
		case 5 << 3:
			m.Source, limit = protocol.Source(v), uint64(protocol.Have)
		case 6 << 3:
			m.Dst, limit = protocol.Dst(v), uint64(protocol.ToHome)
		case 8 << 3:
			m.Hit, limit = v != 0, 1
		case 9 << 3:
			m.Leaf, limit = addr.NodeID(v), math.MaxUint16
		case 10 << 3:
			m.Page, limit = addr.PageNum(v), math.MaxUint32
		case 14 << 3:
			m.Version = v
		case 15 << 3:
			m.Txn.Counter = v
		case 16 << 3:
			m.Txn.Leaf, limit = addr.NodeID(v), math.MaxUint16
		case 17 << 3:
			m.Txn.Incarnation, limit = addr.Incarnation(v), math.MaxUint32
		case 26 << 3:
			like, limit = int(v), maxLike
		case 27 << 3:
			m.Prepared = v
		default:
			if limit = decodeEnvelope(&m.Envelope, tag, v); limit == 0 {
				return malformed("unknown tag %d in a page message", tag)
			}
		}
		if v > limit {
			return malformed("field %d of a page message is %d", tag>>3, v)
		}
	}
	if like > 0 {
		return expand(messages, like, e)
	}
	if m.Kind == protocol.KindInvalid {
		return malformed("page message without a kind")
	}
	return nil
}

// envelope is that of a message that says nothing about its ends.
func (e *ends) envelope() protocol.Envelope {
	return protocol.Envelope{From: addr.Place{Node: e.sender}, To: addr.Place{Node: e.receiver},
		FromIncarnation: e.senderIncarnation, ToIncarnation: e.receiverIncarnation}
}

// decodeEnvelope takes in one field of a message's envelope. It returns the highest
// value that the field may have, or 0: there is no field of that tag.
func decodeEnvelope(m *protocol.Envelope, tag, v uint64) (limit uint64) {
	switch tag {
	case 11 << 3:
		m.From.Tag, limit = addr.Tag(v), math.MaxUint16
	case 12 << 3:
		m.To.Tag, limit = addr.Tag(v), math.MaxUint16
	case 13 << 3:
		m.Lamport, limit = v, math.MaxUint64
	case 18 << 3:
		m.Generation, limit = v, math.MaxUint64
	case 19 << 3:
		m.Epoch, limit = v, math.MaxUint64
	case 20 << 3:
		m.Term, limit = v, math.MaxUint64
	case 21 << 3:
		m.Cut, limit = v, math.MaxUint64
	case 22 << 3:
		m.From.Node, limit = addr.NodeID(v), math.MaxUint16
	case 23 << 3:
		m.To.Node, limit = addr.NodeID(v), math.MaxUint16
	case 24 << 3:
		m.FromIncarnation, limit = addr.Incarnation(v), math.MaxUint32
	case 25 << 3:
		m.ToIncarnation, limit = addr.Incarnation(v), math.MaxUint32
	}
	return limit
}

// expand completes the last of the messages, which is like the one so many
// before it.
func expand(messages []protocol.Message, like int, e *ends) error {
	i := len(messages) - 1
	m := &messages[i]
	if like > i {
		return malformed("message %d of a frame is like the one %d before it", i, like)
	}
	lamport, version := m.Lamport, m.Version
	bare := protocol.Message{Envelope: e.envelope(), Version: version, Txn: protocol.Txn{Incarnation: e.senderIncarnation}}
	if bare.Lamport = lamport; *m != bare {
		return malformed("message %d of a frame is like another, and is not", i)
	}
	*m = messages[i-like]
	next(m)
	if lamport != 0 {
		m.Lamport = lamport
	}
	if version != 0 {
		m.Version = version
	}
	return nil
}

func decodeSync(b []byte, s *protocol.Sync, e *ends) (after uint32, err error) {
	s.Envelope = e.envelope()
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n == 0 {
			return 0, malformed("truncated tag in a sync message")
		}
		v, k := uvarint(b[n:])
		if k == 0 {
			return 0, malformed("truncated field %d in a sync message", tag>>3)
		}
		b = b[n+k:]
		limit := uint64(math.MaxUint64)
		switch tag {
		case 1 << 3:
			s.Kind, limit = protocol.SyncKind(v), math.MaxUint8
		case 2 << 3:
			s.Code, limit = protocol.SyncCode(v), math.MaxUint8
		case 3 << 3:
			s.Try, limit = v != 0, 1
		case 4 << 3:
			after, limit = uint32(v), maxItems
		case 5 << 3:
			s.Object = v
		case 6 << 3:
			s.Party = v
		case 7 << 3:
			s.Request = v
		case 8 << 3:
			s.Fence = v
		case 9 << 3:
			s.Index, limit = uint32(v), math.MaxUint32
		case 10 << 3:
			s.Parties, limit = uint32(v), math.MaxUint32
		case 14 << 3:
			s.Round = v
		default:
			if limit = decodeEnvelope(&s.Envelope, tag, v); limit == 0 {
				return 0, malformed("unknown tag %d in a sync message", tag)
			}
		}
		if v > limit {
			return 0, malformed("field %d of a sync message is %d", tag>>3, v)
		}
	}
	if s.Kind == 0 {
		return 0, malformed("sync message without a kind")
	}
	return after, nil
}
