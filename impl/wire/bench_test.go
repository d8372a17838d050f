package wire

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// BenchmarkLink measures one link between two processes over loopback, placed
// by the kernel (or by taskset). transport=floor is the same bytes between two
// blocking sockets and nothing else, in the same run.
func BenchmarkLink(b *testing.B) {
	b.Run("transport=floor/case=roundtrip4k", benchFloor)
	for _, transport := range []string{TCP, GRPC} {
		b.Run(fmt.Sprintf("transport=%s/case=roundtrip4k", transport), func(b *testing.B) { benchRoundTrip(b, transport) })
		for _, batch := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("transport=%s/case=stream/flush=%d", transport, batch), func(b *testing.B) { benchStream(b, transport, batch) })
		}
	}
}

// percentiles reports what the mean hides.
func percentiles(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-us")
}

// full fills p from a blocking socket.
func full(s *rawSocket, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Read(s.fd, p)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.EOF
		}
		p = p[n:]
	}
	return nil
}

func benchFloor(b *testing.B) {
	address, _ := benchServer(b)
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	s, err := newRawSocket(c.(*net.TCPConn), &Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request, reply := make([]byte, 64), make([]byte, addr.PageSize)
	b.SetBytes(addr.PageSize)
	b.ReportAllocs()
	all := make([]time.Duration, 0, 1<<20)
	for b.Loop() {
		start := time.Now()
		if _, err := unix.Write(s.fd, request); err != nil {
			b.Fatal(err)
		}
		if err := full(s, reply); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(start))
	}
	percentiles(b, all)
}

// benchEnv makes this test binary the other process of the benchmarks.
const benchEnv = "MOME_WIRE_BENCH_SERVER"

// benchServer starts the other process: a socket that answers 64 bytes with a
// page, and node 1, which answers requests with pages and pages with counts.
func benchServer(b *testing.B) (floor, node string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	if _, err := fmt.Fscan(out, &floor, &node); err != nil {
		b.Fatal(err)
	}
	return floor, node
}

// benchHandler is node 1 in the other process.
type benchHandler struct {
	m     *Mesh
	page  []byte
	count uint32
}

func (h *benchHandler) Up(addr.NodeID)          {}
func (h *benchHandler) Down(addr.NodeID, error) {}

func (h *benchHandler) Deliver(p addr.NodeID, f *Frame) {
	l := h.m.Link(p)
	for i := range f.Messages {
		if f.Messages[i].Kind == protocol.Data {
			h.count++
			continue
		}
		m := pageMessage(1)
		m.From.Tag, m.To.Tag, m.Version, m.Txn = 1, 1, 1000, f.Messages[i].Txn
		l.Append(&m, h.page)
	}
}

func (h *benchHandler) Idle(p addr.NodeID) {
	l := h.m.Link(p)
	if h.count > 0 {
		l.AppendSync(&protocol.Sync{Kind: 1, Index: h.count})
		h.count = 0
	}
	l.Flush()
}

// serveBench is the other process.
func serveBench() error {
	floor, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		c, err := floor.Accept()
		if err != nil {
			return
		}
		s, err := newRawSocket(c.(*net.TCPConn), &Config{})
		if err != nil {
			return
		}
		runtime.LockOSThread()
		request, reply := make([]byte, 64), make([]byte, addr.PageSize)
		for full(s, request) == nil {
			if _, err := unix.Write(s.fd, reply); err != nil {
				return
			}
		}
	}()
	h := &benchHandler{page: make([]byte, addr.PageSize)}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	if h.m, err = New(Config{Self: 1, Incarnation: 1, Handler: h, Port: ln, RepairTime: time.Minute}); err != nil {
		return err
	}
	server := grpc.NewServer(h.m.ServerOptions()...)
	h.m.Register(server)
	go server.Serve(ln.HTTP2())
	go h.m.Serve(ln.Framed())
	fmt.Println(floor.Addr(), ln.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// benchClient is node 2, connected to the other process.
func benchClient(b *testing.B, transport string, h *recorder) *Link {
	b.Helper()
	_, address := benchServer(b)
	m, err := New(Config{Self: 2, Incarnation: 1, Transport: transport, Handler: h, RepairTime: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	l, err := m.Connect(1, address, 1)
	if err != nil {
		b.Fatal(err)
	}
	await(b, h.up, "up")
	return l
}

// benchRoundTrip sends requests, each from the reader that got the answer before
// it: 64 bytes with the two lengths, give or take.
func benchRoundTrip(b *testing.B, transport string) {
	h := newRecorder()
	const warm = 2000
	total := 0
	all := make([]time.Duration, 0, 1<<20)
	var start time.Time
	m := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Leaf: 2, Page: 12345, Envelope: protocol.Envelope{Lamport: 1000000, Epoch: 3},
		Txn: protocol.Txn{Leaf: 2, Incarnation: 1, Counter: 100000}}
	var l *Link
	done := make(chan struct{})
	h.deliver = func(addr.NodeID, *Frame) {
		now := time.Now()
		all = append(all, now.Sub(start))
		if total--; total == 0 {
			done <- struct{}{}
			return
		}
		start = now
		l.Append(&m, nil)
		l.Flush()
	}
	l = benchClient(b, transport, h)
	run := func(n int) {
		total = n
		start = time.Now()
		l.Append(&m, nil)
		l.Flush()
		<-done
	}
	run(warm)
	all = all[:0]
	b.SetBytes(addr.PageSize)
	b.ReportAllocs()
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
	percentiles(b, all)
}

// benchStream sends pages one way, at most 512 ahead of their receipt.
func benchStream(b *testing.B, transport string, flush int) {
	h := newRecorder()
	const window = 512
	credit := make(chan int, 1<<16)
	h.deliver = func(_ addr.NodeID, f *Frame) {
		n := 0
		for i := range f.Syncs {
			n += int(f.Syncs[i].Index)
		}
		credit <- n
	}
	l := benchClient(b, transport, h)
	page := make([]byte, addr.PageSize)
	b.SetBytes(addr.PageSize)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	out := 0
	for i := range b.N {
		for out >= window {
			out -= <-credit
		}
		m := pageMessage(i)
		l.Append(&m, page)
		out++
		if (i+1)%flush == 0 || i == b.N-1 || out >= window {
			l.Flush()
		}
	}
	for out > 0 {
		out -= <-credit
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "pages/s")
}
