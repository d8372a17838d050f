package history

import "github.com/mome-dsm/mome/impl/clock"

// Format is the version of the histories.
const Format = 3

// Header is the first line of a history.
type Header struct {
	// Format is set by New.
	Format int `json:"format"`
	// Model names what the words promised: strong, weak, release, reduction.
	Model string `json:"model"`
	Seed  uint64 `json:"seed"`
	Build string `json:"build"`
	// Run is the cluster that was shared. Histories of one run are judged
	// together, those of different runs have nothing to do with each other.
	Run string `json:"run"`
	// Process tells the histories of a run apart.
	Process string `json:"process"`
	// Rank is the number of the process among the Ranks of its Program, so that
	// it is seen if the history of one is missing. Zero Ranks: it is not known.
	Program string `json:"program"`
	Rank    int    `json:"rank"`
	Ranks   int    `json:"ranks"`
	clock.Reading
	// Begin is clock.Now when the history began: nothing was called before. New
	// sets it.
	Begin int64 `json:"begin_ns"`
}

// The operations that the checkers know.
const (
	OpRead    = "read"    // Value: what was read
	OpWrite   = "write"   // Value: what was written
	OpCAS     = "cas"     // Old: what was expected; Value: what was to be written instead; Result: 1 if it was, else 0
	OpAdd     = "add"     // Value: what was added; Result: the sum
	OpAcquire = "acquire" // Value: the fence, 0 if the lock was not granted; Old: 1 if the holder before had died
	OpRelease = "release" // Value: the fence; Result: 1 if the lock was given up, 0 if it was not held
	// Of names of segments. Value: the generation of the segment, 0 if the name was
	// taken (create), if there was none (open), or if it could be neither opened nor
	// created since it has another size (openOrCreate). Result: 1 if the operation
	// has created the segment, or removed it.
	OpCreate       = "create"
	OpOpen         = "open"
	OpOpenOrCreate = "openOrCreate"
	OpRemove       = "remove"
	// Of barriers. Value: the party. Old: of how many (join), or the round. Result: 1
	// if the party has joined, or if the round is over, 0 if it was refused, or if a
	// party has died or left that the round needed.
	OpJoin   = "join"
	OpArrive = "arrive"
	OpAwait  = "await"
	OpLeave  = "leave"
)

// Operation is what one client did to one word, to one lock, to the name of a
// segment, or to a barrier. Other names of operations are up to those who record
// and check them.
type Operation struct {
	Client int `json:"client"`
	// Seq is which of its client's operations it is, from 1.
	Seq uint64 `json:"seq"`
	Op  string `json:"op"`
	// Object is what has the word: a segment in one of its lives, or a lock, a
	// name or a barrier, whose word is 0.
	Object string `json:"object,omitempty"`
	// Word is the word's place in its segment, counted in words of 64 bits.
	Word   uint64 `json:"word"`
	Value  uint64 `json:"value"`
	Old    uint64 `json:"old,omitempty"`
	Result uint64 `json:"result,omitempty"`
	// Call and Return are clock.Now before and after the operation. Return is zero
	// where no answer was seen: such an operation stays open to the end of the
	// history, and is the last one of its client.
	Call   int64 `json:"call_ns"`
	Return int64 `json:"return_ns"`
}
