//go:build mutants

package history

import (
	"time"

	"github.com/mome-dsm/mome/impl/clock"
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
	case broken(BugTwoAtOnce) && c.broken.last.Return != 0:
		c.op.Call = c.broken.last.Return - 1
	}
	c.misflush(c.op.Call)
}

// misflush records the operation whose return was not stamped yet.
func (c *Client) misflush(now int64) {
	if o := c.broken.waits; o != nil {
		o.Return = now
		c.recorder.record(o)
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
		o.Call = clock.Now()
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
		c.recorder.record(o)
	case broken(BugOpenAnswered) && open:
		o.Return = clock.Now()
	case broken(BugAnsweredOpen) && chosen:
		o.Return = 0
	}
	return false
}

// misclose breaks the end of a client, mislost says whether it is not recorded.
func (c *Client) misclose()     { c.misflush(clock.Now()) }
func (c *Client) mislost() bool { return c.broken.silent }
