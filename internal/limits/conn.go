package limits

import (
	"net"
	"time"
)

// shortPause is how long a write waits before the kernel, which had no memory for
// it, is asked again.
const shortPause = time.Millisecond

// Conn is a connection whose writes wait where the kernel has no memory for them. A
// transport of gRPC that cannot write stops to, but keeps a connection on which it
// can read: whoever asks by it waits for ever.
type Conn struct{ net.Conn }

// Write implements net.Conn.
func (c Conn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Conn.Write(b[done:])
		if done += n; !Short(err) {
			return done, err
		}
		time.Sleep(shortPause)
	}
}
