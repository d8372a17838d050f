package protocol

import "github.com/mome-dsm/mome/impl/addr"

// EffectKind says what the shell must do.
type EffectKind uint8

const (
	// Send passes Msg to the node Msg.To. With a Data go the page's bytes, as they
	// are at this point of the order: the frame's if the sender is a leaf, the
	// home's if it is the root.
	Send EffectKind = iota
	// FrameProtect: from here on no process of this node stores to the page.
	FrameProtect
	// FrameDrop: from here on no process of this node loads from the page; its
	// content is gone.
	FrameDrop
	// FrameFill: the bytes of the Data being handled are the frame's content.
	FrameFill
	// FrameZero: zeros are the frame's content.
	FrameZero
	// FrameGrant: the processes that wait for the page get access, as much as Access says.
	// The content is in the frame. Who waits for more raises its fault again.
	FrameGrant
	// FrameToHome and HomeToFrame copy the page within this node.
	FrameToHome
	HomeToFrame
	// HomeFill: the bytes of the Data being handled are the home's content.
	HomeFill
	// HomeDrop: the home's content is stale; its memory may be freed.
	HomeDrop
	// Held: a Recall waits at the leaf until the shell says ResidenceOver, so
	// that those who were granted the page get to use it. Stamp is the stamp of
	// the grant. The shell answers at once or later, but it answers.
	Held
	// Written: a writeback that was asked for has ended. Faults of the page that
	// were raised meanwhile sent no request: the shell raises them again.
	Written
)

var effectNames = [...]string{"Send", "FrameProtect", "FrameDrop", "FrameFill", "FrameZero", "FrameGrant",
	"FrameToHome", "HomeToFrame", "HomeFill", "HomeDrop", "Held", "Written"}

func (k EffectKind) String() string { return name(effectNames[:], uint8(k)) }

// Effect is one thing to do about one page.
type Effect struct {
	Kind   EffectKind
	Access Right // FrameGrant: Read or Write
	Stamp  uint32
	Page   addr.PageNum
	Msg    Message // Send
}

// Batch is the effects of one or more steps. They must take place in this
// order; effects on different pages commute.
type Batch struct {
	Effects []Effect
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.Effects = b.Effects[:0] }

func (b *Batch) add(e Effect) { b.Effects = append(b.Effects, e) }
