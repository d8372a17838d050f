//go:build mutants

package trace

import (
	"bytes"
	"regexp"
)

var theBug Bug

func broken(b Bug) bool { return b == theBug }

// Break puts one mistake into whatever records from here on. Break(BugNone) mends it.
func Break(b Bug) { theBug = b }

// Bugs are all mistakes.
func Bugs() []Bug {
	var all []Bug
	for b := BugNone + 1; b < numBugs; b++ {
		all = append(all, b)
	}
	return all
}

// some records are those that a mistake is made about.
const some = 7

// brokenLog is what a broken Log remembers.
type brokenLog struct {
	steps, chosen int
	post          []byte
}

var (
	phaseText = regexp.MustCompile(`,"phase":"[a-z A-Z]*"`)
	clockText = regexp.MustCompile(`^{"lc":\d+`)
	postText  = regexp.MustCompile(`,"post":.*$`)
	pageText  = regexp.MustCompile(`,"p":\d+`)
)

// mistake breaks the record that b has behind its last whole line, or takes it away
// and says that it is lost. What is lost has no number.
func (l *Log) mistake(b []byte) ([]byte, bool) {
	at := bytes.LastIndexByte(b, '\n') + 1
	whole, record := b[:at], b[at:]
	has := func(text string) bool { return bytes.Contains(record, []byte(text)) }
	// Every seventh that it is asked about.
	chosen := func(is bool) bool {
		if !is {
			return false
		}
		l.broken.chosen++
		return l.broken.chosen%some == 0
	}
	if has(`"in":`) {
		l.broken.steps++
	}
	action := has(`"act":`)
	lost := false
	switch {
	case broken(BugForgetsPage):
		lost = has(`,"p":0,`)
	case broken(BugForgetsLock):
		lost = has(`,"p":1,`)
	case broken(BugForgetsInputs):
		lost = chosen(has(`"in":`))
	case broken(BugForgetsActions):
		lost = chosen(action)
	case broken(BugForgetsOutputs):
		lost = chosen(has(`"out":`))
	case broken(BugForgetsContents):
		lost = chosen(has(`"content":`))
	case broken(BugForgetsSteps):
		lost = l.broken.steps > 0 && l.broken.steps%some == 0
	case broken(BugStopsEarly):
		lost = l.seq > 100
	case broken(BugOtherPage) && chosen(action):
		other := []byte(`,"p":0`)
		if has(`,"p":0,`) {
			other = []byte(`,"p":1`)
		}
		record = pageText.ReplaceAll(record, other)
	case broken(BugStateBefore) && action:
		if now := bytes.Clone(postText.Find(record)); chosen(l.broken.post != nil) {
			record = postText.ReplaceAllLiteral(record, l.broken.post)
		} else {
			l.broken.post = now
		}
	case broken(BugClockStands):
		record = clockText.ReplaceAll(record, []byte(`{"lc":1`))
	case broken(BugNoPhase):
		record = phaseText.ReplaceAll(record, nil)
	}
	if lost {
		l.seq--
		return whole, true
	}
	return append(whole, record...), false
}
