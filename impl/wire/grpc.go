package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/wire/wirepb"
	"github.com/mome-dsm/mome/internal/limits"
)

// codecName is the content subtype of link streams. Other services of the same
// server keep their own.
const codecName = "mome"

func init() { encoding.RegisterCodecV2(frameCodec{}) }

// frameCodec passes bytes through. Where a page is copied on its way:
//
//	Append        from the caller's memory into the retained buffer
//	gRPC writer   from there into its write buffer (32 KiB), then the kernel
//	gRPC reader   from the kernel into buffers of its pool (a DATA frame each)
//	streamConn    from those to the link's buffer
//
// The codec itself copies only headers.
type frameCodec struct{}

// outgoing is a frame for the codec: its encoded head, and its pages, which are
// given back through hold.
type outgoing struct {
	head  []byte
	pages []*pageBuffer
	hold  *hold
}

// incoming receives what came, which must be freed.
type incoming struct{ data mem.BufferSlice }

func (frameCodec) Name() string { return codecName }

func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case []byte:
		return mem.BufferSlice{mem.SliceBuffer(v)}, nil
	case *outgoing:
		s := make(mem.BufferSlice, 0, 1+len(v.pages))
		s = append(s, mem.Copy(v.head, mem.DefaultBufferPool()))
		for _, p := range v.pages {
			s = append(s, mem.NewBuffer(&p.slice, v.hold))
		}
		if v.hold != nil {
			v.hold.passed = true
		}
		return s, nil
	}
	return nil, fmt.Errorf("wire: %T on a link's stream", v)
}

func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return fmt.Errorf("wire: %T on a link's stream", v)
	}
	data.Ref()
	in.data = data
	return nil
}

// hold counts the buffers of one frame that gRPC still reads. It is the pool
// that they go back to.
type hold struct {
	l      *Link
	f      *outFrame
	left   atomic.Int32
	passed bool // to gRPC
}

func (h *hold) Get(int) *[]byte { panic("wire: a hold is no source of buffers") }

func (h *hold) Put(*[]byte) {
	if h.left.Add(-1) == 0 {
		h.l.mu.Lock()
		h.l.unref(h.f)
		h.l.mu.Unlock()
	}
}

// stream is the part that both ends of a gRPC stream have.
type stream interface {
	SendMsg(any) error
	RecvMsg(any) error
}

// streamConn is a connection over a gRPC stream.
type streamConn struct {
	s       stream
	peer    string
	stop    context.CancelFunc // makes the stream's calls return
	client  *grpc.ClientConn   // of the dialer
	scratch []byte             // the reader's
}

func (c *streamConn) remote() string { return c.peer }
func (c *streamConn) shut()          { c.stop() }

func (c *streamConn) close() {
	c.stop()
	if c.client != nil {
		_ = c.client.Close()
	}
}

// tryWrite leaves everything to the writer: SendMsg may block.
func (c *streamConn) tryWrite(*pipe, *batch) (bool, error) { return false, nil }

func (c *streamConn) write(p *pipe, b *batch) error {
	for _, f := range b.frames {
		if f.seq != 0 && p.l.mesh.failed() {
			return nil // the rest is lost
		}
		out := outgoing{head: f.buf[f.start:], pages: f.pages}
		if len(f.pages) > 0 {
			h := &hold{l: p.l, f: f}
			h.left.Store(int32(len(f.pages)))
			out.hold = h
			p.l.mu.Lock()
			f.refs++
			p.l.mu.Unlock()
		}
		err := c.s.SendMsg(&out)
		if err != nil {
			if h := out.hold; h != nil && !h.passed {
				p.l.mu.Lock()
				p.l.unref(f)
				p.l.mu.Unlock()
			}
			return err
		}
		b.sent += f.size()
		p.bytesOut.Add(uint64(f.size()))
	}
	return nil
}

