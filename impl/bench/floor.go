package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
)

// The floor: what any distributed shared memory on userfaultfd and sockets has
// to do for an operation, and no more. There is no protocol, no table, no lock.

// floorPages is the size of the floor's segment.
const floorPages = 4096

// fill is how near ends a fault.
type fill string

const (
	fillCopy      fill = "copy"      // the page is missing, and far sends it
	fillZero      fill = "zero"      // the page is missing; nobody is asked
	fillUnprotect fill = "unprotect" // the page is there, protected
)

// requestSize is the size of a message without a page, near that of a frame of
// the links. Its first word is how many bytes are to be answered; its second one
// is 1 in a message that is to be relayed to the partner.
const requestSize = 64

// maxRequests is how many requests are read or written at once.
const maxRequests = 64

// floorApplication is the process whose faults near answers.
type floorApplication struct{ view *memory.View }

func (a *floorApplication) carryOut(o *order) (*report, error) {
	switch o.Op {
	case "setup":
		memfd, err := receiveFile(socketFD)
		if err != nil {
			return nil, err
		}
		defer unix.Close(memfd)
		if a.view, err = memory.Map(memfd, addr.DefaultBase, 0, floorPages); err != nil {
			return nil, err
		}
		return &report{}, sendFile(socketFD, a.view.Uffd())
	case "touch":
		return touch(a.view.Bytes(), o), nil
	case "message":
		return a.message(o)
	}
	return nil, fmt.Errorf("unknown order %q", o.Op)
}

// message sends messages on their way, to far or to the partner and back.
func (a *floorApplication) message(o *order) (*report, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, requestSize)
	if o.Relay {
		buf[8] = 1
	}
	samples := make([]int64, o.Rounds)
	for i := range samples {
		start := time.Now()
		if err := writeAll(socketFD, buf); err != nil {
			return nil, err
		}
		if err := readAll(socketFD, buf); err != nil {
			return nil, err
		}
		samples[i] = int64(time.Since(start))
	}
	return &report{Samples: samples, Clock: clockCost()}, nil
}

// near is the daemon beside the application.
type near struct {
	segment  *memory.Segment
	mapping  *memory.Mapping
	faults   int // the connection for faults
	messages int
	fill     fill
	reply    int
	requests []byte
	page     []byte
	failed   atomic.Pointer[error]
}

func (n *near) carryOut(o *order) (*report, error) {
	if err := n.failed.Load(); err != nil {
		return nil, *err
	}
	switch o.Op {
	case "setup":
		return &report{}, n.setup(o.Address)
	case "prepare":
		return &report{}, n.prepare(o)
	case "bulk":
		return n.bulk(o)
	}
	return nil, fmt.Errorf("unknown order %q", o.Op)
}

func (n *near) setup(address string) error {
	var err error
	if n.faults, err = dialBlocking(address); err != nil {
		return err
	}
	if n.messages, err = dialBlocking(address); err != nil {
		return err
	}
	n.requests = make([]byte, maxRequests*requestSize)
	n.page = make([]byte, addr.PageSize)
	if n.segment, err = memory.NewSegment(addr.DefaultBase, 0, floorPages); err != nil {
		return err
	}
	if err := n.segment.Open(); err != nil {
		return err
	}
	if err := sendFile(socketFD, n.segment.FD()); err != nil {
		return err
	}
	uffd, err := receiveFile(socketFD)
	if err != nil {
		return err
	}
	if n.mapping, err = n.segment.Attach(uffd, "the floor's application"); err != nil {
		return err
	}
	go func() {
		if err := n.mapping.Serve(n.serve); err != nil {
			n.failed.Store(&err)
		}
	}()
	go func() {
		if err := n.relay(); err != nil {
			n.failed.Store(&err)
		}
	}()
	return nil
}

// serve is the floor of a fault: on the thread that has read it, one request is
// written, the answer is read, and the fault is ended. All faults that were
// there at once share the write.
func (n *near) serve(faults []memory.Fault) {
	if err := n.answer(faults); err != nil {
		n.failed.Store(&err)
	}
}

