//go:build mutants

package trace

import (
	"bytes"
	"regexp"
	"sync"
)

// remembered is what a mutant remembers of each *Log.
var remembered sync.Map

type memory struct {
	asked, steps int
	post         []byte // the state of the last action
}

func (l *Log) memory() *memory {
	m, _ := remembered.LoadOrStore(l, new(memory))
	return m.(*memory)
}

// some records are those that a mistake is made about.
const some = 7

func (l *Log) chosen() bool {
	m := l.memory()
	m.asked++
	return m.asked%some == 0
}

// inChosenStep says whether the record is of a step that a mistake is made about;
// begins, that it is the step's first.
func (l *Log) inChosenStep(begins bool) bool {
	m := l.memory()
	if begins {
		m.steps++
	}
	return m.steps > 0 && m.steps%some == 0
}

var (
	phaseText = regexp.MustCompile(`,"phase":"[a-z A-Z]*"`)
	clockText = regexp.MustCompile(`^{"lc":\d+`)
	postText  = regexp.MustCompile(`,"post":.*$`)
	pageText  = regexp.MustCompile(`,"p":\d+`)
)

// split parts the record that b ends with from the whole lines before it.
func split(b []byte) (whole, record []byte) {
	at := bytes.LastIndexByte(b, '\n') + 1
	return b[:at], b[at:]
}

func has(b []byte, text string) bool {
	_, record := split(b)
	return bytes.Contains(record, []byte(text))
}

func replaced(b []byte, old *regexp.Regexp, text string) []byte {
	whole, record := split(b)
	return append(whole, old.ReplaceAllLiteral(record, []byte(text))...)
}

// without is what there is before the record, which is lost and has no number.
func (l *Log) without(b []byte) []byte {
	l.seq--
	whole, _ := split(b)
	return whole
}

func otherPage(b []byte) []byte {
	if has(b, `,"p":0,`) {
		return replaced(b, pageText, `,"p":1`)
	}
	return replaced(b, pageText, `,"p":0`)
}

func (l *Log) stateBefore(b []byte) []byte {
	m := l.memory()
	if m.post != nil && l.chosen() {
		return replaced(b, postText, string(m.post))
	}
	_, record := split(b)
	m.post = bytes.Clone(postText.Find(record))
	return b
}
