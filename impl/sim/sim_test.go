package sim

import (
	"fmt"
	"testing"
)

func TestRandomSchedules(t *testing.T) {
	for _, c := range []Config{
		{Nodes: 2, Fanout: 64, Pages: 2}, {Nodes: 3, Fanout: 64, Pages: 3}, {Nodes: 4, Fanout: 2, Pages: 4},
		{Nodes: 8, Fanout: 2, Pages: 4}, {Nodes: 27, Fanout: 3, Pages: 5}, {Nodes: 200, Fanout: 6, Pages: 3},
	} {
		t.Run(fmt.Sprintf("nodes=%d/fanout=%d", c.Nodes, c.Fanout), func(t *testing.T) {
			for seed := range uint64(50) {
				c.Seed = seed
				w := New(c)
				for range 5000 {
					w.Random()
				}
				w.Settle()
			}
		})
	}
}
