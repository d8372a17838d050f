package validate

import (
	"fmt"
	"iter"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Kind is one kind of object that a run is made of.
type Kind struct {
	// Name is the plural, for people: pages.
	Name string
	// Spec is the trace specification, a module of a folder of spec.
	Spec string
	// Protocol is the one whose objects these are, or lie below.
	Protocol *protocol.Protocol
	// Records are the records of a run that it is made of, in causal order.
	Records func(*trace.Run) iter.Seq2[*trace.Event, error]
	// Project makes the projection of a run.
	Project func(*trace.Run) (Projection, error)
	// Real says that nodes with a kernel below them have such objects, and those
	// of the simulator have not.
	Real bool
	// Optional says that a run may have none.
	Optional bool
}

// Kinds are all kinds, of each protocol one or more, in the order in which they are judged.
var Kinds = []Kind{Pages, Successions, Frames, Locks, Barriers}

// KindsOf are the kinds of objects that the run is made of: each must be there,
// but for those that are Optional.
func KindsOf(run *trace.Run) []Kind {
	simulated := run.Files[0].Header.Simulated
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return k.Real && simulated })
}

// Projection turns the records of a run into the events of its objects.
type Projection interface {
	// Add takes the next record in causal order, of whatever kind. The record
	// is the projection's only for the time of the call.
	Add(*trace.Event) error
	// Objects are what came of the records, with at least one event each. An
	// error means that the run is not whole.
	Objects() ([]*Object, error)
	// Constants are the definitions that the specification needs beside the
	// events.
	Constants() []Constant
}

// Constant is the value of a constant of the specification, or of an operator
// that is replaced.
type Constant struct {
	Name string
	// Value is an expression. Empty: Operator stands instead.
	Value    string
	Operator string // name of an operator of the specification
}

// Object is one object and all that happened to it.
type Object struct {
	Name   string // for people
	Events []Event
	// Place is where a manager lives that the specification calls name.
	Place func(name string) (addr.Place, bool)
}

// Event is one event of an object.
type Event struct {
	// Shape is the TLA+ expression that says what happened, and Numbers what
	// the specification takes beside it.
	Shape   string
	Numbers []int

	Act     string
	At      addr.Place
	Lamport uint64
	File    *trace.File
	Line    int
}

// endAct is the Act of the last event of an object.
const endAct = "End"

// ending is the event that comes last where the run had come to rest: nothing is
// under way any more. It stands where the last one does.
func ending(events []Event) Event {
	end := events[len(events)-1]
	end.Shape, end.Act = fmt.Sprintf("[act|->%q]", endAct), endAct
	return end
}

// Where names the file and the line of the event.
func (e *Event) Where() string { return fmt.Sprintf("%s:%d", e.File.Path, e.Line) }
