package mome

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// Option changes how Connect attaches.
type Option func(*options)

type options struct {
	socket    string
	onFailure func(error)
	onWaiting func(string)
}

// WithSocket names the node's socket; the default is MOME_SOCKET, or else
// DefaultSocket.
func WithSocket(path string) Option { return func(o *options) { o.socket = path } }

// WithFailureHandler replaces what happens when the cluster or the node fails.
// The default prints the reason on standard error and exits with status 1. The
// handler is called once, on a goroutine of its own; shared memory must not be
// touched any more. Nil is the default. It may not be reached at all: a node that dies without
// notice takes its applications with it by SIGKILL, and one that announces its
// end leaves them until it is gone.
func WithFailureHandler(handler func(error)) Option {
	if handler == nil {
		handler = exitOnFailure
	}
	return func(o *options) { o.onFailure = handler }
}

// WithWaitingHandler replaces what happens while Connect waits for longer than a
// second because the node does not answer, or its cluster is not complete. The
// default prints for whom it waits on standard error. The handler is called with
// that, in words, and again whenever it changes; it must not wait itself. Nil is the
// default.
func WithWaitingHandler(handler func(waits string)) Option {
	if handler == nil {
		handler = printWaiting
	}
	return func(o *options) { o.onWaiting = handler }
}

// Home is where the pages of a segment have their home, the node that keeps
// track of a page.
type Home uint8

const (
	Spread Home = 1 // pages go round the nodes: the default
	Block  Home = 2 // each node is the home of one run of pages
)

func (h Home) String() string {
	switch h {
	case 0, Spread:
		return "spread"
	case Block:
		return "block"
	}
	return fmt.Sprintf("Home(%d)", uint8(h))
}

// SegmentOption is an attribute of a segment to be created.
type SegmentOption func(*attachpb.Attributes)

// WithHome is where the segment's pages have their homes; the default is Spread.
func WithHome(h Home) SegmentOption {
	return func(a *attachpb.Attributes) { a.Home = attachpb.Home(h) }
}

// Temporary has the segment end with the process that creates it, however that
// ends: by Close of its Node, by os.Exit, by SIGKILL. It is then removed, as by
// Remove: other processes that have it mapped get SIGBUS, and its name is free. With
// the node the cluster ends, and so does every segment.
//
// The node of the process sees to it, within milliseconds as a rule. On the node
// itself the name is free as soon as the process is dead; while the configuration
// store is away, it is when that is back.
func Temporary() SegmentOption {
	return func(a *attachpb.Attributes) { a.Temporary = true }
}

func attributes(opts []SegmentOption) (*attachpb.Attributes, error) {
	a := &attachpb.Attributes{Home: attachpb.Home_HOME_SPREAD}
	for _, o := range opts {
		o(a)
	}
	if a.Home != attachpb.Home_HOME_SPREAD && a.Home != attachpb.Home_HOME_BLOCK {
		return nil, fmt.Errorf("%w: WithHome(%v): a segment is Spread or Block", ErrInvalid, Home(a.Home))
	}
	return a, nil
}
