package trace

import "fmt"

// Bug is a mistake that Break can put into what records: without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it the
// tests of impl/mutants demand that every one of them is found.
type Bug uint8

const (
	BugNone Bug = iota

	// Of histories.
	bugCallEarly        // the call is stamped 1000 s too early
	bugCallAtLastReturn // it is stamped when the client's last operation has returned
	bugCallLate         // it is stamped when the operation has returned
	bugReturnLate       // the return is stamped 1000 s too late
	bugReturnAtNextCall // it is stamped when the client's next operation is called
	bugReturnEarly      // it is stamped when the operation is called
	bugOneNumber        // all clients have one number
	bugOtherClient      // some operations are recorded for another client
	bugOtherWord        // some are recorded of another word
	bugOtherValue       // some have the answer of the one before
	bugSkipsOperation   // some are not recorded
	bugSkipsLast        // what is under way at the end is not
	bugSkipsClient      // all that one client does is not
	bugRecordsTwice     // some are recorded again
	bugOpenAnswered     // what had no answer is recorded as if it had one
	bugAnsweredOpen     // some that had an answer are recorded without
	bugGoesOnOpen       // a client goes on behind an operation without an answer
	numBugs
)

var bugNames = [...]string{"none", "CallEarly", "CallAtLastReturn", "CallLate", "ReturnLate", "ReturnAtNextCall", "ReturnEarly",
	"OneNumber", "OtherClient", "OtherWord", "OtherValue", "SkipsOperation", "SkipsLast", "SkipsClient", "RecordsTwice",
	"OpenAnswered", "AnsweredOpen", "GoesOnOpen"}

func (b Bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("Bug(%d)", uint8(b))
}
