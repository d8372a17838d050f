package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// rawHead is what every line holds.
type rawHead struct {
	Lamport uint64    `json:"lc"`
	At      *rawPlace `json:"n"`
	Shard   *int      `json:"s"`
	Seq     uint64    `json:"seq"`
	End     *uint64   `json:"end"`
	T       int64     `json:"t"`
}

func (r *rawHead) head() *rawHead { return r }

func (r *rawHead) begin() Record {
	return Record{Lamport: r.Lamport, At: addr.Place(*r.At), Seq: r.Seq, T: r.T}
}

// What a line of a shard's log may hold.
type rawRecord struct {
	rawHead
	Act     string          `json:"act"`
	In      string          `json:"in"`
	Conf    json.RawMessage `json:"conf"`
	Content string          `json:"content"`
	Out     string          `json:"out"`
	Page    *addr.PageNum   `json:"p"`
	Phase   string          `json:"phase"`
	From    *rawPlace       `json:"f"`
	Message *rawMessage     `json:"m"`
	Post    json.RawMessage `json:"post"`
	Stamp   uint32          `json:"stamp"`
	Cut     uint64          `json:"cut"`
	Digest  string          `json:"digest"`
	Effects []string        `json:"effects"`
	Refused string          `json:"refused"`
	rawStep
}

type rawPlace struct {
	Node addr.NodeID `json:"node"`
	Tag  addr.Tag    `json:"tag"`
}

// rawEnvelope is what every message carries.
type rawEnvelope struct {
	From            rawPlace         `json:"from"`
	To              rawPlace         `json:"to"`
	FromIncarnation addr.Incarnation `json:"fi"`
	ToIncarnation   addr.Incarnation `json:"ti"`
	Generation      uint64           `json:"gen"`
	Term            uint64           `json:"term"`
	Epoch           uint64           `json:"epoch"`
	Cut             uint64           `json:"cut"`
	Lamport         uint64           `json:"lc"`
}

func (e *rawEnvelope) envelope() protocol.Envelope {
	return protocol.Envelope{From: addr.Place(e.From), To: addr.Place(e.To),
		FromIncarnation: e.FromIncarnation, ToIncarnation: e.ToIncarnation, Generation: e.Generation,
		Term: e.Term, Epoch: e.Epoch, Cut: e.Cut, Lamport: e.Lamport}
}

type rawMessage struct {
	rawEnvelope
	Kind     string       `json:"kind"`
	Op       string       `json:"op"`
	Have     string       `json:"have"`
	Keep     string       `json:"keep"`
	Source   string       `json:"source"`
	Dst      string       `json:"dst"`
	Hit      bool         `json:"hit"`
	Leaf     addr.NodeID  `json:"leaf"`
	Page     addr.PageNum `json:"page"`
	Prepared uint64       `json:"prepared"`
	Version  uint64       `json:"ver"`
	Txn      rawTxn       `json:"txn"`
}

type rawTxn struct {
	Leaf        addr.NodeID      `json:"leaf"`
	Incarnation addr.Incarnation `json:"inc"`
	Counter     uint64           `json:"n"`
}

// names maps the names of an enumeration's constants back to them.
type names[T interface {
	~uint8
	fmt.Stringer
}] map[string]T

func namesOf[T interface {
	~uint8
	fmt.Stringer
}]() names[T] {
	all := make(names[T])
	for i := 0; i < 256 && !strings.HasPrefix(T(i).String(), "invalid("); i++ {
		all[T(i).String()] = T(i)
	}
	return all
}

var (
	kinds   = namesOf[protocol.Kind]()
	ops     = namesOf[protocol.Op]()
	rights  = namesOf[protocol.Right]()
	sources = namesOf[protocol.Source]()
	dsts    = namesOf[protocol.Dst]()
	inputs  = namesOf[protocol.InputKind]()
	phases  = namesOf[protocol.Phase]()
	moments = namesOf[Moment]()
)

// of is the constant of a name; where there is no name, the first one.
func (n names[T]) of(name string, err *error) T {
	v, ok := n[name]
	if !ok && name != "" && *err == nil {
		var t T
		*err = fmt.Errorf("there is no %T named %q", t, name)
	}
	return v
}

func (m *rawMessage) message() (*protocol.Message, error) {
	var err error
	msg := &protocol.Message{
		Envelope: m.envelope(),
		Kind:     kinds.of(m.Kind, &err),
		Op:       ops.of(m.Op, &err),
		Have:     rights.of(m.Have, &err),
		Keep:     rights.of(m.Keep, &err),
		Source:   sources.of(m.Source, &err),
		Dst:      dsts.of(m.Dst, &err),
		Hit:      m.Hit,
		Leaf:     m.Leaf,
		Page:     m.Page,
		Prepared: m.Prepared,
		Version:  m.Version,
		Txn:      protocol.Txn(m.Txn),
	}
	if err == nil && msg.Kind == protocol.KindInvalid {
		err = errors.New("a message without a kind")
	}
	return msg, err
}

// identifier is what an action may be called.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

