// Package validate asks the model checker whether a recorded run is a behaviour
// of the specification.
//
// A run is the logs of all its nodes, merged into one causal order. It is taken
// apart into objects, about which the specification speaks one at a time: for
// the coherence protocol an object is a page of one life of its segment. Each
// object becomes a sequence of events in the words of the specification, all of
// them together one TLA+ module of literals, and TLC looks for an object that
// cannot be followed to its end.
//
//	logs ─ trace.Run ─> records ─ Projection ─> Objects ─ module ─> TLC ─> Verdict
//
//	Run               all of it                               validate.go
//	Kind, Projection  what the objects are, and their events  kind.go
//	module            the literals                            module.go
//	pages             the pages of spec/strong                pages.go, state.go, names.go
//	successions       the pages over all lives, spec/segment  successions.go
//	frames            the frames of spec/frame                frames.go
//	syncs             what locks and barriers have in common  syncs.go
//	locks             the locks of spec/heaplock              locks.go
//	barriers          the barriers of spec/barrier            barriers.go
//	explain           why an event is refused                 explain.go
//
// A verdict is about a whole run. If a node has left no manifest, or a log is missing,
// cut short or of another format, there is none but an error, with the file and the
// line. So it is if a log has a gap, less than the manifest says, or a content that no
// action explains.
//
// Where the run had come to rest (trace.Run.UnderWay) each object of pages, locks and
// barriers ends with the event End, which no log has: nothing may be under way in the
// specification then. A frame ends with it always: nobody works on it any more. A
// succession does where no node has failed: what was kept has been looked at.
//
// # Another kind of object
//
// A kind is a value of type Kind: the name of the trace specification, a module
// such as TraceStrong, the records that it is made of, and a function that makes
// a Projection for a run. The projection is given these in causal order, picks what is
// about its objects, and writes an event as a TLA+ expression, which is stored
// once however often it occurs, and numbers of its own, for what hardly ever
// occurs twice. The trace specification declares the constants Trace (for each
// object its events, <<k, numbers...>>) and Shapes (Shapes[k] is an expression),
// and those that the projection defines beside them; it defines TraceInit and
// JudgeNext with the variables object and next. Where no step is possible JudgeNext
// prints lines that begin with the object, ".", next, and " guard: " or " part: ".
// Then add the kind to Kinds.
package validate
