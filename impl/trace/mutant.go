package trace

import "fmt"

// Bug is a mistake that Break can put into what records: without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it the
// tests of impl/mutants demand that every one of them is found.
type Bug uint8

const (
	BugNone Bug = iota

	// Of histories.
	BugCallEarly        // the call is stamped 1000 s too early
	BugCallAtLastReturn // it is stamped when the client's last operation has returned
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

	// Of the logs of nodes.
	BugNoManifest      // a node leaves none
	BugNoSyncLog       // the logs of locks and barriers are not begun
	BugForgetsPage     // all that happens to one page is in no log
	BugForgetsLock     // all that happens to one lock is in no log
	BugForgetsInputs   // some inputs are not recorded
	BugForgetsActions  // some actions are not
	BugForgetsOutputs  // what some steps put out is not
	BugForgetsContents // some contents are not
	BugForgetsSteps    // of some steps nothing is
	BugStopsEarly      // a log ends before its node does
	BugOtherPage       // some actions are recorded of the page beside
	BugStateBefore     // some actions have the state after the one before
	BugClockStands     // all records have one Lamport clock
	BugNoPhase         // no action says what the manager was doing
	numBugs
)

var bugNames = [...]string{"none", "CallEarly", "CallAtLastReturn", "CallLate", "ReturnLate", "ReturnAtNextCall", "ReturnEarly",
	"OneNumber", "OtherClient", "OtherWord", "OtherValue", "SkipsOperation", "SkipsLast", "SkipsClient", "RecordsTwice",
	"OpenAnswered", "AnsweredOpen", "GoesOnOpen",
	"NoManifest", "NoSyncLog", "ForgetsPage", "ForgetsLock", "ForgetsInputs", "ForgetsActions", "ForgetsOutputs", "ForgetsContents",
	"ForgetsSteps", "StopsEarly", "OtherPage", "StateBefore", "ClockStands", "NoPhase"}

func (b Bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("Bug(%d)", uint8(b))
}
