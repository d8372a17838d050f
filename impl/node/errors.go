package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/internal/limits"
)

// attachError says a failure of the configuration in the words of the attach
// protocol.
func attachError(err error) error {
	if err == nil {
		return nil
	}
	for _, pair := range [...]struct{ from, to error }{
		{coord.ErrExists, client.ErrExists},
		{coord.ErrNotFound, client.ErrNotFound},
		{coord.ErrNoSpace, client.ErrNoSpace},
		{coord.ErrBadSize, client.ErrBadSize},
		{coord.ErrBadName, client.ErrInvalid},
		{coord.ErrBadAttrs, client.ErrInvalid},
	} {
		if errors.Is(err, pair.from) {
			// What it was doing, and to say the same in other words, helps nobody.
			_, detail, _ := strings.Cut(err.Error(), pair.from.Error()+": ")
			return fmt.Errorf("%w: %s", pair.to, detail)
		}
	}
	if errors.Is(err, coord.ErrDiskFull) {
		_, detail, _ := strings.Cut(err.Error(), coord.ErrDiskFull.Error()+": ")
		return fmt.Errorf("%w: the disk of the configuration store is full: %s; until then no segment can be created or removed, while memory, locks and barriers go on",
			client.ErrNoSpace, detail)
	}
	if errors.Is(err, coord.ErrUnavailable) {
		_, detail, _ := strings.Cut(err.Error(), coord.ErrUnavailable.Error()+": ")
		return fmt.Errorf("%w: %s; until then no segment can be created, removed or found, while memory, locks and barriers go on",
			client.ErrUnavailable, detail)
	}
	return fmt.Errorf("%w: %w", client.ErrInternal, err)
}

// noRoom says that a request failed because this node met a limit.
func (n *Node) noRoom(err error) error {
	err = limits.Explain(err)
	if detail, ok := strings.CutPrefix(err.Error(), client.ErrNoSpace.Error()+": "); ok { // said already
		return fmt.Errorf("%w: node %d: %s", client.ErrNoSpace, n.id, detail)
	}
	return fmt.Errorf("%w: node %d: %w", client.ErrNoSpace, n.id, err)
}
