package wire

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// BenchmarkLink measures one link between two nodes of this process, over
// loopback, its threads placed by the kernel. transport=floor is the same bytes
// between two blocking sockets and nothing else, in the same run.
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

func benchFloor(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	raw := func(c net.Conn) *rawSocket {
		s, err := newRawSocket(c.(*net.TCPConn), &Config{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	d, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	client, server := raw(d), raw(a)
	full := func(s *rawSocket, p []byte) error {
		for len(p) > 0 {
			n, err := unix.Read(s.fd, p)
			if err != nil || n == 0 {
				return io.EOF
			}
			p = p[n:]
		}
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		request, reply := make([]byte, 64), make([]byte, addr.PageSize)
		for full(server, request) == nil {
			if _, err := unix.Write(server.fd, reply); err != nil {
				return
			}
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request, reply := make([]byte, 64), make([]byte, addr.PageSize)
	b.SetBytes(addr.PageSize)
	b.ReportAllocs()
	all := make([]time.Duration, 0, 1<<20)
	for b.Loop() {
		start := time.Now()
		if _, err := unix.Write(client.fd, request); err != nil {
			b.Fatal(err)
		}
		if err := full(client, reply); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(start))
	}
	percentiles(b, all)
	client.shut()
	<-done
	client.close()
	server.close()
}

func benchPair(b *testing.B, transport string) (low, high *node) {
	quiet := func(c *Config) { c.RepairTime = time.Minute }
	return startNode(b, transport, 1, quiet), startNode(b, transport, 2, quiet)
}

// benchRoundTrip sends requests of 64 bytes and answers with a page, each from
// the reader that got the message before it.
func benchRoundTrip(b *testing.B, transport string) {
	server, client := benchPair(b, transport)
	page := make([]byte, addr.PageSize)
	server.h.deliver = func(p addr.NodeID, f *Frame) {
		l := server.Link(p)
		m := pageMessage(1)
		m.From.Tag, m.To.Tag, m.Version, m.Txn = 1, 1, 1000, f.Messages[0].Txn
		l.Append(&m, page)
		l.Flush()
	}
	target := make([]byte, addr.PageSize)
	client.h.place = func(addr.NodeID, *protocol.Message) []byte { return target }
	const warm = 2000
	total := 0
	all := make([]time.Duration, 0, 1<<20)
	start := time.Now()
	m := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Leaf: 2, Page: 12345, Lamport: 1000000, Epoch: 3,
		Txn: protocol.Txn{Leaf: 2, Incarnation: 1, Counter: 100000}}
	var l *Link
	done := make(chan struct{})
	client.h.deliver = func(addr.NodeID, *Frame) {
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
	_, l = connect(b, server, client, server.address())
	await(b, client.h.up, "up")
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

// benchStream sends pages one way as fast as they are acknowledged.
func benchStream(b *testing.B, transport string, flush int) {
	low, high := benchPair(b, transport)
	target := make([]byte, 64*addr.PageSize)
	low.h.place = func(_ addr.NodeID, m *protocol.Message) []byte {
		return target[int(m.Page)%64*addr.PageSize:]
	}
	const window = 512 // pages between the two
	credit := make(chan int, 1<<16)
	low.h.deliver = func(p addr.NodeID, f *Frame) {
		l := low.Link(p)
		l.AppendSync(&Sync{Kind: 1, Count: uint32(len(f.Messages))})
		l.Flush()
	}
	high.h.deliver = func(_ addr.NodeID, f *Frame) {
		n := 0
		for i := range f.Syncs {
			n += int(f.Syncs[i].Count)
		}
		credit <- n
	}
	_, l := connect(b, low, high, low.address())
	await(b, high.h.up, "up")
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
