package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// Order is what the effects so far have made of one page at one node. Within a
// step the specification's frame changes at once. The shell's does not, so the
// order of the effects decides what others see of it: a page is protected
// before it is sent, sent before it is dropped, and there before it is granted.
//
// Simulator, explorer and shell each keep one for a page, and apply every effect
// when they carry it out; under -tags invariants the core does so after each step.
type Order struct {
	Access Right // the most that a process may do: None, Read or Write
	Frame  bool  // the frame has a content
	Home   bool  // there is a master copy
}

// Access is what processes may do with a page, by the node's right.
func Access(r Right) Right {
	if r == Owned {
		return Read
	}
	return r
}

// Apply follows an effect. It says what the effect lacks before it, and then
// changes nothing.
func (o *Order) Apply(e *Effect) error {
	next, lacks := *o, ""
	fromFrame := func() {
		switch {
		case !o.Frame:
			lacks = "the frame has no content"
		case o.Access > Read:
			lacks = "processes may store to it"
		}
	}
	switch e.Kind {
	case Send:
		switch m := &e.Msg; {
		case m.Kind == Data && m.From.Tag == addr.Leaf:
			fromFrame()
		case m.Kind == Data && !o.Home:
			lacks = "there is no master copy"
		case m.Kind == Ack && m.From.Tag == addr.Leaf && o.Access > Access(m.Keep):
			lacks = fmt.Sprintf("processes may %v", o.Access)
		}
	case FrameProtect:
		if o.Access != Write {
			lacks = "nobody may store to it"
		}
		next.Access = Read
	case FrameDrop:
		fromFrame()
		next.Access, next.Frame = None, false
	case FrameFill, FrameZero, HomeToFrame:
		switch {
		case o.Frame:
			lacks = "the frame has a content"
		case e.Kind == HomeToFrame && !o.Home:
			lacks = "there is no master copy"
		}
		next.Frame = true
	case FrameGrant:
		if !o.Frame {
			lacks = "the frame has no content"
		}
		next.Access = e.Access
	case FrameToHome:
		fromFrame()
		next.Home = true
	case HomeFill:
		next.Home = true
	case HomeDrop:
		if !o.Home {
			lacks = "there is no master copy"
		}
		next.Home = false
	}
	if lacks != "" {
		what := e.Kind.String()
		if e.Kind == Send {
			what = fmt.Sprintf("%v of %v", e.Kind, e.Msg.Kind)
		}
		return fmt.Errorf("%s of %v: %s", what, e.Page, lacks)
	}
	*o = next
	return nil
}

// Fits says how the page differs from what the leaf's state, and the home's, say
// of it after a step.
func (o *Order) Fits(right Right, arrived, home bool) error {
	switch want := right != None || arrived; {
	case o.Access != Access(right):
		return fmt.Errorf("processes may %v, the right is %v", o.Access, right)
	case o.Frame && !want:
		return fmt.Errorf("the frame has a content, and the leaf neither a right nor a page that has come")
	case want && !o.Frame:
		return fmt.Errorf("the frame has no content: the right is %v, Data has come: %t", right, arrived)
	case o.Home && !home:
		return fmt.Errorf("there is a master copy, and the home says that it is virgin or stale")
	case home && !o.Home:
		return fmt.Errorf("there is no master copy, and the home says that it is valid")
	}
	return nil
}
