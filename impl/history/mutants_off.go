//go:build !mutants

package history

// Nothing is broken. The compiler removes all of this.

type brokenClient struct{}

func (c *Client) misnumber()          {}
func (c *Client) misbegin()           {}
func (c *Client) misrecord(bool) bool { return false }
func (c *Client) misclose()           { c.broken = brokenClient{} }
func (c *Client) mislost() bool       { return false }
