package e2e

import (
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome"
)

const treePages = 4 * 64

func init() {
	programs["exchange"] = exchange
}

// exchange takes turns with the other one of a pair at a word of a page.
func exchange(p *program) {
	w := words(p.open(treePages*pageSize, mome.WithHome(mome.Block)))
	word := &w[p.number(1)*pageWords]
	for i := range p.number(2) {
		mine := int64(2*i + p.Rank())
		for atomic.LoadInt64(word) != mine {
			yield()
		}
		atomic.AddInt64(word, 1)
	}
}

// What happens within a subtree concerns nobody outside: two neighbours
// exchange a page, and the root of its tree hears of it once.
func TestSubtree(t *testing.T) {
	onEach(t, []shape{four}, func(t *testing.T, c *cluster) {
		roots := func() (n uint64) {
			for i := range c.nodes {
				for _, m := range c.status(i).Managers {
					if m.Level == "root" {
						n += m.Requests + m.Grants + m.Recalls + m.Acks + m.Data
					}
				}
			}
			return n
		}
		outside := func(a, b int) (n uint64) {
			for i := range c.nodes {
				if i != a && i != b {
					s := c.segment(i)
					n += s.PagesIn + s.PagesOut
				}
			}
			return n
		}
		for page := treePages / 8; page < treePages; page += treePages / 4 {
			home := home(page, treePages, 4)
			// Ranks 2 and 3 of the tree, counted from the home on, are the
			// children of one intermediate manager.
			a, b := (home+2)%4, (home+3)%4
			before, pages := roots(), outside(a, b)
			const exchanges = 200
			x := c.rank(a, 0, 2, "exchange", page, exchanges)
			y := c.rank(b, 1, 2, "exchange", page, exchanges)
			allOK([]*app{x, y})
			after := roots() - before
			if after > 20 {
				t.Errorf("page %d, home %d: the roots handled %d messages in %d exchanges of nodes %d and %d", page, home, after, exchanges, a, b)
			}
			if n := outside(a, b) - pages; n > 0 {
				t.Errorf("page %d: %d pages went to or from other nodes", page, n)
			}
			t.Logf("page %d, home %d: %d messages at the roots in %d exchanges of nodes %d and %d", page, home, after, exchanges, a, b)
		}
		c.remove()
	})
}
