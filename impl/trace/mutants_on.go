//go:build mutants

package trace

import "time"

var theBug Bug

func broken(b Bug) bool { return b == theBug }

// Break puts one mistake into whatever records from here on. Break(BugNone) mends it.
func Break(b Bug) { theBug = b }

// HistoryBugs are all mistakes about histories.
func HistoryBugs() (all []Bug) {
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
	case broken(bugCallEarly):
		c.op.Call -= far
	case broken(bugCallAtLastReturn) && c.broken.last.Return != 0:
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
	c.broken.silent = broken(bugSkipsClient) && c.number == 1
	switch last := len(c.former) - 1; {
	case broken(bugOneNumber):
		c.number = 0
	case broken(bugGoesOnOpen) && last >= 0:
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
	case broken(bugCallLate):
		o.Call = Now()
	case broken(bugReturnLate) && !open:
		o.Return += far
	case broken(bugReturnEarly) && !open:
		o.Return = o.Call
	case broken(bugReturnAtNextCall) && !open:
		waits := *o
		c.broken.waits = &waits
		return true
	case broken(bugOtherClient) && chosen:
		o.Client = 0
	case broken(bugOtherWord) && chosen:
		o.Word ^= 1
	case broken(bugOtherValue) && chosen && !open:
		o.Value, o.Result = last.Value, last.Result
	case broken(bugSkipsOperation) && chosen, broken(bugSkipsLast) && closing, c.broken.silent:
		return true
	case broken(bugRecordsTwice) && chosen:
		c.history.record(o)
	case broken(bugOpenAnswered) && open:
		o.Return = Now()
	case broken(bugAnsweredOpen) && chosen:
		o.Return = 0
	}
	return false
}

// misclose breaks the end of a client, mislost says whether it is not recorded.
func (c *Client) misclose()     { c.misflush(Now()) }
func (c *Client) mislost() bool { return c.broken.silent }