func (c *streamConn) read(p *pipe) error {
	for {
		p.idle() // whether there is more, only gRPC knows
		var in incoming
		if err := c.s.RecvMsg(&in); err != nil {
			return err
		}
		p.bytesIn.Add(uint64(in.data.Len()))
		err := c.take(p, in.data)
		in.data.Free()
		if err != nil {
			return err
		}
	}
}

// take takes one frame.
func (c *streamConn) take(p *pipe, data mem.BufferSlice) error {
	cur := cursor{s: data}
	total := data.Len()
	prefix := cur.next(prefixSize, &c.scratch)
	if prefix == nil {
		return malformed("a message of %d bytes", total)
	}
	head := binary.LittleEndian.Uint32(prefix)
	payload := binary.LittleEndian.Uint32(prefix[4:])
	if head > maxHeader || payload > maxPayload || total != prefixSize+int(head)+int(payload) {
		return malformed("lengths %d and %d in %d bytes", head, payload, total)
	}
	if err := p.begin(cur.next(int(head), &c.scratch), int(payload)); err != nil {
		return err
	}
	cur.copy(p.l.payload)
	return p.finish()
}

// cursor reads a BufferSlice from its beginning.
type cursor struct {
	s   mem.BufferSlice
	off int // in s[0]
}

// next is the next n bytes, in one piece: in place, or copied to scratch. It
// is nil if there are fewer.
func (c *cursor) next(n int, scratch *[]byte) []byte {
	for len(c.s) > 0 && c.off == c.s[0].Len() {
		c.s, c.off = c.s[1:], 0
	}
	if len(c.s) > 0 && c.s[0].Len()-c.off >= n {
		b := c.s[0].ReadOnlyData()[c.off : c.off+n]
		c.off += n
		return b
	}
	if cap(*scratch) < n {
		*scratch = make([]byte, n)
	}
	b := (*scratch)[:n]
	if c.copy(b) < n {
		return nil
	}
	return b
}

// copy fills b, as far as there are bytes.
func (c *cursor) copy(b []byte) int {
	done := 0
	for done < len(b) && len(c.s) > 0 {
		n := copy(b[done:], c.s[0].ReadOnlyData()[c.off:])
		done, c.off = done+n, c.off+n
		if c.off == c.s[0].Len() {
			c.s, c.off = c.s[1:], 0
		}
	}
	return done
}

// streamMessages carries the handshake over a stream.
type streamMessages struct{ s stream }

func (m streamMessages) send(b []byte) error {
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	return m.s.SendMsg(append(out, b...))
}

func (m streamMessages) receive() ([]byte, error) {
	var in incoming
	if err := m.s.RecvMsg(&in); err != nil {
		return nil, err
	}
	b := in.data.Materialize()
	in.data.Free()
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != uint32(len(b)-4) {
		return nil, fmt.Errorf("%w: %d bytes", ErrHandshake, len(b))
	}
	return b[4:], nil
}

// maxStreamMessage bounds what gRPC takes for one message.
const maxStreamMessage = prefixSize + maxHeader + maxPayload

