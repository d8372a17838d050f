package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// rawHead is what every line holds.
type rawHead struct {
	Lamport uint64      `json:"lc"`
	At      *addr.Place `json:"n"`
	Shard   *int        `json:"s"`
	Seq     uint64      `json:"seq"`
	End     *uint64     `json:"end"`
	T       int64       `json:"t"`
}

func (r *rawHead) head() *rawHead { return r }

func (r *rawHead) begin() Record {
	return Record{Lamport: r.Lamport, At: *r.At, Seq: r.Seq, T: r.T}
}

// What a line of a shard's log may hold.
type rawRecord struct {
	rawHead
	Act     string            `json:"act"`
	In      string            `json:"in"`
	Conf    json.RawMessage   `json:"conf"`
	Content Moment            `json:"content"`
	Out     string            `json:"out"`
	Page    *addr.PageNum     `json:"p"`
	Phase   protocol.Phase    `json:"phase"`
	From    *addr.Place       `json:"f"`
	Message *protocol.Message `json:"m"`
	Post    json.RawMessage   `json:"post"`
	Stamp   uint32            `json:"stamp"`
	Cut     uint64            `json:"cut"`
	Digest  string            `json:"digest"`
	Effects []string          `json:"effects"`
	Refused string            `json:"refused"`
	rawStep
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

var errNoKind = errors.New("a message without a kind")

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
		kindMark{KindContent, r.Content != momentInvalid},
		kindMark{KindOutput, r.Out != ""},
		kindMark{KindStep, r.rawStep.Step != frameStepInvalid})
	if rec.Kind == kindInvalid {
		return rec, errors.New("a record needs one of act, in, out, conf, content and step")
	}
	// allowed are the fields that the kind may have beside its own.
	var page, phase, message, from, post, stamp, digest, effects bool
	switch rec.Kind {
	case KindAction:
		page, phase, message, from, post = true, true, true, true, true
		rec.Act, rec.Before = r.Act, r.Phase
		if !identifier.MatchString(r.Act) {
			err = fmt.Errorf("%q cannot be an action", r.Act)
		}
	case KindInput:
		page, message, stamp = true, true, true
		rec.Act = r.In
		var in protocol.InputKind
		if err = in.UnmarshalText([]byte(r.In)); err == nil && (in == protocol.InMessage) != (r.Message != nil) {
			err = fmt.Errorf("input %q with the message %v", r.In, r.Message)
		}
	case KindContent:
		page, digest = true, true
		rec.Moment = r.Content
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
	case !phase && r.Phase != protocol.Idle, !message && r.Message != nil, !from && r.From != nil, !stamp && (r.Stamp != 0 || r.Cut != 0),
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
	if rec.Message = r.Message; rec.Message != nil && rec.Message.Kind == protocol.KindInvalid {
		return rec, errNoKind
	}
	if rec.From = r.From; rec.From != nil && (rec.Message == nil || rec.Message.From != *rec.From) {
		return rec, fmt.Errorf("f is %v, the message is %+v", *rec.From, rec.Message)
	}
	return rec, nil
}
