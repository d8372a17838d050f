package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// A node that waits for others before it serves says so to those who attach
// meanwhile, by events that come before the Welcome.

// WriteWaiting tells an application that its Hello is not answered yet, and for
// whom the node waits.
func (c *Conn) WriteWaiting(waits string) error {
	return c.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_Waiting{Waiting: &attachpb.Waiting{Waits: waits}}})
}

// HungUp says whether the application has hung up. Unlike ReadRequest, it finds
// that out though there is something to read.
func (c *Conn) HungUp() bool {
	if !c.socket.enter() {
		return true
	}
	defer c.socket.leave()
	fds := []unix.PollFd{{Fd: int32(c.socket.fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// whyNoWelcome adds to the error of a Hello that was not answered in time what the
// node was waiting for.
func (c *Client) whyNoWelcome(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == "" {
		return fmt.Errorf("%w: the node does not answer", err)
	}
	return fmt.Errorf("%w: %s", err, c.waits)
}

// Notice passes on for whom a node waits, to say, once that has taken a while, and
// then whenever it changes. Stop ends it.
type Notice struct {
	say   func(waits string)
	timer *time.Timer

	mu    sync.Mutex // guards what follows; held while say is called
	due   bool       // it has taken a while
	over  bool
	waits string // not said yet; empty: none
}

// NoAnswer is for whom who attaches waits before the node has said anything: it may
// be stopped, or its machine too busy.
func NoAnswer(socket string) string {
	return fmt.Sprintf("the node at %s does not answer", socket)
}

// NewNotice makes one; the while begins now.
func NewNotice(while time.Duration, say func(waits string)) *Notice {
	n := &Notice{say: say}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timer = time.AfterFunc(while, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.due = true
		n.speak()
	})
	return n
}

// Event takes an event of Config.Event, of whatever kind.
func (n *Notice) Event(event *attachpb.Reply) {
	if waiting := event.GetWaiting(); waiting != nil {
		n.Waits(waiting.GetWaits())
	}
}

// Waits says for whom the node waits from now on.
func (n *Notice) Waits(waits string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waits = waits
	n.speak()
}

func (n *Notice) speak() {
	if n.due && !n.over && n.waits != "" {
		n.say(n.waits)
		n.waits = ""
	}
}

// Stop ends it: say is not called any more.
func (n *Notice) Stop() {
	n.timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
}
