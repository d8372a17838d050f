package protocol

// Bug is a mistake that broken can put into the core. Without the build tag
// mutants no bug can be switched on and the questions cost nothing; with it the
// tests of impl/mutants demand that every one of them is found.
type Bug uint8

const (
	noBug Bug = iota
	bugSkipAckWait
	bugForgetChild
	bugGrantEarly
	bugOwnedCoversWrite
	bugHaveUnchecked
	bugHavePassedDown
	bugServeWhileRecalled
	bugRecallWhileServing
	bugRecallNotWhileUp
	bugAckBeforeCollect
	bugMissAsHit
	bugUnmarkMissing
	bugHomeSendsWhileStale
	bugWritebackIgnoresData
	bugWritebackMootMissing
	bugVersionNotAdvanced
	bugGrantBeforeData
	bugRecallOvertakesGrant
	bugEvictUnderUpgrade
	bugEvictOwned
	bugKeepsWriteOnDowngrade
	bugHitWithoutData
	bugNewestFirst
	bugRequestsFirst
	bugUpgradeWhileHeld
	bugRecallsNarrow
	bugNoStamp
	bugStampOfFirstGrant
	bugResidenceOfRecall
	bugHomeKept
	bugAskingKept
	bugNoVersion
	bugNoTxn
	bugClockStands
	bugNoTerm
	bugNoIncarnation
	bugProtectBehindSend
	bugDropUnprotected
	bugGrantBeforeZero

	// Of segments that are gone, and messages about others.
	bugSkippedKeepsRight
	bugSkippedKeepsHome
	bugSkippedKeepsRequest
	bugEveryViewForgets
	bugNewestOfThese
	bugEarlyDropped
	bugEarlyAccepted
	bugEarlyStays
	bugLateAccepted
	bugGenerationIgnored

	// Of locks.
	bugDropFence
	bugAnyFence
	bugGrantWhileHeld
	bugForgetWaiter
	bugLastFirst
	bugNearForever
	bugTryWaits
	bugCancelStaysQueued
	bugOwnerDiedLost
	bugOwnerDiedTwice
	bugDeathKeepsLock
	bugDeadKeepsGrant

	// Of barriers.
	bugOneTooFew
	bugArrivalsStay
	bugArriveAgain
	bugRoundAfterBroken
	bugDoneToOne
	bugBrokenUntold
	bugSeatTwice
	bugDeadSits
	bugDeathLeaves
	bugLeaveBreaks
	bugLeftForgotten
	bugLeftSeatGiven
	bugClosedToLate
	bugJoinBroken
	bugJoinNewest
	numBugs
)

var bugNames = [...]string{"none", "SkipAckWait", "ForgetChild", "GrantEarly", "OwnedCoversWrite", "HaveUnchecked",
	"HavePassedDown", "ServeWhileRecalled", "RecallWhileServing", "RecallNotWhileUp", "AckBeforeCollect", "MissAsHit",
	"UnmarkMissing", "HomeSendsWhileStale", "WritebackIgnoresData", "WritebackMootMissing", "VersionNotAdvanced",
	"GrantBeforeData", "RecallOvertakesGrant", "EvictUnderUpgrade", "EvictOwned", "KeepsWriteOnDowngrade",
	"HitWithoutData", "NewestFirst", "RequestsFirst",
	"UpgradeWhileHeld", "RecallsNarrow", "NoStamp", "StampOfFirstGrant", "ResidenceOfRecall", "HomeKept", "AskingKept",
	"NoVersion", "NoTxn", "ClockStands", "NoTerm", "NoIncarnation", "ProtectBehindSend", "DropUnprotected", "GrantBeforeZero",
	"SkippedKeepsRight", "SkippedKeepsHome", "SkippedKeepsRequest", "EveryViewForgets", "NewestOfThese",
	"EarlyDropped", "EarlyAccepted", "EarlyStays", "LateAccepted", "GenerationIgnored",
	"DropFence", "AnyFence", "GrantWhileHeld", "ForgetWaiter", "LastFirst", "NearForever", "TryWaits", "CancelStaysQueued",
	"OwnerDiedLost", "OwnerDiedTwice", "DeathKeepsLock", "DeadKeepsGrant",
	"OneTooFew", "ArrivalsStay", "ArriveAgain", "RoundAfterBroken", "DoneToOne", "BrokenUntold", "SeatTwice", "DeadSits",
	"DeathLeaves", "LeaveBreaks", "LeftForgotten", "LeftSeatGiven", "ClosedToLate",
	"JoinBroken", "JoinNewest"}

func (b Bug) String() string { return name(bugNames[:], uint8(b)) }
