// Package explore model-checks the code itself. It drives the real core,
// protocol.Shard, through every interleaving at the bounds of the small models
// of spec/strong, and compares the states and transitions with those that TLC
// found. It compares the counts with spec/manifest.json and, where TLC writes
// its graph down, every state and every action from it.
//
//	Model, Models   the models, read from spec/                      model.go
//	Run             every interleaving, the invariants, the counts   explore.go
//	SameGraph       the graph beside TLC's, and the first difference graph.go
//	machine         one core for each manager, and what is around it step.go
//	state           a concrete state and its encoding                state.go
//	value           the same in the words of Strong.tla              spec.go, impl/strong
//
// Real is the core. Links are FIFO lists, Data is in no order, contents are small
// numbers, the application stores where effects have let it.
//
// # A state of the code, a state of the spec
//
// A manager's mgr[m] and a leaf's leaf[l] are taken out of a shard after each
// step, and put back before the next one (protocol.Manager, SetManager, Leaf,
// SetLeaf). README.md of impl/protocol says which field is which. Three things
// are not the same on both sides.
//
// History. Versions, transactions, clocks and stamps are in no state: the core
// writes them down and decides nothing by them. A test makes them up before each
// step, and finds the same graph. That a grant of write advances the version is
// demanded of the step.
//
// Messages that wait at a leaf. The spec leaves a Grant that comes before its
// Data, and a Recall that is held back, in the channel; the core takes them in.
// The spec's channel is therefore what the leaf keeps, and then what is under
// way. Both concrete states are explored, kept or not: they are one for the
// spec, and the same action must lead to the same state of the spec from
// either. Where one step takes two actions (Data comes, its Grant waits), the
// two in a row must come out the same. Taking a message in is no action, and
// must change nothing else.
//
// Frames. Content that has arrived is in the frame before the leaf has a right:
// leaf[l].val and .arrived are told apart by these. That a frame has a content
// where one of the two says so, and that processes may do what the right says
// and no more, is checked after each step, by the effects.
//
// # The model's tree in the code's
//
// protocol.Tree has all leaves at one depth, and puts a manager on the node of
// the first leaf below it; messages within a node are handled in the step that
// sent them. The spec takes each by an action of its own. So the managers of a
// model sit on nodes of their own: each is the second or a later child, and the
// first children are leaves that never fault, of which nobody hears. Where a
// model's leaf is higher than others, the managers between it and its parent in
// the code's tree are left out: what the leaf sends to the one above it arrives
// as if from the one below its parent. A manager asks of a sender no more than
// which child, or that it is the parent.
//
// CHOOSE of the spec is the child with the lowest number in the code. TLC takes
// the first name in its own order, which for these models is the alphabet's;
// so the children of a model are numbered in that order.
//
// # What is checked in each state
//
// The invariants of StrongInvs (impl/sim), in every state of the spec; they take
// less than a tenth of the time. VersionInv and ProcessInv, which are the
// simulator's, say nothing here: see above. The core's own run as well under
// -tags invariants. An error of Step, a panic, an effect out of place or a
// message to a stranger is a failure with its path.
//
// # What is not explored
//
// More than one page, segment or configuration, so none of the receive rule;
// messages within a node; trees and contents beyond the models. impl/sim
// samples those.
package explore
