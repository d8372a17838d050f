package wire

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

var flapping = flag.Duration("flapping", 5*time.Minute, "how long TestFlapping goes on, in its own time")

// outageRepair is the repair time of the tests below, and survived an outage that
// is always survived.
const (
	outageRepair = 3 * time.Second
	survived     = outageRepair * 5 / 6
)

// apart is two nodes on a network that a test breaks. Both send numbered messages
// all the time.
type apart struct {
	t          *testing.T
	w          *network
	a, b       *node // b dials
	la, lb     *Link
	sent       [2]atomic.Uint64   // by a, by b
	got        [2]atomic.Uint64   // at a, at b
	away, back chan time.Duration // told by a
	stop       chan struct{}
}

// onNetwork runs a test in a bubble, where time goes as fast as the processor
// permits, for each transport.
func onNetwork(t *testing.T, run func(x *apart)) {
	for _, transport := range []string{TCP, GRPC} {
		t.Run("transport="+transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &apart{t: t, w: newNetwork(), stop: make(chan struct{}),
					away: make(chan time.Duration, 1000), back: make(chan time.Duration, 1000)}
				repair := func(c *Config) { c.RepairTime = outageRepair }
				x.a = startNodeOn(t, NewListener(x.w), transport, 1, repair, func(c *Config) {
					c.Away = func(_ addr.NodeID, silent, left time.Duration) {
						if silent+left != outageRepair {
							t.Errorf("away for %v, %v left", silent, left)
						}
						x.away <- silent
					}
					c.Back = func(_ addr.NodeID, away time.Duration) { x.back <- away }
				})
				x.b = startNodeOn(t, NewListener(newNetwork()), transport, 2, repair)
				x.b.Mesh.dial = x.w.dial
				for i, n := range []*node{x.a, x.b} {
					n.h.deliver = func(_ addr.NodeID, f *Frame) {
						for j := range f.Messages {
							if got, want := f.Messages[j].Lamport, x.got[i].Add(1); got != want {
								t.Errorf("node %d: message %d, expected %d", 1+i, got, want)
							}
						}
					}
				}
				x.la, x.lb = connect(t, x.a, x.b, "network")
				await(t, x.a.h.up, "up")
				await(t, x.b.h.up, "up")
				done := make(chan struct{}, 2)
				for i, l := range []*Link{x.la, x.lb} {
					go func() {
						x.talk(i, l)
						done <- struct{}{}
					}()
				}
				run(x)
				close(x.stop)
				<-done
				<-done
				if !t.Failed() {
					x.settled()
				}
				x.b.close() // says Bye to a node that is there
				x.a.close()
				x.w.cut(false, false)
				time.Sleep(5 * time.Minute) // what the network still has under way
			})
		})
	}
}

// talk sends until the test ends, with pauses in which heartbeats are all that is
// said.
func (x *apart) talk(i int, l *Link) {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	page := make([]byte, addr.PageSize)
	for {
		for range 1 + r.IntN(4) {
			m := protocol.Message{Kind: protocol.Req, Envelope: protocol.Envelope{Lamport: x.sent[i].Add(1)}}
			if r.IntN(3) == 0 {
				m.Kind = protocol.Data
				l.Append(&m, page)
			} else {
				l.Append(&m, nil)
			}
		}
		l.Flush()
		pause := time.Duration(r.IntN(100)) * time.Millisecond
		if r.IntN(20) == 0 {
			pause = 2 * time.Second
		}
		select {
		case <-time.After(pause):
		case <-x.stop:
			return
		}
	}
}

