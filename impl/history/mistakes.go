//go:build mutants

package history

import "sync"

// remembered is the last operation of each *Client, for a mutant that needs it.
var remembered sync.Map

func (c *Client) remember(o Operation) { remembered.Store(c, o) }

func (c *Client) last() (o Operation) {
	if v, ok := remembered.Load(c); ok {
		o = v.(Operation)
	}
	return o
}

// recordLast records the operation that is remembered as having returned now.
func (c *Client) recordLast(now int64) {
	if v, ok := remembered.LoadAndDelete(c); ok {
		o := v.(Operation)
		o.Return = now
		c.recorder.record(&o)
	}
}
