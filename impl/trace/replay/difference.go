package replay

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/mome-dsm/mome/impl/trace"
)

// Difference is the first step of a log where the core does something else than
// was recorded.
type Difference struct {
	File  string
	Line  int // of the record that differs
	Step  int // of the log, from 1
	Input trace.Record
	// What differs: the action; its message, clock, the phase before or the state
	// after it; the refusal; the batch; or that the core panics.
	What      string
	Then, Now string // the log's and the core's
	// Batch is what the core puts out now for the whole step: one line of JSON
	// for each effect.
	Batch string
}

// Error names the step and both sides in one line.
func (d *Difference) Error() string {
	if d.Then == "" {
		return fmt.Sprintf("mome: the replay differs from %s:%d, step %d (%s): %s: now %s",
			d.File, d.Line, d.Step, describe(&d.Input), d.What, d.Now)
	}
	return fmt.Sprintf("mome: the replay differs from %s:%d, step %d (%s): %s: then %s, now %s",
		d.File, d.Line, d.Step, describe(&d.Input), d.What, d.Then, d.Now)
}

// Describe names the input of the step.
func (d *Difference) Describe() string { return describe(&d.Input) }

// describe names an input or an action: what, about what, where, and between
// whom if it is about a message.
func describe(r *trace.Record) string {
	if m := r.Message; m != nil {
		return fmt.Sprintf("%s of %v at %v: %v from %v to %v", r.Act, r.Page, r.At, m.Kind, m.From, m.To)
	}
	if r.Sync == nil && r.Call == nil {
		return fmt.Sprintf("%s of %v at %v", r.Act, r.Page, r.At)
	}
	// Only an action says what its object is.
	what, party := "object", r.Party
	switch {
	case r.Kind == trace.KindAction:
		what = r.Protocol().Object
	case r.Sync != nil:
		party = r.Sync.Party
	default:
		party = r.Call.Party
	}
	text := fmt.Sprintf("%s of %s %#x at %v, party %d", r.Act, what, r.Object, r.At, party)
	if m := r.Sync; m != nil {
		text += fmt.Sprintf(": %v from %v", m.Kind, m.From)
	}
	return text
}

// fields is the fields in which the messages or calls of two records differ,
// with the values of each.
func fields(then, now *trace.Record) (was, is string) {
	diff := func(a, b reflect.Value) {
		if a.IsNil() || b.IsNil() {
			return
		}
		a, b = a.Elem(), b.Elem()
		for i := range a.NumField() {
			if x, y := a.Field(i), b.Field(i); !x.Equal(y) {
				name := a.Type().Field(i).Name
				was += fmt.Sprintf(" %s %v", name, x)
				is += fmt.Sprintf(" %s %v", name, y)
			}
		}
	}
	diff(reflect.ValueOf(then.Message), reflect.ValueOf(now.Message))
	diff(reflect.ValueOf(then.Sync), reflect.ValueOf(now.Sync))
	diff(reflect.ValueOf(then.Call), reflect.ValueOf(now.Call))
	return strings.TrimSpace(was), strings.TrimSpace(is)
}

// outline is the effects of a step in short, with their digest.
func outline(o *trace.Output) string {
	if len(o.Effects) == 0 {
		return "no effect, " + o.Digest.String()
	}
	return fmt.Sprintf("[%s], %v", strings.Join(o.Effects, ", "), o.Digest)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
