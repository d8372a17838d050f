package node

import (
	"testing"

	"github.com/mome-dsm/mome/impl/wire"
)

func TestOutboxHasEachLinkOnce(t *testing.T) {
	var o outbox
	var links [7]wire.Link
	for range 2 {
		for i := range links {
			o.add(&links[i])
		}
	}
	if o.n+len(o.more) != len(links) {
		t.Errorf("%d links, want %d", o.n+len(o.more), len(links))
	}
}
