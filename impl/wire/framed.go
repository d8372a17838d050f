package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// readBuffer is the size of the buffer a framed connection reads into: a
// header always fits, and small frames arrive with one system call.
const readBuffer = 64 << 10

// byteStream is what framed TCP needs of a connection.
type byteStream interface {
	// readv fills the buffers in order, as far as bytes are there, and blocks
	// for the first one. It returns 0 only with an error.
	readv(bufs [][]byte) (int, error)
	// trySend writes without blocking, from byte skip of bufs on. It writes
	// nothing where it would block.
	trySend(bufs [][]byte, skip int) (int, error)
	// send writes some bytes, or waits until it may, or fails.
	send(bufs [][]byte, skip int) (int, error)
	shut()
	close()
}

// framed is a connection that carries frames over a byte stream.
type framed struct {
	stream byteStream
	peer   string
	buf    []byte
	vec    [][]byte
}

// newFramed takes a connection over after its handshake. A plain TCP
// connection becomes a raw blocking socket, out of the netpoller's hands.
func newFramed(c net.Conn, cfg *Config) (*framed, error) {
	f := &framed{peer: c.RemoteAddr().String(), buf: make([]byte, readBuffer)}
	if t, ok := c.(*net.TCPConn); ok {
		raw, err := newRawSocket(t, cfg)
		if err != nil {
			return nil, err
		}
		f.stream = raw
		return f, nil
	}
	f.stream = &netStream{c: c}
	return f, nil
}

func (f *framed) remote() string { return f.peer }
func (f *framed) shut()          { f.stream.shut() }
func (f *framed) close()         { f.stream.close() }

func (f *framed) tryWrite(p *pipe, b *batch) (bool, error) {
	if p.l.mesh.failed() {
		b.cut()
	}
	if b.sent == b.size {
		return true, nil
	}
	n, err := f.stream.trySend(b.bufs, b.sent)
	b.sent += n
	p.bytesOut.Add(uint64(n))
	return b.sent == b.size, err
}

func (f *framed) write(p *pipe, b *batch) error {
	for {
		if p.l.mesh.failed() {
			b.cut()
		}
		if b.sent == b.size {
			return nil
		}
		n, err := f.stream.send(b.bufs, b.sent)
		b.sent += n
		p.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
	}
}

func (f *framed) read(p *pipe) error {
	// The reader sleeps in the kernel most of its time: a thread of its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := f.buf
	r, w := 0, 0 // buf[r:w] is read and not consumed
	fill := func(need int) error {
		if r == w {
			r, w = 0, 0
		} else if r+need > len(buf) {
			w = copy(buf, buf[r:w])
			r = 0
		}
		for w-r < need {
			p.idle()
			f.vec = append(f.vec[:0], buf[w:])
			n, err := f.stream.readv(f.vec)
			if err != nil {
				if err == io.EOF && w > r {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			p.bytesIn.Add(uint64(n))
			w += n
		}
		return nil
	}
	for {
		if err := fill(prefixSize); err != nil {
			return err
		}
		head := binary.LittleEndian.Uint32(buf[r:])
		payload := binary.LittleEndian.Uint32(buf[r+4:])
		if head > maxHeader || payload > maxPayload {
			return malformed("lengths %d and %d", head, payload)
		}
		size := prefixSize + int(head)
		if w-r < size {
			if err := fill(size); err != nil {
				return err
			}
		}
		if err := p.begin(buf[r+prefixSize:r+size], int(payload)); err != nil {
			return err
		}
		r += size
		left := p.l.payload
		n := copy(left, buf[r:w])
		r, left = r+n, left[n:]
		for len(left) > 0 {
			// The buffer is empty. It takes what comes behind the frame.
			f.vec = append(f.vec[:0], left, buf)
			n, err := f.stream.readv(f.vec)
			if err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			p.bytesIn.Add(uint64(n))
			k := min(n, len(left))
			left, r, w = left[k:], 0, n-k
		}
		if err := p.finish(); err != nil {
			return err
		}
	}
}

// defaultBuffer is the socket buffer that a link asks for by itself, or 0: a
// request beyond the kernel's limit would only switch its tuning off.
func defaultBuffer(limit string) int {
	const want = 4 << 20
	b, err := os.ReadFile("/proc/sys/net/core/" + limit)
	if err != nil {
		return 0
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || n < want {
		return 0
	}
	return want
}

// netStream is any net.Conn as a byteStream: a connection under TLS, or a
// test's pipe. All its writes are the writer goroutine's.
type netStream struct {
	c    net.Conn
	once sync.Once
}

func (s *netStream) readv(bufs [][]byte) (int, error) {
	n, err := s.c.Read(bufs[0])
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

func (s *netStream) trySend([][]byte, int) (int, error) { return 0, nil }

func (s *netStream) send(bufs [][]byte, skip int) (int, error) {
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		return s.c.Write(b[skip:])
	}
	return 0, nil
}

func (s *netStream) shut()  { s.once.Do(func() { s.c.Close() }) }
func (s *netStream) close() { s.shut() }

// messages carries the handshake over a byte stream.
type messages struct{ c net.Conn }

func (m messages) send(b []byte) error {
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	_, err := m.c.Write(append(out, b...))
	return err
}

func (m messages) receive() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(m.c, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > maxHandshake {
		return nil, fmt.Errorf("%w: %d bytes", ErrHandshake, n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(m.c, b)
	return b, err
}
