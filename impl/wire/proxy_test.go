package wire

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// proxy stands between two nodes. It breaks connections after a number of bytes
// that it draws, swallows everything, or delivers a handshake late.
type proxy struct {
	ln net.Listener
	wg sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	target string
	limit  func() int64 // how many bytes a connection lives; nil: for ever
	late   *delay       // of the next connection
	mute   chan struct{}
	conns  map[net.Conn]struct{}
	breaks int
	closed bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target, conns: map[net.Conn]struct{}{}}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.ln.Addr().String() }

// cutter draws lives of connections: short ones that end in the handshake or
// in the first frames, and long ones that let work be done, also where a slow
// sender has filled its frames: with a megabyte each.
func cutter(seed uint64) func() int64 {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() int64 {
		switch r.IntN(4) {
		case 0:
			return r.Int64N(2 << 10)
		case 1:
			return r.Int64N(64 << 10)
		default:
			return r.Int64N(4 << 20)
		}
	}
}

func (p *proxy) set(limit func() int64) {
	p.mu.Lock()
	p.limit = limit
	p.mu.Unlock()
}

func (p *proxy) redirect(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
}

// delay is a PROOF on its way.
type delay struct {
	kept    chan struct{} // closed when the proxy has it, and the dialer was hung up on
	deliver chan struct{} // closed when it may arrive
}

// delay makes the proxy keep the PROOF of the next connection: the dialer sees
// a broken connection and makes another attempt, the acceptor goes on waiting.
func (p *proxy) delay() *delay {
	d := &delay{make(chan struct{}), make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = d
	return d
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// silence makes the proxy forward nothing more, and break nothing.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = make(chan struct{})
}

// heal ends the silence, with a break of all connections.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.mute)
	p.mute = nil
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) close() {
	p.ln.Close()
	p.mu.Lock()
	p.closed = true
	if p.mute != nil {
		close(p.mute)
		p.mute = nil
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *proxy) accept() {
	defer p.wg.Done()
	for {
		a, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		b, err := net.Dial("tcp", target)
		if err != nil {
			a.Close()
			continue
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			a.Close()
			b.Close()
			return
		}
		p.conns[a], p.conns[b] = struct{}{}, struct{}{}
		lives := [2]int64{-1, -1}
		if p.limit != nil {
			lives = [2]int64{p.limit(), p.limit()}
		}
		late := p.late
		p.late = nil
		p.wg.Add(2)
		p.mu.Unlock()
		if late != nil {
			go p.keep(a, b, late)
			go p.answer(a, b)
			continue
		}
		go p.forward(a, b, lives[0])
		go p.forward(b, a, lives[1])
	}
}

func (p *proxy) forward(from, to net.Conn, life int64) {
	defer p.wg.Done()
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		mute := p.mute
		p.mu.Unlock()
		if mute != nil {
			<-mute
			return
		}
		cut := life >= 0 && int64(n) >= life
		if cut {
			n = int(life)
		}
		life -= int64(n)
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
		if cut {
			p.mu.Lock()
			p.breaks++
			p.mu.Unlock()
			return
		}
	}
}

// keep forwards what the dialer says up to its PROOF, hangs up on it, and
// delivers the PROOF when it may arrive.
func (p *proxy) keep(dialer, acceptor net.Conn, d *delay) {
	defer p.wg.Done()
	defer dialer.Close()
	mark, err := proto.Marshal(&wirepb.Handshake{Magic: magic, Version: version, Step: wirepb.Step_PROOF_STEP})
	if err != nil {
		panic(err)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := dialer.Read(buf)
		if err != nil {
			acceptor.Close()
			return
		}
		if bytes.Contains(buf[:n], mark) {
			dialer.Close()
			close(d.kept)
			<-d.deliver
			_, _ = acceptor.Write(buf[:n])
			return
		}
		if _, err := acceptor.Write(buf[:n]); err != nil {
			return
		}
	}
}

// answer forwards what the acceptor says, to a dialer that may be gone.
func (p *proxy) answer(dialer, acceptor net.Conn) {
	defer p.wg.Done()
	buf := make([]byte, 32<<10)
	for {
		n, err := acceptor.Read(buf)
		if err != nil {
			break
		}
		_, _ = dialer.Write(buf[:n])
	}
	dialer.Close()
	acceptor.Close()
	p.mu.Lock()
	delete(p.conns, dialer)
	delete(p.conns, acceptor)
	p.mu.Unlock()
}
