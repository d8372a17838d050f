package linearizability

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/history"
)

const (
	// Never is the return of an operation without an answer: it may take effect
	// until the end of the history, or not at all.
	Never = 1 << 62
	// always is before every time, that of an initial value.
	always = -Never
)

// Operation is an operation of a history, as the checkers see it. Its times are
// those of the clock that all histories of the run refer to, widened by what is
// not known of their clocks: the operation took effect between Call and Return.
type Operation struct {
	history.Operation
	File string
	Line int
}

func (o *Operation) open() bool { return o.Return == Never }

// precedes says that one operation has returned before the other was called:
// real time. The intervals are closed, so at one instant both are possible.
func (o *Operation) precedes(p *Operation) bool { return o.Return < p.Call }

// Where is the file and the line of the operation.
func (o *Operation) Where() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

func (o *Operation) String() string {
	what := ""
	switch o.Op {
	case history.OpRead:
		what = fmt.Sprintf("read -> %d", o.Value)
	case history.OpWrite:
		what = fmt.Sprintf("write %d", o.Value)
	case history.OpCAS:
		what = fmt.Sprintf("cas %d to %d -> %t", o.Old, o.Value, o.Result != 0)
	case history.OpAdd:
		what = fmt.Sprintf("add %d -> %d", int64(o.Value), o.Result)
	case history.OpAcquire:
		switch {
		case o.Value == 0:
			what = "acquire -> not granted"
		case o.Old != 0:
			what = fmt.Sprintf("acquire -> fence %d, the owner died", o.Value)
		default:
			what = fmt.Sprintf("acquire -> fence %d", o.Value)
		}
	case history.OpRelease:
		what = fmt.Sprintf("release fence %d -> %t", o.Value, o.Result != 0)
	case history.OpCreate, history.OpOpen, history.OpOpenOrCreate, history.OpRemove:
		what = fmt.Sprintf("%s -> %s", o.Op, nameAnswer(o))
	case history.OpJoin, history.OpArrive, history.OpAwait, history.OpLeave:
		what = barrierAnswer(o)
	default:
		what = o.Op
	}
	if o.open() {
		if at := strings.Index(what, " ->"); at >= 0 {
			what = what[:at]
		}
		what += " (no answer)"
	}
	return what
}

// History is what the processes of one run have recorded.
type History struct {
	Operations []Operation
	Files      int
	Clients    int
	// Bound is the largest uncertainty of a clock, in nanoseconds, by which
	// intervals were widened on both sides.
	Bound int64
}

// ErrIncomplete says that histories cannot be judged because they are not all
// there is, or do not belong together.
var ErrIncomplete = errors.New("mome: cannot decide")

// Read reads the histories of one run and puts them together. A file that is
// no complete history is one of the errors of package trace; a set of files
// that is no run is ErrIncomplete.
func Read(paths ...string) (*History, error) {
	h := new(History)
	headers := make(map[string]*history.Header, len(paths))
	for _, path := range paths {
		if headers[path] != nil {
			return nil, fmt.Errorf("%w: %s is named twice", ErrIncomplete, path)
		}
		header, ops, err := history.Read(path)
		if err != nil {
			return nil, err
		}
		headers[path] = &header
		h.add(path, &header, ops)
	}
	if err := oneRun(paths, headers); err != nil {
		return nil, err
	}
	return h, nil
}

// add appends the operations of one file.
func (h *History) add(path string, header *history.Header, ops []history.Operation) {
	h.Files++
	h.Bound = max(h.Bound, header.Bound)
	clients := 0
	h.Operations = slices.Grow(h.Operations, len(ops))
	for i := range ops {
		o := ops[i]
		clients = max(clients, o.Client+1)
		o.Client += h.Clients
		o.Call += header.Offset - header.Bound
		if o.Return == 0 {
			o.Return = Never
		} else {
			o.Return += header.Offset + header.Bound
		}
		h.Operations = append(h.Operations, Operation{o, path, i + 2})
	}
	h.Clients += clients
}

