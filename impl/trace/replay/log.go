package replay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/trace"
)

// log is the replay of one log.
type log struct {
	path string
	core machine
	sum  Summary

	in   *trace.Record // the input of the step that is being compared; nil between steps
	step *step         // what the core did with it
	act  int           // how many of its actions agree
}

// File replays one log. Its errors are those of Run.
func File(f *trace.File) (Summary, error) {
	core, err := newMachine(f.Header)
	if err != nil {
		return Summary{}, malformed(f.Path, 1, err)
	}
	l := &log{path: f.Path, core: core}
	for rec, err := range f.Records() {
		if err == nil {
			err = l.record(&rec)
		}
		if err != nil {
			return l.sum, l.agreed(err)
		}
	}
	if l.in != nil {
		return l.sum, l.agreed(malformed(f.Path, l.in.Line, errors.New("the step has no out record before the log's end")))
	}
	return l.sum, nil
}

// agreed says how far log and core agree where there is no verdict.
func (l *log) agreed(err error) error {
	var d *Difference
	if errors.As(err, &d) {
		return err
	}
	return fmt.Errorf("%w; no verdict, the %d steps before it agree", err, l.sum.Steps)
}

func malformed(path string, line int, err error) error {
	return fmt.Errorf("%w: %s:%d: %w", ndjson.ErrMalformed, path, line, err)
}

func (l *log) record(rec *trace.Record) error {
	switch rec.Kind {
	case trace.KindConfigure, trace.KindInput:
		if l.in != nil {
			return malformed(l.path, rec.Line, fmt.Errorf("the step of line %d has no out record", l.in.Line))
		}
	case trace.KindAction, trace.KindOutput:
		if l.in == nil {
			return malformed(l.path, rec.Line, errors.New("no in record has begun a step"))
		}
	}
	switch rec.Kind {
	case trace.KindConfigure:
		if err := l.core.configure(rec); err != nil {
			return malformed(l.path, rec.Line, err)
		}
		l.sum.Configurations++
	case trace.KindInput:
		step, err := l.core.step(rec)
		if err != nil {
			return malformed(l.path, rec.Line, err)
		}
		l.in, l.step, l.act = rec, step, 0
		if step.panicked != nil {
			return l.differs(rec.Line, "panic", "", fmt.Sprint(step.panicked))
		}
	case trace.KindAction:
		return l.action(rec)
	case trace.KindOutput:
		return l.output(rec)
	}
	return nil
}

// action compares an action of the log with the next one of the core.
func (l *log) action(then *trace.Record) error {
	if l.act == len(l.step.actions) {
		return l.differs(then.Line, "action", describe(then), "none")
	}
	now := &l.step.actions[l.act]
	switch {
	case now.Act != then.Act || now.At != then.At || now.Page != then.Page ||
		now.Object != then.Object || now.Of != then.Of || now.Party != then.Party ||
		(now.Message == nil) != (then.Message == nil) || (now.Sync == nil) != (then.Sync == nil) || (now.Call == nil) != (then.Call == nil):
		return l.differs(then.Line, "action", describe(then), describe(now))
	case !equal(now.Message, then.Message) || !equal(now.Sync, then.Sync):
		was, is := fields(then, now)
		return l.differs(then.Line, "message of "+describe(then), was, is)
	case !equal(now.Call, then.Call):
		was, is := fields(then, now)
		return l.differs(then.Line, "call of "+describe(then), was, is)
	case now.Lamport != then.Lamport:
		return l.differs(then.Line, "clock of "+describe(then), fmt.Sprint(then.Lamport), fmt.Sprint(now.Lamport))
	case now.Before != then.Before:
		return l.differs(then.Line, "phase before "+describe(then), then.Before.String(), now.Before.String())
	case !bytes.Equal(now.Post, then.Post):
		return l.differs(then.Line, "state after "+describe(then), string(then.Post), string(now.Post))
	}
	l.act++
	l.sum.Actions++
	return nil
}

// equal compares what two pointers point to, if they do.
func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// output compares what the step put out, and ends it.
func (l *log) output(rec *trace.Record) error {
	if l.act < len(l.step.actions) {
		return l.differs(rec.Line, "action", "none", describe(&l.step.actions[l.act]))
	}
	then, now := rec.Out, &l.step.out
	switch {
	case rec.Page != l.in.Page || rec.Object != l.in.Object || rec.At != l.in.At:
		return malformed(l.path, rec.Line, fmt.Errorf("the output is not of the page, the object or the place of the input in line %d", l.in.Line))
	case then.Refused != now.Refused:
		return l.differs(rec.Line, "refusal", orNone(then.Refused), orNone(now.Refused))
	case then.Digest != now.Digest || !slices.Equal(then.Effects, now.Effects):
		return l.differs(rec.Line, "batch", outline(then), outline(now))
	}
	l.sum.Steps++
	l.sum.Effects += len(now.Effects)
	if now.Refused != "" {
		l.sum.Refused++
	}
	l.in, l.step = nil, nil
	return nil
}

func (l *log) differs(line int, what, then, now string) error {
	return &Difference{File: l.path, Line: line, Step: l.sum.Steps + 1, Input: *l.in,
		What: what, Then: then, Now: now, Batch: string(l.step.effects)}
}
