package trace

import "fmt"

// Bug is a mistake that Break can put into what records: without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it the
// tests of impl/mutants demand that every one of them is found.
type Bug uint8

const (
	BugNone Bug = iota

	BugNoManifest      // a node leaves no manifest
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

var bugNames = [...]string{"none", "NoManifest", "NoSyncLog", "ForgetsPage", "ForgetsLock", "ForgetsInputs", "ForgetsActions", "ForgetsOutputs",
	"ForgetsContents", "ForgetsSteps", "StopsEarly", "OtherPage", "StateBefore", "ClockStands", "NoPhase"}

func (b Bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("Bug(%d)", uint8(b))
}
