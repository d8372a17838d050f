package linearizability

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mome-dsm/mome/impl/history"
)

// MaxWindow is how many operations a picture has at most.
const MaxWindow = 2000

const (
	// small is up to how many operations a word is drawn as a whole.
	small = 200
	// margin is how many states are drawn on both sides of a violation.
	margin = 20
)

// window is a part of a word's history that is linearizable if the whole is: all
// that was done by the operations which put some values there, and reads of
// these values, beginning with the value that was there before. Values that are
// left out take their operations with them.
type window struct {
	start  uint64
	values map[uint64]bool
	ops    []*Operation // instead of values
}

// newWindow has states i to j of a chain, and some more on both sides.
func newWindow(chain []*cluster, i, j int) *window {
	w := &window{values: make(map[uint64]bool)}
	i, j = max(i-margin, 0), min(j+margin, len(chain)-1)
	if i > 0 && !chain[i].lock {
		w.start = chain[i-1].value
	}
	for _, c := range chain[i : j+1] {
		if c.by != nil && c.lock {
			w.values[c.by.Value] = true // turns as a whole
		} else {
			w.values[c.value] = true
		}
	}
	return w
}

// newBlockWindow has two blocks and those around them in time.
func newBlockWindow(blocks []*block, a, b *block) *window {
	w := &window{values: make(map[uint64]bool)}
	add := func(b *block) {
		for _, c := range b.chain {
			w.values[c.value] = true
		}
	}
	add(a)
	add(b)
	order := slices.Clone(blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(a.begin+a.end, b.begin+b.end) })
	i, j := slices.Index(order, a), slices.Index(order, b)
	if i > j {
		i, j = j, i
	}
	for _, d := range order[max(i-margin, 0):min(j+margin+1, len(order))] {
		if len(w.values)+len(d.chain) <= len(a.chain)+len(b.chain)+2*margin {
			add(d)
		}
	}
	return w
}

// of are the window's operations. Reads and refused operations can be left out,
// so those which do not fit are; nil if the others alone are too many.
func (w *window) of(all []*Operation, must []*Operation) []*Operation {
	if w.ops != nil {
		return w.ops
	}
	in := make(map[*Operation]bool, len(must))
	for _, o := range must {
		in[o] = true
	}
	passive := func(o *Operation) bool {
		return o.Op == history.OpRead || !o.open() && o.Result == 0 && (o.Op == history.OpCAS || o.Op == history.OpRelease)
	}
	rest := MaxWindow
	for _, o := range all {
		switch {
		case in[o]:
			rest--
		case passive(o), o.Op == history.OpRelease && o.Value == 0, o.open() && o.Op == history.OpAdd:
		case w.values[arrivalOf(o)]:
			in[o] = true
			rest--
		}
	}
	for _, o := range all {
		if rest > 0 && !in[o] && o.Op == history.OpRead && !o.open() && w.values[o.Value] {
			in[o] = true
			rest--
		}
	}
	if rest < 0 {
		return nil
	}
	var ops []*Operation
	for _, o := range all {
		if in[o] {
			ops = append(ops, o)
		}
	}
	return ops
}

// secondOpinion has Porcupine judge the window of a conflict, or the whole word
// where that is small. What it says of a window that the conflict has chosen and
// of the whole word must be the same; if it can judge neither, that is no
// disagreement.
func (r *Result) secondOpinion(c *conflict, ops []*Operation, model *porcupine.Model, limit time.Duration) error {
	type part struct {
		start uint64
		ops   []*Operation
	}
	var parts []part
	if len(ops) > small && c.window != nil {
		parts = append(parts, part{c.window.start, c.window.of(ops, c.ops)})
	}
	if len(ops) <= MaxWindow {
		parts = append(parts, part{0, ops})
	}
	for _, p := range parts {
		if len(p.ops) == 0 {
			continue
		}
		m := *model
		if p.start != 0 {
			m.Init = func() any { return p.start }
		}
		verdict, info := porcupine.CheckOperationsVerbose(m, forPorcupine(p.ops), limit)
		switch verdict {
		case porcupine.Ok:
			return fmt.Errorf("the %s checker finds a contradiction and Porcupine finds none in the same %d operations: one of them is wrong", r.Checker, len(p.ops))
		case porcupine.Illegal:
			r.Confirmed = true
			r.picture = &picture{m, info, len(p.ops)}
			return nil
		}
	}
	return nil
}

// picture is Porcupine's of a violation.
type picture struct {
	model porcupine.Model
	info  porcupine.LinearizationInfo
	count int
}

// Draw writes Porcupine's picture of the violation, as one page of HTML, and
// says how many operations it shows: 0 if there is none, because Porcupine could
// not judge the part of the history in time or it has more than MaxWindow
// operations.
func (r *Result) Draw(w io.Writer) (operations int, err error) {
	if r.picture == nil {
		return 0, nil
	}
	return r.picture.count, porcupine.Visualize(r.picture.model, r.picture.info, w)
}

// forPorcupine makes the operations what Porcupine takes. Intervals that were
// widened may overlap in one client; so in a picture a client may have more than
// one row.
func forPorcupine(ops []*Operation) []porcupine.Operation {
	last := int64(0)
	for _, o := range ops {
		last = max(last, o.Call)
		if !o.open() {
			last = max(last, o.Return)
		}
	}
	sorted := slices.Clone(ops)
	slices.SortStableFunc(sorted, func(a, b *Operation) int { return cmp.Compare(a.Call, b.Call) })
	var rows []struct {
		client int
		free   int64
	}
	out := make([]porcupine.Operation, 0, len(ops))
	for _, o := range sorted {
		end := min(o.Return, last+1)
		row := slices.IndexFunc(rows, func(r struct {
			client int
			free   int64
		}) bool {
			return r.client == o.Client && r.free < o.Call
		})
		if row < 0 {
			row = len(rows)
			rows = append(rows, struct {
				client int
				free   int64
			}{client: o.Client})
		}
		rows[row].free = end
		out = append(out, porcupine.Operation{ClientId: row, Input: o, Call: o.Call, Return: end,
			Metadata: fmt.Sprintf("client %d, %s", o.Client, o.Where())})
	}
	return out
}
