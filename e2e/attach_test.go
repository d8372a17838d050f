package e2e

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
)

// foreign is a connection to the attach socket that keeps to no rules.
type foreign struct {
	t    *testing.T
	conn *net.UnixConn
	id   uint64
}

func (c *cluster) foreign(t *testing.T) *foreign {
	t.Helper()
	conn, err := net.Dial("unixpacket", c.node(0))
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{t: t, conn: conn.(*net.UnixConn)}
	// The deadline of the test kills the node, which ends every read here.
	t.Cleanup(func() { conn.Close() })
	return f
}

// send writes a packet with descriptors.
func (f *foreign) send(packet []byte, fds ...int) {
	f.t.Helper()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := f.conn.WriteMsgUnix(packet, rights, nil); err != nil {
		f.t.Fatalf("send: %v", err)
	}
}

func (f *foreign) request(r *attachpb.Request, fds ...int) {
	f.t.Helper()
	if r.Id == 0 {
		f.id++
		r.Id = f.id
	}
	packet, err := client.EncodeRequest(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.send(packet, fds...)
}

// receive is the next reply; nil at the end of the connection.
func (f *foreign) receive() (*attachpb.Reply, []int) {
	f.t.Helper()
	buf, oob := make([]byte, client.MaxPacket), make([]byte, 128)
	n, oobn, _, _, err := f.conn.ReadMsgUnix(buf, oob)
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		f.t.Fatalf("receive: %v", err)
	}
	var fds []int
	if controls, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range controls {
			got, _ := unix.ParseUnixRights(&controls[i])
			fds = append(fds, got...)
		}
	}
	reply, err := client.DecodeReply(buf[:n], len(fds))
	if err != nil {
		f.t.Fatalf("receive: %v", err)
	}
	return reply, fds
}

// fails expects an error of the code.
func (f *foreign) fails(what string, code attachpb.Code) {
	f.t.Helper()
	reply, _ := f.receive()
	if e := reply.GetError(); e == nil || e.Code != code {
		f.t.Errorf("%s: the answer is %v, want an error %v", what, reply, code)
	}
}

// over expects the node to have hung up.
func (f *foreign) over(what string) {
	f.t.Helper()
	if reply, _ := f.receive(); reply != nil {
		f.t.Errorf("%s: %v where the node should have hung up", what, reply)
	}
}

// alive expects the connection to go on.
func (f *foreign) alive(what string) {
	f.t.Helper()
	f.request(&attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}})
	if reply, _ := f.receive(); reply.GetCounters() == nil {
		f.t.Errorf("%s: then Stats gets %v", what, reply)
	}
}

func (f *foreign) hello() *foreign {
	f.t.Helper()
	f.request(&attachpb.Request{Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: client.Version, Program: "foreign"}}})
	reply, fds := f.receive()
	if reply.GetWelcome() == nil {
		f.t.Fatalf("Hello: %v", reply)
	}
	f.t.Cleanup(func() { unix.Close(fds[0]) })
	return f
}

// create makes and maps the segment, up to and not including Registered.
func (f *foreign) create(name string, size uint64) (*attachpb.Segment, int) {
	f.t.Helper()
	f.request(&attachpb.Request{Body: &attachpb.Request_Create{Create: &attachpb.Create{Name: name, Size: size}}})
	reply, _ := f.receive()
	s := reply.GetSegment()
	if s == nil {
		f.t.Fatalf("Create: %v", reply)
	}
	f.request(&attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: s.Ref}}})
	reply, fds := f.receive()
	if reply.GetMapped() == nil {
		f.t.Fatalf("Map: %v", reply)
	}
	f.t.Cleanup(func() { unix.Close(fds[0]) })
	return s, fds[0]
}

func pageOf(s *attachpb.Segment) addr.PageNum { return addr.PageNum(s.FirstPage) }

func registered(ref *attachpb.SegmentRef) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_Registered{Registered: &attachpb.Registered{Segment: ref}}}
}

func lockAcquire(name string, timeout uint64) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_LockAcquire{LockAcquire: &attachpb.LockAcquire{Name: name, TimeoutNs: timeout}}}
}

func bytesOf(ref *attachpb.SegmentRef, off, n uint64) *attachpb.Range {
	return &attachpb.Range{Segment: ref, Offset: off, Length: n}
}

