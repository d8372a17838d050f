package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// What a line of a log of locks and barriers may hold.
type rawSyncRecord struct {
	rawHead
	Act     string          `json:"act"`
	In      string          `json:"in"`
	Out     string          `json:"out"`
	Object  *uint64         `json:"p"`
	Of      string          `json:"of"`
	Party   uint64          `json:"party"`
	From    *rawPlace       `json:"f"`
	Message *rawSyncMessage `json:"m"`
	Call    *rawCall        `json:"call"`
	Cut     uint64          `json:"cut"`
	Post    json.RawMessage `json:"post"`
	Effects []string        `json:"effects"`
	Refused string          `json:"refused"`
}

type rawSyncMessage struct {
	rawEnvelope
	Kind    string `json:"kind"`
	Code    string `json:"code"`
	Object  uint64 `json:"object"`
	Party   uint64 `json:"party"`
	Request uint64 `json:"request"`
	Fence   uint64 `json:"fence"`
	Try     bool   `json:"try"`
	Index   uint32 `json:"index"`
	Parties uint32 `json:"parties"`
	Round   uint64 `json:"round"`
}

type rawCall struct {
	Party   uint64 `json:"party"`
	Request uint64 `json:"request"`
	Try     bool   `json:"try"`
	Target  uint64 `json:"target"`
	Fence   uint64 `json:"fence"`
	Index   uint32 `json:"index"`
	Parties uint32 `json:"parties"`
	Round   uint64 `json:"round"`
}

var (
	syncKinds  = namesOf[protocol.SyncKind]()
	syncCodes  = namesOf[protocol.SyncCode]()
	syncInputs = namesOf[protocol.SyncInputKind]()
)

func (m *rawSyncMessage) message() (*protocol.Sync, error) {
	var err error
	msg := &protocol.Sync{
		Envelope: m.envelope(),
		Kind:     syncKinds.of(m.Kind, &err), Code: syncCodes.of(m.Code, &err),
		Try: m.Try, Index: m.Index, Parties: m.Parties,
		Object: m.Object, Party: m.Party, Request: m.Request, Fence: m.Fence, Round: m.Round,
	}
	if err == nil && msg.Kind == protocol.SyncInvalid {
		err = errors.New("a message without a kind")
	}
	return msg, err
}

func (r *rawSyncRecord) record() (Record, error) {
	rec := r.begin()
	rec.Post, rec.Party, rec.Cut = r.Post, r.Party, r.Cut
	var err error
	rec.Kind = onlyKind(
		kindMark{KindAction, r.Act != ""},
		kindMark{KindInput, r.In != ""},
		kindMark{KindOutput, r.Out != ""})
	if rec.Kind == kindInvalid {
		return rec, errors.New("a record of locks and barriers needs one of act, in and out")
	}
	if r.Object == nil {
		return rec, errors.New("a record of locks and barriers needs p")
	}
	rec.Object = *r.Object
	if r.Message != nil {
		if rec.Sync, err = r.Message.message(); err != nil {
			return rec, err
		}
	}
	call := protocol.InSync // the kind of what a process did
	switch rec.Kind {
	case KindAction:
		rec.Act = r.Act
		if !identifier.MatchString(r.Act) {
			return rec, fmt.Errorf("%q cannot be an action", r.Act)
		}
		i := slices.IndexFunc(protocol.Protocols, func(p *protocol.Protocol) bool { return p.Object == r.Of })
		if i < 0 || protocol.Protocols[i] == protocol.Pages {
			return rec, fmt.Errorf("an action of a %q, which is no lock or barrier", r.Of)
		}
		rec.Of = protocol.Protocols[i]
	case KindInput:
		rec.Act = r.In
		call = syncInputs.of(r.In, &err)
		if err != nil {
			return rec, err
		}
		if (call == protocol.InSync) != (r.Message != nil) {
			return rec, fmt.Errorf("input %q with the message %v", r.In, r.Message)
		}
	case KindOutput:
		rec.Out = &Output{Digest: parseDigest(r.Out, &err), Effects: r.Effects, Refused: r.Refused}
		if err != nil {
			return rec, err
		}
	}
	step := rec.Kind != KindOutput
	switch {
	case step != (r.Message != nil || r.Call != nil) || r.Message != nil && r.Call != nil:
		return rec, errors.New("one of m and call belongs to act and in")
	case (rec.Kind == KindAction) != (r.Post != nil):
		return rec, errors.New("post belongs to act")
	case rec.Kind != KindInput && r.Cut != 0, rec.Kind != KindAction && (r.Of != "" || r.Party != 0 || r.From != nil), step && (r.Effects != nil || r.Refused != ""):
		return rec, errors.New("a field that belongs to another kind of record")
	}
	if r.Call != nil {
		c := r.Call
		rec.Call = &protocol.SyncInput{Kind: call, Try: c.Try, Index: c.Index, Parties: c.Parties, Party: c.Party,
			Request: c.Request, Object: rec.Object, Target: c.Target, Fence: c.Fence, Round: c.Round}
	}
	if r.From != nil {
		from := addr.Place(*r.From)
		rec.From = &from
		if rec.Sync == nil || rec.Sync.From != from {
			return rec, fmt.Errorf("f is %v, the message is %+v", from, rec.Sync)
		}
	}
	return rec, nil
}