// dialStream makes one attempt over gRPC. A connection of its own: that of a
// link that is broken is not shared by others.
func (l *Link) dialStream(a *attempt) error {
	m := l.mesh
	var remote atomic.Pointer[string]
	client, err := grpc.NewClient("passthrough:///"+l.address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (nc net.Conn, err error) {
			if nc, err = m.dial(ctx, address); err == nil {
				s := nc.RemoteAddr().String()
				remote.Store(&s)
				nc = limits.Conn{Conn: nc}
			}
			return nc, err
		}),
		grpc.WithInitialWindowSize(int32(m.cfg.Window)),
		grpc.WithInitialConnWindowSize(int32(m.cfg.Window)),
		grpc.WithDefaultCallOptions(
			grpc.CallContentSubtype(codecName),
			grpc.MaxCallRecvMsgSize(maxStreamMessage),
			grpc.MaxCallSendMsgSize(maxStreamMessage)),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig())
	if err != nil {
		return fmt.Errorf("wire: gRPC client of node %d: %w", l.peer, err)
	}
	// The stream lives longer than the attempt, whose end interrupts the
	// handshake only.
	life, stop := context.WithCancel(context.Background())
	unhook := context.AfterFunc(a.ctx, stop)
	c := &streamConn{stop: stop, client: client, peer: l.address}
	received, err := func() (uint64, error) {
		s, err := wirepb.NewLinkClient(client).Frames(life)
		if err != nil {
			return 0, err
		}
		c.s = s
		if r := remote.Load(); r != nil {
			c.peer = *r
		}
		h := &handshake{m: m, s: streamMessages{s}, remote: c.peer}
		return h.dialer(l, a)
	}()
	if !unhook() && err == nil {
		err = context.Cause(a.ctx)
	}
	if err == nil {
		err = l.takeOver(a, c, received)
	}
	if err != nil {
		c.close()
	}
	return err
}

// service is the acceptor's side.
type service struct {
	wirepb.UnimplementedLinkServer
	m *Mesh
}

// Register adds the links' service to a gRPC server, which was made with
// ServerOptions and may have other services.
func (m *Mesh) Register(s grpc.ServiceRegistrar) {
	wirepb.RegisterLinkServer(s, service{m: m})
}

// What one connection of any service may ask of the server: calls at a time, and
// bytes of headers for each. Links make one call and the stores' clients a few
// long ones.
const (
	maxCalls   = 128
	maxHeaders = 16 << 10
)

// ServerOptions are what the gRPC server of a node must be made with. They bound
// what a connection of any of its services can make the server keep; a message
// has at most the size of a frame.
func (m *Mesh) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(int32(m.cfg.Window)),
		grpc.InitialConnWindowSize(int32(m.cfg.Window)),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxRecvMsgSize(maxStreamMessage),
	}
}

func (s service) Frames(gs grpc.BidiStreamingServer[wirepb.Frame, wirepb.Frame]) error {
	m := s.m
	p, ok := peer.FromContext(gs.Context())
	if !ok {
		return status.Error(codes.Internal, "a call from nowhere")
	}
	remote := p.Addr.String()
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return status.Error(codes.Unavailable, ErrClosed.Error())
	}
	if _, ok := m.calls[remote]; ok {
		m.mu.Unlock()
		return status.Error(codes.ResourceExhausted, "a connection is for one link")
	}
	m.calls[remote] = struct{}{}
	m.wg.Add(1)
	m.mu.Unlock()
	// A server's stream ends, and its calls return, when this method returns.
	over := make(chan struct{})
	var once sync.Once
	c := &streamConn{s: gs, peer: remote, stop: func() { once.Do(func() { close(over) }) }}
	result := make(chan error, 1)
	go func() {
		defer m.wg.Done()
		h := &handshake{m: m, s: streamMessages{gs}, remote: remote,
			trust: func() { m.trust(p.LocalAddr, p.Addr) }}
		err := m.admit(h, GRPC, func() (conn, error) { return c, nil })
		m.mu.Lock()
		delete(m.calls, remote)
		m.mu.Unlock()
		if err != nil {
			m.refused(remote, err)
		}
		result <- err
	}()
	timeout := time.NewTimer(m.handshakeTime())
	defer timeout.Stop()
	select {
	case err := <-result:
		if err != nil {
			var r *refusal
			if errors.As(err, &r) {
				return status.Error(codes.PermissionDenied, r.Unwrap().Error())
			}
			return status.Error(codes.Unavailable, "handshake failed")
		}
	case <-timeout.C:
		return status.Error(codes.DeadlineExceeded, "handshake took too long")
	case <-m.ctx.Done():
		return status.Error(codes.Unavailable, ErrClosed.Error())
	}
	<-over
	return nil
}