// oneRun checks that files belong together, that none is missing as far as they
// know, and that their clocks can be compared.
func oneRun(paths []string, headers map[string]*history.Header) error {
	if len(paths) == 0 {
		return fmt.Errorf("%w: there is no history", ErrIncomplete)
	}
	first := headers[paths[0]]
	seen := make(map[string]string)
	type program struct {
		name  string
		ranks int
	}
	ranks := make(map[program][]int)
	for _, path := range paths {
		h := headers[path]
		switch other := seen[h.Process]; {
		case h.Run != first.Run:
			return fmt.Errorf("%w: %s is of run %q, %s of run %q: judge each run by itself", ErrIncomplete, path, h.Run, paths[0], first.Run)
		case h.Model != first.Model:
			return fmt.Errorf("%w: %s promises %q, %s %q", ErrIncomplete, path, h.Model, paths[0], first.Model)
		case other != "":
			return fmt.Errorf("%w: %s and %s are of the same process", ErrIncomplete, path, other)
		case h.Reference != first.Reference:
			return fmt.Errorf("%w: the clock of %s refers to %q, that of %s to %q: they were not compared", ErrIncomplete, path, h.Reference, paths[0], first.Reference)
		}
		seen[h.Process] = path
		p := program{h.Program, h.Ranks}
		if h.Ranks > 0 && !slices.Contains(ranks[p], h.Rank) {
			ranks[p] = append(ranks[p], h.Rank)
		}
	}
	for p, have := range ranks {
		if len(have) == p.ranks {
			continue
		}
		slices.Sort(have)
		missing := 0
		for missing < len(have) && have[missing] == missing {
			missing++
		}
		return fmt.Errorf("%w: the history of rank %d of %s is missing (%d of %d are here)", ErrIncomplete, missing, p.name, len(have), p.ranks)
	}
	return nil
}

// Key is what operations can contradict each other about: one word of a
// segment, a lock, the name of a segment, or a barrier. Linearizability is a local
// property (Herlihy & Wing 1990, theorem 1): a history is linearizable if it is for
// each of them.
type Key struct {
	Kind   Kind
	Object string
	Word   uint64
}

// Kind is what operations are about. Words come before locks, those before names, and
// barriers last.
type Kind uint8

const (
	OfWord Kind = iota
	OfLock
	OfName
	OfBarrier
)

// kindOf is what an operation is about, if it is known.
func kindOf(op string) (k Kind, known bool) {
	switch op {
	case history.OpRead, history.OpWrite, history.OpCAS, history.OpAdd:
		return OfWord, true
	case history.OpAcquire, history.OpRelease:
		return OfLock, true
	case history.OpCreate, history.OpOpen, history.OpOpenOrCreate, history.OpRemove:
		return OfName, true
	case history.OpJoin, history.OpArrive, history.OpAwait, history.OpLeave:
		return OfBarrier, true
	}
	return OfWord, false
}

func (k Key) String() string {
	if k.Kind == OfWord {
		return fmt.Sprintf("word %d of %q", k.Word, k.Object)
	}
	return fmt.Sprintf("%s %q", [...]string{OfLock: "lock", OfName: "name", OfBarrier: "barrier"}[k.Kind], k.Object)
}

func (k Key) compare(l Key) int {
	return cmp.Or(cmp.Compare(k.Kind, l.Kind), cmp.Compare(k.Object, l.Object), cmp.Compare(k.Word, l.Word))
}

// byKey partitions operations; the keys are in order.
func byKey(all []Operation) ([]Key, map[Key][]*Operation) {
	parts := make(map[Key][]*Operation)
	for i := range all {
		o := &all[i]
		kind, _ := kindOf(o.Op)
		k := Key{Kind: kind, Object: o.Object, Word: o.Word}
		parts[k] = append(parts[k], o)
	}
	keys := make([]Key, 0, len(parts))
	for k := range parts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, Key.compare)
	return keys, parts
}