func (n *near) answer(faults []memory.Fault) error {
	if n.fill == fillZero {
		for i := range faults {
			if _, err := n.mapping.Zero(faults[i].Page, 1, true); err != nil && !errors.Is(err, memory.ErrExists) {
				return err
			}
		}
		return nil
	}
	for i := range faults {
		binary.LittleEndian.PutUint64(n.requests[i*requestSize:], uint64(n.reply))
	}
	if err := writeAll(n.faults, n.requests[:len(faults)*requestSize]); err != nil {
		return err
	}
	for i := range faults {
		if err := readAll(n.faults, n.page[:n.reply]); err != nil {
			return err
		}
		p := faults[i].Page
		if n.fill == fillUnprotect {
			if err := n.mapping.Unprotect(p, 1); err != nil {
				return err
			}
		} else if _, err := n.mapping.Copy(p, n.page, true); err != nil && !errors.Is(err, memory.ErrExists) {
			return err
		}
	}
	return nil
}

// prepare brings all pages into the state from which a block starts.
func (n *near) prepare(o *order) error {
	n.fill, n.reply = o.Fill, o.Reply
	if o.Fill != fillUnprotect {
		return n.segment.Punch(0, floorPages)
	}
	if err := n.segment.Populate(0, floorPages); err != nil {
		return err
	}
	if err := n.mapping.Install(0, floorPages, false); err != nil {
		return err
	}
	return n.segment.Protect(0, floorPages)
}

// bulk receives a stream of bytes from far as fast as it comes.
func (n *near) bulk(o *order) (*report, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, bulkBuffer)
	request := make([]byte, requestSize)
	binary.LittleEndian.PutUint64(request, uint64(o.Length))
	start := time.Now()
	if err := writeAll(n.faults, request); err != nil {
		return nil, err
	}
	for left := o.Length; left > 0; {
		k, err := unix.Read(n.faults, buf[:min(left, int64(len(buf)))])
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return nil, fmt.Errorf("bulk: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		left -= int64(k)
	}
	return &report{Samples: []int64{int64(time.Since(start))}}, nil
}

// bulkBuffer is the size of the reads and writes of bulk.
const bulkBuffer = 256 << 10

// relay brings the application's messages to far, and the answers back.
func (n *near) relay() error {
	runtime.LockOSThread()
	buf := make([]byte, requestSize)
	for {
		if err := readAll(socketFD, buf); err != nil {
			return err
		}
		if err := writeAll(n.messages, buf); err != nil {
			return err
		}
		if err := readAll(n.messages, buf); err != nil {
			return err
		}
		if err := writeAll(socketFD, buf); err != nil {
			return err
		}
	}
}

// far is the other daemon.
type far struct{}

func (f *far) carryOut(o *order) (*report, error) {
	if o.Op != "setup" {
		return nil, fmt.Errorf("unknown order %q", o.Op)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		defer l.Close()
		for _, serve := range []func(int) error{serveFaults, serveMessages} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fd, err := blocking(c)
			if err != nil {
				return
			}
			go func() {
				runtime.LockOSThread()
				if err := serve(fd); err != nil && !errors.Is(err, io.EOF) {
					fmt.Fprintln(os.Stderr, "mome: bench: floor:", err)
				}
				unix.Close(fd)
			}()
		}
	}()
	return &report{Address: l.Addr().String()}, nil
}

// serveFaults answers all requests that are there with one write.
func serveFaults(fd int) error {
	in, out := make([]byte, maxRequests*requestSize), make([]byte, bulkBuffer)
	have := 0
	for {
		k, err := unix.Read(fd, in[have:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return errors.Join(err, io.EOF)
		}
		have += k
		total, used := 0, 0
		for ; have-used >= requestSize; used += requestSize {
			total += int(binary.LittleEndian.Uint64(in[used:]))
		}
		have = copy(in, in[used:have])
		for total > 0 {
			n := min(total, len(out))
			if err := writeAll(fd, out[:n]); err != nil {
				return err
			}
			total -= n
		}
	}
}

// serveMessages answers messages, after asking the partner if they say so.
func serveMessages(fd int) error {
	buf := make([]byte, requestSize)
	for {
		if err := readAll(fd, buf); err != nil {
			return err
		}
		if buf[8] == 1 {
			if err := writeAll(socketFD, buf); err != nil {
				return err
			}
			if err := readAll(socketFD, buf); err != nil {
				return err
			}
		}
		if err := writeAll(fd, buf); err != nil {
			return err
		}
	}
}

// echo is the partner: it sends back what comes.
func echo(fd int) {
	runtime.LockOSThread()
	buf := make([]byte, requestSize)
	for readAll(fd, buf) == nil && writeAll(fd, buf) == nil {
	}
}
