package wire

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// proxy stands between two nodes. It breaks connections after a number of bytes
// that it draws, or swallows everything.
type proxy struct {
	ln net.Listener
	wg sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	target string
	limit  func() int64 // how many bytes a connection lives; nil: for ever
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
		p.wg.Add(2)
		p.mu.Unlock()
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