// What a program may do wrong on its socket harms nobody else: it gets one
// clear error, and the node goes on.
func TestForeignClients(t *testing.T) {
	onEach(t, []shape{two}, func(t *testing.T, c *cluster) {
		other := c.run(0, "journal", 0, 0) // goes on all the time
		other.at("tick")
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		for _, test := range []struct {
			name string
			do   func(f *foreign)
		}{
			{"foreign bytes", func(f *foreign) {
				f.send([]byte("GET / HTTP/1.1\r\n\r\n"))
				f.fails("HTTP", attachpb.Code_CODE_MALFORMED)
				f.over("HTTP")
			}},
			{"large packet", func(f *foreign) {
				f.hello().send(make([]byte, client.MaxPacket+1))
				f.fails("a large packet", attachpb.Code_CODE_MALFORMED)
				f.over("a large packet")
			}},
			{"no hello", func(f *foreign) {
				f.request(&attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}})
				f.fails("Stats before Hello", attachpb.Code_CODE_MALFORMED)
				f.over("Stats before Hello")
			}},
			{"version", func(f *foreign) {
				f.request(&attachpb.Request{Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: math.MaxUint32}}})
				f.fails("another version", attachpb.Code_CODE_VERSION)
				f.over("another version")
			}},
			{"descriptors", func(f *foreign) {
				f.hello().request(&attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}}, int(null.Fd()))
				f.fails("Stats with a descriptor", attachpb.Code_CODE_MALFORMED)
				f.over("Stats with a descriptor")
			}},
			{"registered without map", func(f *foreign) {
				f.hello().request(registered(&attachpb.SegmentRef{Name: "x", Generation: math.MaxUint64}), int(null.Fd()))
				f.fails("Registered without Map", attachpb.Code_CODE_INVALID)
				f.alive("Registered without Map")
			}},
			{"wrong userfaultfd", func(f *foreign) {
				s, _ := f.hello().create(c.name()+"-wrong", pageSize)
				f.request(registered(s.Ref), int(null.Fd()))
				f.fails("/dev/null for a userfaultfd", attachpb.Code_CODE_INVALID)
				uffd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
				if errno != 0 {
					f.t.Fatal(errno)
				}
				defer unix.Close(int(uffd))
				f.request(registered(s.Ref), int(uffd))
				f.fails("a userfaultfd of nothing", attachpb.Code_CODE_INVALID)
				f.alive("wrong userfaultfd")
			}},
			{"userfaultfd of another segment", func(f *foreign) {
				s, _ := f.hello().create(c.name()+"-one", pageSize)
				two, memfd := f.create(c.name()+"-two", pageSize)
				view, err := memory.Map(memfd, addr.DefaultBase, pageOf(two), int64(two.Pages))
				if err != nil {
					f.t.Fatal(err)
				}
				defer view.Close()
				f.request(registered(s.Ref), view.Uffd())
				f.fails("the userfaultfd of another segment", attachpb.Code_CODE_INVALID)
				f.alive("the userfaultfd of another segment")
			}},
			{"huge numbers", func(f *foreign) {
				f.hello()
				for _, size := range []uint64{0, 1<<44 + 1, 1 << 63, math.MaxUint64} {
					f.request(&attachpb.Request{Body: &attachpb.Request_Create{Create: &attachpb.Create{Name: "huge", Size: size}}})
					f.fails("Create of a huge segment", attachpb.Code_CODE_BAD_SIZE)
				}
				s, memfd := f.create(c.name()+"-huge", 4*pageSize)
				f.request(&attachpb.Request{Body: &attachpb.Request_Drop{Drop: &attachpb.Drop{Range: bytesOf(s.Ref, 0, 1)}}})
				f.fails("Drop before Registered", attachpb.Code_CODE_INVALID)
				view, err := memory.Map(memfd, addr.DefaultBase, pageOf(s), int64(s.Pages))
				if err != nil {
					f.t.Fatal(err)
				}
				defer view.Close()
				f.request(registered(s.Ref), view.Uffd())
				if reply, _ := f.receive(); reply.GetDone() == nil {
					f.t.Fatalf("Registered: %v", reply)
				}
				f.request(registered(s.Ref), view.Uffd())
				f.fails("Registered twice", attachpb.Code_CODE_INVALID)
				for _, r := range []*attachpb.Range{
					bytesOf(s.Ref, math.MaxUint64, 1), bytesOf(s.Ref, math.MaxUint64, math.MaxUint64), bytesOf(s.Ref, 0, math.MaxUint64),
					bytesOf(s.Ref, 4*pageSize, 1), bytesOf(s.Ref, math.MaxUint64, 0), bytesOf(s.Ref, 1, math.MaxUint64),
				} {
					f.request(&attachpb.Request{Body: &attachpb.Request_Prefetch{Prefetch: &attachpb.Prefetch{Range: r}}})
					f.fails("Prefetch of a huge range", attachpb.Code_CODE_INVALID)
					f.request(&attachpb.Request{Body: &attachpb.Request_WriteBack{WriteBack: &attachpb.WriteBack{Range: r}}})
					f.fails("WriteBack of a huge range", attachpb.Code_CODE_INVALID)
				}
				for _, g := range []uint64{math.MaxUint64, s.Ref.Generation + 1<<32, 0} {
					ref := &attachpb.SegmentRef{Name: s.Ref.Name, Generation: g}
					f.request(&attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: ref}}})
					f.fails("Map of another generation", attachpb.Code_CODE_REMOVED)
					f.request(&attachpb.Request{Body: &attachpb.Request_Drop{Drop: &attachpb.Drop{Range: bytesOf(ref, 0, 1)}}})
					f.fails("Drop of another generation", attachpb.Code_CODE_INVALID)
				}
				f.alive("huge numbers")
			}},
			{"locks and barriers", func(f *foreign) {
				f.hello()
				name := c.name() + "-sync"
				for _, b := range []*attachpb.BarrierJoin{{Name: name}, {Name: name, Party: 1, Parties: 1}, {Name: name, Party: math.MaxUint32, Parties: math.MaxUint32}} {
					f.request(&attachpb.Request{Body: &attachpb.Request_BarrierJoin{BarrierJoin: b}})
					if reply, _ := f.receive(); reply.GetError() == nil {
						f.t.Errorf("BarrierJoin %v: %v", b, reply)
					}
				}
				for _, b := range []*attachpb.BarrierWait{{Name: name}, {Name: name, Parties: 1, Round: math.MaxUint64}, {Name: name, Parties: math.MaxUint32, Party: math.MaxUint32, Round: 1}} {
					f.request(&attachpb.Request{Body: &attachpb.Request_BarrierWait{BarrierWait: b}})
					if reply, _ := f.receive(); reply.GetError() == nil {
						f.t.Errorf("BarrierWait %v: %v", b, reply)
					}
				}
				f.request(&attachpb.Request{Body: &attachpb.Request_BarrierLeave{BarrierLeave: &attachpb.BarrierLeave{Name: name, Party: math.MaxUint32}}})
				if reply, _ := f.receive(); reply == nil {
					f.t.Error("BarrierLeave: no answer")
				}
				f.request(&attachpb.Request{Body: &attachpb.Request_LockRelease{LockRelease: &attachpb.LockRelease{Name: name, Fence: math.MaxUint64}}})
				f.fails("LockRelease of what is not held", attachpb.Code_CODE_NOT_OWNER)
				f.request(&attachpb.Request{Body: &attachpb.Request_LockCancel{LockCancel: &attachpb.LockCancel{Request: math.MaxUint64}}})
				if reply, _ := f.receive(); reply.GetDone() == nil {
					f.t.Errorf("LockCancel of nothing: %v", reply)
				}
				f.request(lockAcquire("", 0))
				f.fails("LockAcquire without a name", attachpb.Code_CODE_INVALID)
				f.request(lockAcquire(name, math.MaxUint64))
				if reply, _ := f.receive(); reply.GetLock() == nil {
					f.t.Errorf("LockAcquire with a huge timeout: %v", reply)
				}
				f.alive("locks and barriers")
			}},
			{"an id in use", func(f *foreign) {
				f.hello()
				name := c.name() + "-id"
				holder := c.foreign(f.t).hello()
				holder.request(lockAcquire(name, 0))
				if reply, _ := holder.receive(); reply.GetLock() == nil {
					f.t.Fatalf("LockAcquire: %v", reply)
				}
				for range 3 {
					r := lockAcquire(name, 0)
					r.Id = 77
					f.request(r)
				}
				if reply, _ := f.receive(); reply.GetError() == nil {
					f.t.Errorf("an id that is in use: %v", reply)
				}
			}},
			{"many requests", func(f *foreign) {
				f.hello()
				name := c.name() + "-many"
				holder := c.foreign(f.t).hello()
				for i := range 129 {
					holder.request(lockAcquire(fmt.Sprint(name, i), 0))
					if reply, _ := holder.receive(); reply.GetLock() == nil {
						f.t.Fatalf("LockAcquire: %v", reply)
					}
				}
				for i := range 129 {
					f.request(lockAcquire(fmt.Sprint(name, i), 0))
				}
				f.alive("many requests at once")
				holder.alive("another connection")
			}},
		} {
			t.Run(test.name, func(t *testing.T) { test.do(c.foreign(t)) })
			if c.nodes[0].ended() {
				t.Fatalf("%s: the node ended: %s", test.name, c.nodes[0].outcome())
			}
		}
		other.kill()
		c.run(0, "audit", 1).at("sum")
		c.remove()
		c.run(0, "segments").ok()
	})
}
