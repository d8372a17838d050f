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
	Act     string              `json:"act"`
	In      string              `json:"in"`
	Out     string              `json:"out"`
	Object  *uint64             `json:"p"`
	Of      string              `json:"of"`
	Party   uint64              `json:"party"`
	From    *addr.Place         `json:"f"`
	Message *protocol.Sync      `json:"m"`
	Call    *protocol.SyncInput `json:"call"`
	Cut     uint64              `json:"cut"`
	Post    json.RawMessage     `json:"post"`
	Effects []string            `json:"effects"`
	Refused string              `json:"refused"`
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
	if rec.Sync = r.Message; rec.Sync != nil && rec.Sync.Kind == protocol.SyncInvalid {
		return rec, errNoKind
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
		if err := call.UnmarshalText([]byte(r.In)); err != nil {
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
	if rec.Call = r.Call; rec.Call != nil {
		rec.Call.Kind, rec.Call.Object = call, rec.Object
	}
	if rec.From = r.From; rec.From != nil && (rec.Sync == nil || rec.Sync.From != *rec.From) {
		return rec, fmt.Errorf("f is %v, the message is %+v", *rec.From, rec.Sync)
	}
	return rec, nil
}