// settled waits until everything was delivered, exactly once.
func (x *apart) settled() {
	x.t.Helper()
	for range 100 {
		if x.got[1].Load() == x.sent[0].Load() && x.got[0].Load() == x.sent[1].Load() && x.la.Stats().RetainedFrames+x.lb.Stats().RetainedFrames == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	x.t.Errorf("of %d and %d sent %d and %d were delivered; %+v, %+v", x.sent[0].Load(), x.sent[1].Load(), x.got[1].Load(), x.got[0].Load(), x.la.Stats(), x.lb.Stats())
}

// alive says whether both links are there, after a while in which the network was.
func (x *apart) alive(when string) bool {
	x.t.Helper()
	select {
	case err := <-x.a.h.down:
		x.t.Errorf("%s: node 1: %v", when, err)
	case err := <-x.b.h.down:
		x.t.Errorf("%s: node 2: %v", when, err)
	default:
		return true
	}
	return false
}

// outage takes the network down for a time, and gives it back for another.
func (x *apart) outage(acceptor, dialer bool, down, up time.Duration) bool {
	x.t.Helper()
	x.w.cut(acceptor, dialer)
	time.Sleep(down)
	x.w.cut(false, false)
	time.Sleep(up)
	return x.alive(fmt.Sprintf("after an outage of %v, of which %v was the end", down, up))
}

// An outage that is little shorter than the repair time is survived, whenever it
// begins, both ways and one way.
func TestOutage(t *testing.T) {
	for name, cut := range map[string][2]bool{"both ways": {true, true}, "to the acceptor": {true, false}, "to the dialer": {false, true}} {
		t.Run(name, func(t *testing.T) {
			onNetwork(t, func(x *apart) {
				r := rand.New(rand.NewPCG(1, 0))
				for range 40 {
					// Between 1 and 2 s of the old connection being tried again.
					if !x.outage(cut[0], cut[1], survived, time.Second+rnd(r, time.Second)) {
						return
					}
				}
			})
		})
	}
}

// On a slow network too, whatever is heard meanwhile of the connection before: its
// acceptor has given it up, and what was under way on it comes first.
func TestOutageSlowNetwork(t *testing.T) {
	const latency = 40 * time.Millisecond
	onNetwork(t, func(x *apart) {
		x.w.setDelay(latency)
		r := rand.New(rand.NewPCG(2, 0))
		for range 60 {
			time.Sleep(time.Second + rnd(r, time.Second))
			x.w.cut(true, true)
			time.Sleep(survived - 8*latency)
			x.w.cut(false, false)
			time.Sleep(rnd(r, 8*latency))
			x.w.resend()
			time.Sleep(time.Second)
			if !x.alive("after an outage") {
				return
			}
		}
	})
}

// A peer that has begun a handshake before the repair time is over is not given up
// while that goes on.
func TestOutageHandshakeUnderWay(t *testing.T) {
	const latency = 120 * time.Millisecond
	onNetwork(t, func(x *apart) {
		x.w.setDelay(latency)
		begins := 3 * latency // the connection and the HELLO
		if x.a.cfg.Transport == GRPC {
			begins += 2 * latency // for the settings of HTTP/2
		}
		tick := timesOf(outageRepair).tick
		down := outageRepair - 6*tick - latency - begins
		r := rand.New(rand.NewPCG(3, 0))
		for range 60 {
			if !x.outage(true, true, down, time.Second+rnd(r, time.Second)) {
				return
			}
		}
	})
}

// One that is longer ends the run, at both ends, no earlier and not much later.
func TestOutageTooLong(t *testing.T) {
	onNetwork(t, func(x *apart) {
		time.Sleep(time.Second)
		began := time.Now()
		x.w.cut(true, true)
		for _, n := range []*node{x.a, x.b} {
			err := await(t, n.h.down, "down")
			if !errors.Is(err, ErrSilent) {
				x.t.Error(err)
			}
			if after := time.Since(began); after < survived || after > outageRepair+outageRepair/24 {
				x.t.Errorf("node %d gave up after %v", n.cfg.Self, after)
			}
		}
		x.sent[0].Store(x.got[1].Load())
		x.sent[1].Store(x.got[0].Load())
	})
}

// Whoever begins handshakes in a silent peer's name, and proves nothing, puts its
// end off once, for no longer than a handshake may take.
func TestOutageStranger(t *testing.T) {
	onNetwork(t, func(x *apart) {
		time.Sleep(time.Second)
		began := time.Now()
		x.w.cut(true, true)
		over := make(chan struct{})
		strangers := make(chan struct{})
		go func() {
			defer close(strangers)
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
					x.stranger()
				}
			}
		}()
		if err := await(t, x.a.h.down, "down"); !errors.Is(err, ErrSilent) {
			x.t.Error(err)
		}
		tick, most := x.a.Mesh.times.tick, outageRepair+x.a.Mesh.handshakeTime()
		if after := time.Since(began); after < most-5*tick || after > most+2*tick {
			x.t.Errorf("the end came after %v", after)
		}
		close(over)
		<-strangers
		await(t, x.b.h.down, "down")
		x.sent[0].Store(x.got[1].Load())
		x.sent[1].Store(x.got[0].Load())
	})
}

// stranger begins a handshake with a as b would, and does not answer.
func (x *apart) stranger() {
	c, far := net.Pipe()
	x.w.queue <- far
	h := &handshake{m: x.b.Mesh, s: messages{c}}
	hello := h.message(wirepb.Step_HELLO)
	hello.ToNode, hello.ToIncarnation = uint32(x.la.mesh.cfg.Self), uint32(x.la.mesh.cfg.Incarnation)
	hello.Transport, hello.Attempt, hello.Session, hello.Resume, hello.Nonce = TCP, 1000, 1, true, h.nonce()
	if _, err := c.Write([]byte(framedMagic)); err == nil {
		err = h.send(hello)
		if err == nil {
			_, err = h.receive(wirepb.Step_CHALLENGE)
		}
		if err != nil {
			x.t.Error(err)
		}
	}
	c.Close()
}

