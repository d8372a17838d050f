package linearizability

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/mome-dsm/mome/impl/history"
)

// The sequential specifications, for Porcupine. An input is an *Operation, with
// its answer. The state of a word is its value, 0 to begin with.
//
// Porcupine must place every operation. One without an answer can always take
// its place at the end, where nobody sees what it does.
var (
	Register    = wordModel(history.OpRead, history.OpWrite)
	CASRegister = wordModel(history.OpRead, history.OpWrite, history.OpCAS)
	Counter     = wordModel(history.OpRead, history.OpAdd)
	Word        = wordModel(history.OpRead, history.OpWrite, history.OpCAS, history.OpAdd)

	// Lock is a lock with fences: each turn's is higher than all before.
	Lock = model(lockState{}, stepLock, func(l lockState) string {
		if l.holder != 0 {
			return fmt.Sprintf("held, fence %d", l.holder)
		}
		return "free"
	})

	// Name is the name of a segment, which segments have one after the other.
	Name = model(nameState{}, stepName, func(n nameState) string {
		switch n.generation {
		case 0:
			return "free"
		case unknownGeneration:
			return "taken"
		}
		return fmt.Sprintf("generation %d", n.generation)
	})
)

// model is a specification by its first state, its step, and words for a state.
func model[S any](first S, step func(S, *Operation) (bool, S), words func(S) string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(s, in, _ any) (bool, any) {
			ok, next := step(s.(S), in.(*Operation))
			return ok, next
		},
		DescribeOperation:         func(in, _ any) string { return in.(*Operation).String() },
		DescribeState:             func(s any) string { return words(s.(S)) },
		DescribeOperationMetadata: func(at any) string { return at.(string) },
	}
}

func wordModel(ops ...string) porcupine.Model {
	may := make(map[string]bool)
	for _, op := range ops {
		may[op] = true
	}
	step := func(value uint64, o *Operation) (bool, uint64) {
		if !may[o.Op] {
			return false, value
		}
		return stepWord(value, o)
	}
	m := model(0, step, func(value uint64) string { return fmt.Sprint(value) })
	m.Hash = func(s any) uint64 { return s.(uint64) }
	return m
}

func stepWord(value uint64, o *Operation) (bool, uint64) {
	switch o.Op {
	case history.OpRead:
		return o.open() || value == o.Value, value
	case history.OpWrite:
		return true, o.Value
	case history.OpCAS:
		equal := value == o.Old
		if equal && (o.open() || o.Result != 0) {
			return true, o.Value
		}
		return o.open() || o.Result == 0 && !equal, value
	case history.OpAdd:
		sum := value + o.Value
		return o.open() || o.Result == sum, sum
	}
	return false, value
}

// unknownFence is that of a holder that was never told.
const unknownFence = ^uint64(0)

type lockState struct {
	holder uint64 // its fence; 0: free
	last   uint64 // the highest fence there was
}

// stepLock: a lock that was not granted says nothing, since TryAcquire gives up
// where somebody else of its process asks, too. After the death of an owner the
// lock is granted over its turn, and its late release frees nothing. An acquire
// without an answer may have got a turn whose fence nobody knows, and which only
// such a death can end.
func stepLock(s lockState, o *Operation) (bool, lockState) {
	switch o.Op {
	case history.OpAcquire:
		switch {
		case o.open():
			return true, lockState{unknownFence, s.last}
		case o.Value == 0:
			return true, s
		}
		return (s.holder == 0 || o.Old != 0) && o.Value > s.last, lockState{o.Value, o.Value}
	case history.OpRelease:
		held := o.Value != 0 && s.holder == o.Value
		if held && (o.open() || o.Result != 0) {
			return true, lockState{0, s.last}
		}
		return o.open() || o.Result == 0 && !held, s
	}
	return false, s
}

// nameAnswer is what an operation was told about a name.
func nameAnswer(o *Operation) string {
	switch {
	case o.Op == history.OpRemove && o.Result == 0 || o.Op == history.OpOpen && o.Value == 0:
		return "there is none"
	case o.Op == history.OpRemove:
		return "done"
	case o.Value == 0:
		return "it is there"
	case o.Result != 0:
		return fmt.Sprintf("made generation %d", o.Value)
	}
	return fmt.Sprintf("generation %d", o.Value)
}

// unknownGeneration is that of a segment whose maker was not told.
const unknownGeneration = ^uint64(0)

type nameState struct {
	generation uint64 // of the segment that has the name; 0: none
	last       uint64 // the highest generation that the name has had
}

// stepName: generations of a name grow, and one that is gone never comes back. An
// operation without an answer may have made a segment of a generation that whoever
// opens it tells, or have done nothing.
func stepName(s nameState, o *Operation) (bool, nameState) {
	there := s.generation != 0
	known := s.generation != unknownGeneration
	makes := func() (bool, nameState) { return !there && o.Value > s.last, nameState{o.Value, o.Value} }
	finds := func() (bool, nameState) {
		if there && !known && o.Value > s.last {
			return true, nameState{o.Value, o.Value}
		}
		return there && known && s.generation == o.Value, s
	}
	switch {
	case o.Op == history.OpRemove && o.open():
		return true, nameState{0, s.last}
	case o.Op == history.OpRemove && o.Result != 0:
		return there, nameState{0, s.last}
	case o.Op == history.OpRemove:
		return !there, s
	case o.Op == history.OpOpen && o.open():
		return true, s
	case o.Op == history.OpOpen && o.Value == 0:
		return !there, s
	case o.Op == history.OpOpen:
		return finds()
	case o.open() && !there:
		return true, nameState{unknownGeneration, s.last}
	case o.open():
		return true, s
	case o.Value == 0:
		return there, s
	case o.Op == history.OpCreate, o.Result != 0:
		return makes()
	}
	return finds()
}

// The names of the models, in the order of reports.
const (
	modelRegister = "register"
	modelCAS      = "cas register"
	modelCounter  = "counter"
	modelWord     = "word" // reads, writes, cas and add together
	modelLock     = "lock"
	modelName     = "name"
	modelBarrier  = "barrier"
)

// modelOf finds the smallest model that has the operations, or an operation
// that none has.
func modelOf(k Key, ops []*Operation) (name string, model *porcupine.Model, unknown *Operation) {
	has := make(map[string]bool)
	for _, o := range ops {
		has[o.Op] = true
		if _, known := kindOf(o.Op); !known {
			return o.Op, nil, o
		}
	}
	switch add := has[history.OpAdd]; {
	case k.Kind == OfLock:
		return modelLock, &Lock, nil
	case k.Kind == OfName:
		return modelName, &Name, nil
	case k.Kind == OfBarrier:
		return modelBarrier, &Barrier, nil
	case add && (has[history.OpWrite] || has[history.OpCAS]):
		return modelWord, &Word, nil
	case add:
		return modelCounter, &Counter, nil
	case has[history.OpCAS]:
		return modelCAS, &CASRegister, nil
	}
	return modelRegister, &Register, nil
}
