//go:build mutants

package trace

import (
	"bytes"
	"regexp"
	"time"
)

var theBug Bug

func broken(b Bug) bool { return b == theBug }

// Break puts one mistake into whatever records from here on. Break(BugNone) mends it.
func Break(b Bug) { theBug = b }

// HistoryBugs are all mistakes about histories, LogBugs those about the logs of
// nodes.
func HistoryBugs() []Bug { return bugs(BugNone+1, BugNoManifest) }
func LogBugs() []Bug     { return bugs(BugNoManifest, numBugs) }

func bugs(from, to Bug) (all []Bug) {
	for b := from; b < to; b++ {
		all = append(all, b)
	}
	return all
}

// far is how wrong a stamp is that is grossly wrong, in nanoseconds.
const far = int64(1000 * time.Second)

// some operations are those that a mistake is made about.
const some = 7

// brokenClient is what a broken Client remembers.
type brokenClient struct {
	last   Operation  // recorded
	waits  *Operation // whose return is still to come
	silent bool
}

// misbegin breaks an operation that begins.
func (c *Client) misbegin() {
	switch {
	case broken(BugCallEarly):
		c.op.Call -= far
	case broken(BugCallAtLastReturn) && c.broken.last.Return != 0:
		c.op.Call = c.broken.last.Return
	}
	c.misflush(c.op.Call)
}

// misflush records the operation whose return was not stamped yet.
func (c *Client) misflush(now int64) {
	if o := c.broken.waits; o != nil {
		o.Return = now
		c.history.record(o)
		c.broken.waits = nil
	}
}

// misnumber breaks the number of the client, which is a new one.
func (c *Client) misnumber() {
	c.broken.silent = broken(BugSkipsClient) && c.number == 1
	switch last := len(c.former) - 1; {
	case broken(BugOneNumber):
		c.number = 0
	case broken(BugGoesOnOpen) && last >= 0:
		c.clientLife, c.former = c.former[last], c.former[:last]
	}
}

// misrecord breaks the operation that is about to be recorded, and says whether it
// is not to be. closing says that it is still under way when all ends.
func (c *Client) misrecord(closing bool) bool {
	o, last := &c.op, c.broken.last
	open, chosen := o.Return == 0, o.Seq%some == 0
	c.broken.last = *o
	switch {
	case broken(BugCallLate):
		o.Call = Now()
	case broken(BugReturnLate) && !open:
		o.Return += far
	case broken(BugReturnEarly) && !open:
		o.Return = o.Call
	case broken(BugReturnAtNextCall) && !open:
		waits := *o
		c.broken.waits = &waits
		return true
	case broken(BugOtherClient) && chosen:
		o.Client = 0
	case broken(BugOtherWord) && chosen:
		o.Word ^= 1
	case broken(BugOtherValue) && chosen && !open:
		o.Value, o.Result = last.Value, last.Result
	case broken(BugSkipsOperation) && chosen, broken(BugSkipsLast) && closing, c.broken.silent:
		return true
	case broken(BugRecordsTwice) && chosen:
		c.history.record(o)
	case broken(BugOpenAnswered) && open:
		o.Return = Now()
	case broken(BugAnsweredOpen) && chosen:
		o.Return = 0
	}
	return false
}

// misclose breaks the end of a client, mislost says whether it is not recorded.
func (c *Client) misclose()     { c.misflush(Now()) }
func (c *Client) mislost() bool { return c.broken.silent }

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

// mistake breaks the record that b has behind what was pending, or says that it is
// lost. What is lost has no number.
func (l *Log) mistake(b []byte) ([]byte, bool) {
	whole, record := b[:len(l.out.pending)], b[len(l.out.pending):]
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
	}
	return append(whole, record...), lost
}
