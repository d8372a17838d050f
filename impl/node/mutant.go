package node

import "fmt"

// bug is a mistake that broken can put into the shell. Without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it
// TestBrokenShell, and for segments TestBrokenSegments, demands that every one of
// them is found.
type bug uint8

const (
	// Of what comes.
	bugNewestFirst bug = iota + 1
	bugSyncsFirst
	bugReplayEnds
	bugPayloadsSwapped
	bugOtherShard
	bugErrandsBeforeUnlock
	bugFirstErrand
	bugStampStands
	// Of what the core says.
	bugPassesAlways
	bugFirstOfRun
	bugWriteUnderOwned
	bugCutOfMachine
	bugCutWithoutSyncs
	bugUnsettledSent
	bugDroppedFilled
	bugArrivalForgotten
	bugGoneTakesContent
	bugSparedEarly
	bugFetchedTwice
	bugWokenBeforeFill
	bugWrittenWakesNobody
	bugAppendBehindUnlock
	bugFlushFour
	// Of what is done again, or later.
	bugBusyInstall
	bugBusyRunOfOne
	bugBusyWake
	bugBusyProtect
	bugBusyPoison
	bugPoisonAtOnce
	bugPromiseForgotten
	bugResidenceForgotten
	bugNoAlarm
	numBugs
)

// Mistakes in what a node does when segments go and others come.
const (
	// bugPagesStay: the pages of a segment that is gone are not taken away.
	bugPagesStay bug = numBugs + iota
	// bugRemovedServed: an access through a mapping of a segment that is gone is
	// served with what has its pages now.
	bugRemovedServed
	// bugEarlyNotReplayed: what was early stays so.
	bugEarlyNotReplayed
	// bugResidenceOfAnother: the end of a residence counts for whatever has the page.
	bugResidenceOfAnother
)

var bugNames = [...]string{"none",
	"NewestFirst", "SyncsFirst", "ReplayEnds", "PayloadsSwapped", "OtherShard", "ErrandsBeforeUnlock", "FirstErrand", "StampStands",
	"PassesAlways", "FirstOfRun", "WriteUnderOwned", "CutOfMachine", "CutWithoutSyncs", "UnsettledSent", "DroppedFilled", "ArrivalForgotten", "GoneTakesContent",
	"SparedEarly", "FetchedTwice", "WokenBeforeFill", "WrittenWakesNobody", "AppendBehindUnlock", "FlushFour",
	"BusyInstall", "BusyRunOfOne", "BusyWake", "BusyProtect", "BusyPoison", "PoisonAtOnce", "PromiseForgotten", "ResidenceForgotten", "NoAlarm"}

func (b bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("bug(%d)", uint8(b))
}
