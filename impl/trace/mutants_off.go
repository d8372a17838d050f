//go:build !mutants

package trace

// Nothing is broken. The compiler removes all of this.

func broken(Bug) bool { return false }

type brokenClient struct{}

func (c *Client) misnumber()          {}
func (c *Client) misbegin()           {}
func (c *Client) misrecord(bool) bool { return false }
func (c *Client) misclose()           { c.broken = brokenClient{} }
func (c *Client) mislost() bool       { return false }

type brokenLog struct{}

func (l *Log) mistake(b []byte) ([]byte, bool) {
	l.broken = brokenLog{}
	return b, false
}