func rnd(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// However often.
func TestFlapping(t *testing.T) {
	t.Run("half a second", func(t *testing.T) {
		onNetwork(t, func(x *apart) {
			for end := time.Now().Add(*flapping); time.Now().Before(end) && x.outage(true, true, time.Second/2, time.Second/2); {
			}
		})
	})
	for seed := uint64(1); seed <= 2; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			onNetwork(t, func(x *apart) {
				r := rand.New(rand.NewPCG(seed, 0))
				for end := time.Now().Add(*flapping); time.Now().Before(end); {
					one := r.IntN(4)
					if !x.outage(one != 0, one != 1, rnd(r, survived), 200*time.Millisecond+rnd(r, time.Second)) {
						return
					}
				}
			})
		})
	}
}

// A connection that carries nothing any more while the network is there, both ways
// or one way, is replaced: nobody has broken it, and both ends may think that it is
// well.
func TestHungConnection(t *testing.T) {
	for name, directions := range map[string][]int{"both ways": {toAcceptor, toDialer}, "to the acceptor": {toAcceptor}, "to the dialer": {toDialer}} {
		t.Run(name, func(t *testing.T) {
			onNetwork(t, func(x *apart) {
				for range 20 {
					before := x.la.Stats().Connections
					for _, d := range directions {
						x.w.hang(d)
					}
					time.Sleep(survived)
					if !x.alive("with a hung connection") {
						return
					}
					if now := x.la.Stats().Connections; now != before+1 {
						x.t.Errorf("%d connections were made for one", now-before)
					}
				}
			})
		})
	}
}

// Attempts that hang, in their handshake too, do not keep others from succeeding:
// a third of the connections carry so few bytes that they hang there, one of them
// hangs soon, and all of them some time.
func TestHungAttempts(t *testing.T) {
	onNetwork(t, func(x *apart) {
		r := rand.New(rand.NewPCG(3, 0))
		x.w.carry(func() [2]int {
			if r.IntN(2) == 0 {
				return [2]int{r.IntN(400), r.IntN(400)}
			}
			return [2]int{r.IntN(1 << 20), r.IntN(1 << 20)}
		})
		for range 60 {
			x.w.hang(toAcceptor)
			x.w.hang(toDialer)
			time.Sleep(outageRepair)
			if !x.alive("with attempts that hang") {
				return
			}
		}
		x.w.carry(nil)
		x.w.hang(toAcceptor)
	})
}

// Where a round trip takes longer than the time between two attempts many of them
// are under way, and arrive together. One becomes the link's connection, and the
// others disturb it no more.
func TestAttemptsTogether(t *testing.T) {
	onNetwork(t, func(x *apart) {
		x.w.setDelay(100 * time.Millisecond)
		for range 10 {
			before, dialed := x.la.Stats().Connections, x.w.dialed()
			x.w.hang(toAcceptor)
			x.w.hang(toDialer)
			time.Sleep(survived)
			if !x.alive("with a slow network") {
				return
			}
			if now := x.la.Stats().Connections; now != before+1 {
				x.t.Errorf("%d connections were made for one", now-before)
			}
			if n := x.w.dialed() - dialed; n < 3 {
				x.t.Errorf("%d attempts are not together", n)
			}
			time.Sleep(10 * time.Second)
			if now := x.la.Stats().Connections; now != before+1 {
				x.t.Errorf("%d more connections were made, and all was well", now-before-1)
			}
		}
	})
}

// Whoever wants to know is told once that a peer is away, and once that it is back.
func TestAway(t *testing.T) {
	onNetwork(t, func(x *apart) {
		for range 10 {
			x.outage(true, true, time.Second/2, 2*time.Second)
			if len(x.away)+len(x.back) > 0 {
				x.t.Fatal("a short outage was told")
			}
			if d := x.la.Away(); d != 0 {
				x.t.Errorf("away for %v", d)
			}
			began := time.Now()
			x.w.cut(true, true)
			silent := await(x.t, x.away, "away")
			if silent < outageRepair*2/5 || silent > outageRepair*2/5+outageRepair/24 {
				x.t.Errorf("told after %v", silent)
			}
			if d := x.la.Away(); d < silent {
				x.t.Errorf("away for %v, was told of %v", d, silent)
			}
			time.Sleep(2*time.Second - time.Since(began))
			x.w.cut(false, false)
			if away := await(x.t, x.back, "back"); away < 2*time.Second-outageRepair/12 || away > survived {
				x.t.Errorf("back after %v", away)
			}
			if len(x.away)+len(x.back) > 0 {
				x.t.Error("told twice")
			}
		}
	})
}