// record reads one line of a log and checks that it follows the last one.
func record(l *ndjson.Lines, line []byte, h Header, last *Record) (Record, error) {
	var body interface {
		head() *rawHead
		record() (Record, error)
	} = new(rawRecord)
	if h.Spec == SyncSpec {
		body = new(rawSyncRecord)
	}
	if err := l.Decode(line, body); err != nil {
		return Record{}, err
	}
	raw := body.head()
	if raw.End != nil {
		if string(line) != `{"end":`+strconv.FormatUint(*raw.End, 10)+`}` {
			return Record{}, l.Errorf(ndjson.ErrMalformed, "a last line that says more than that")
		}
		if *raw.End != last.Seq {
			return Record{}, l.Errorf(ndjson.ErrGap, "the log ends with record %d, the last one here is %d", *raw.End, last.Seq)
		}
		return Record{Kind: kindEnd}, nil
	}
	switch {
	case raw.At == nil || raw.Shard == nil:
		return Record{}, l.Errorf(ndjson.ErrMalformed, "a record needs n and s")
	case raw.Seq != last.Seq+1:
		return Record{}, l.Errorf(ndjson.ErrGap, "record %d follows record %d", raw.Seq, last.Seq)
	case raw.At.Node != h.Node || *raw.Shard != h.Shard:
		return Record{}, l.Errorf(ndjson.ErrMalformed, "node %d shard %d in the log of node %d shard %d",
			raw.At.Node, *raw.Shard, h.Node, h.Shard)
	case raw.Lamport < last.Lamport:
		return Record{}, l.Errorf(ndjson.ErrMalformed, "the Lamport clock goes from %d back to %d", last.Lamport, raw.Lamport)
	}
	rec, err := body.record()
	if err != nil {
		return Record{}, l.Errorf(ndjson.ErrMalformed, "%w", err)
	}
	rec.Line = l.Line()
	return rec, nil
}

// parseDigest is the digest of a text of 16 digits; err stays what it is if it
// is set.
func parseDigest(text string, err *error) Digest {
	v, parseErr := strconv.ParseUint(text, 16, 64)
	d := Digest(v)
	if *err == nil && (parseErr != nil || d.String() != text) {
		*err = fmt.Errorf("%q is no digest", text)
	}
	return d
}

// kindMark says whether a line has what marks records of the kind.
type kindMark struct {
	kind  Kind
	there bool
}

// onlyKind is the one kind whose mark is there, or kindInvalid.
func onlyKind(marks ...kindMark) Kind {
	only := kindInvalid
	for _, m := range marks {
		switch {
		case m.there && only != kindInvalid:
			return kindInvalid
		case m.there:
			only = m.kind
		}
	}
	return only
}

func (r *rawRecord) record() (Record, error) {
	rec := r.begin()
	rec.Post, rec.Stamp, rec.Cut, rec.Conf = r.Post, r.Stamp, r.Cut, r.Conf
	var err error
	rec.Kind = onlyKind(
		kindMark{KindAction, r.Act != ""},
		kindMark{KindInput, r.In != ""},
		kindMark{KindConfigure, r.Conf != nil},
		kindMark{KindContent, r.Content != ""},
		kindMark{KindOutput, r.Out != ""},
		kindMark{KindStep, r.rawStep.Step != ""})
	if rec.Kind == kindInvalid {
		return rec, errors.New("a record needs one of act, in, out, conf, content and step")
	}
	// allowed are the fields that the kind may have beside its own.
	var page, phase, message, from, post, stamp, digest, effects bool
	switch rec.Kind {
	case KindAction:
		page, phase, message, from, post = true, true, true, true, true
		rec.Act = r.Act
		rec.Before = phases.of(r.Phase, &err)
		if !identifier.MatchString(r.Act) {
			err = fmt.Errorf("%q cannot be an action", r.Act)
		}
	case KindInput:
		page, message, stamp = true, true, true
		rec.Act = r.In
		if in := inputs.of(r.In, &err); (in == protocol.InMessage) != (r.Message != nil) {
			err = fmt.Errorf("input %q with the message %v", r.In, r.Message)
		}
	case KindContent:
		page, digest = true, true
		rec.Moment = moments.of(r.Content, &err)
		if rec.Moment == momentInvalid && err == nil {
			err = fmt.Errorf("%q is no moment", r.Content)
		}
		rec.Digest = parseDigest(r.Digest, &err)
	case KindOutput:
		page, effects = true, true
		rec.Out = &Output{Digest: parseDigest(r.Out, &err), Effects: r.Effects, Refused: r.Refused}
	}
	if rec.Kind == KindStep {
		page = true
		rec.Step = r.step(&err)
		digest = rec.Step.Step.carriesContent()
	}
	switch {
	case err != nil:
		return rec, err
	case page != (r.Page != nil):
		return rec, errors.New("p belongs to act, in, out, content and step")
	case post != (r.Post != nil):
		return rec, errors.New("post belongs to act")
	case !phase && r.Phase != "", !message && r.Message != nil, !from && r.From != nil, !stamp && (r.Stamp != 0 || r.Cut != 0),
		!digest && r.Digest != "", !effects && (r.Effects != nil || r.Refused != ""),
		rec.Kind != KindStep && r.rawStep != (rawStep{}):
		return rec, errors.New("a field that belongs to another kind of record")
	}
	if r.Page != nil {
		rec.Page = *r.Page
	}
	if rec.Step != nil {
		rec.Step.Page = rec.Page
	}
	if r.Message != nil {
		if rec.Message, err = r.Message.message(); err != nil {
			return rec, err
		}
	}
	if r.From != nil {
		from := addr.Place(*r.From)
		rec.From = &from
		if rec.Message == nil || rec.Message.From != from {
			return rec, fmt.Errorf("f is %v, the message is %+v", from, rec.Message)
		}
	}
	return rec, nil
}
