package history

import "fmt"

// Bug is a mistake that Break can put into what records: without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it the
// tests of impl/mutants demand that every one of them is found.
type Bug uint8

const (
	BugNone Bug = iota

	BugCallEarly        // the call is stamped 1000 s too early
	BugCallAtLastReturn // it is stamped when the client's last operation has returned
	BugTwoAtOnce        // it is stamped a moment before that
	BugCallLate         // it is stamped when the operation has returned
	BugReturnLate       // the return is stamped 1000 s too late
	BugReturnAtNextCall // it is stamped when the client's next operation is called
	BugReturnEarly      // it is stamped when the operation is called
	BugOneNumber        // all clients have one number
	BugOtherClient      // some operations are recorded for another client
	BugOtherWord        // some are recorded of another word
	BugOtherValue       // some have the answer of the one before
	BugSkipsOperation   // some are not recorded
	BugSkipsLast        // what is under way at the end is not
	BugSkipsClient      // all that one client does is not
	BugRecordsTwice     // some are recorded again
	BugOpenAnswered     // what had no answer is recorded as if it had one
	BugAnsweredOpen     // some that had an answer are recorded without
	BugGoesOnOpen       // a client goes on behind an operation without an answer
	numBugs
)

var bugNames = [...]string{"none", "CallEarly", "CallAtLastReturn", "TwoAtOnce", "CallLate", "ReturnLate", "ReturnAtNextCall", "ReturnEarly",
	"OneNumber", "OtherClient", "OtherWord", "OtherValue", "SkipsOperation", "SkipsLast", "SkipsClient", "RecordsTwice",
	"OpenAnswered", "AnsweredOpen", "GoesOnOpen"}

func (b Bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("Bug(%d)", uint8(b))
}
