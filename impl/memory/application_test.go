//go:build linux

package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// patience is after how long a test that waits for another process gives up.
const patience = 60 * time.Second

// The descriptors of the application process.
const (
	controlFD = 3
	memfdFD   = 4
	silentFD  = 5
)

// request is what a test asks of an application process. Requests run
// concurrently, each in a goroutine of its own.
type request struct {
	ID   int
	Op   string
	Off  int64
	N    int64
	Val  uint64
	Data []byte
}

type reply struct {
	ID   int
	Val  uint64
	Data []byte
	Err  string
}

// application is an application process as a test sees it.
type application struct {
	*Mapping
	t       testing.TB
	cmd     *exec.Cmd
	control *net.UnixConn
	silent  *os.File // the node's end of the silent socketpair
	faults  chan Fault
	served  chan error

	mu      sync.Mutex
	enc     *json.Encoder
	lastID  int
	waiting map[int]chan reply
	seen    map[Fault]bool
}

type applicationOptions struct {
	handle   func(*Mapping, []Fault) // default: faults go to expect
	flags    int                     // of userfaultfd
	extra    uint64                  // features
	noServe  bool
	maxprocs int
}

// startApplication starts a process that maps the segment, and attaches it.
func startApplication(t testing.TB, s *Segment, o applicationOptions) *application {
	t.Helper()
	a, err := launch(t, s, o)
	if err != nil {
		t.Fatalf("the application did not come up: %v", err)
	}
	return a
}

// launch is startApplication with an error where the process does not map the
// segment.
func launch(t testing.TB, s *Segment, o applicationOptions) (*application, error) {
	t.Helper()
	control, childControl := socketPair(t)
	silent, childSilent := socketPair(t)
	memfd, err := unix.FcntlInt(uintptr(s.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	childMemfd := os.NewFile(uintptr(memfd), "memfd")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(),
		roleVariable+"=application",
		"MOME_TEST_FIRST="+strconv.FormatUint(uint64(s.First()), 10),
		"MOME_TEST_PAGES="+strconv.FormatInt(s.Len(), 10),
		"MOME_TEST_FLAGS="+strconv.Itoa(o.flags),
		"MOME_TEST_EXTRA="+strconv.FormatUint(o.extra, 10),
		// A goroutine that is preempted in a fault faults again; a test that
		// counts faults does without.
		"GODEBUG=asyncpreemptoff=1", "GOGC=off",
		"GOMAXPROCS="+strconv.Itoa(max(o.maxprocs, 16)),
	)
	cmd.ExtraFiles = []*os.File{childControl, childMemfd, childSilent}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	childControl.Close()
	childMemfd.Close()
	childSilent.Close()
	conn, err := net.FileConn(control)
	control.Close()
	if err != nil {
		t.Fatal(err)
	}
	a := &application{
		t: t, cmd: cmd, control: conn.(*net.UnixConn), silent: silent,
		faults: make(chan Fault, 1<<16), served: make(chan error, 1),
		enc: json.NewEncoder(conn), waiting: map[int]chan reply{}, seen: map[Fault]bool{},
	}
	t.Cleanup(a.stop)
	uffd, err := receiveFD(a.control)
	if err != nil {
		return nil, err
	}
	if o.extra != 0 || o.flags != 0 {
		a.Mapping, err = s.attach(uffd, "test")
	} else {
		a.Mapping, err = s.Attach(uffd, "test")
	}
	if err != nil {
		t.Fatal(err)
	}
	go a.receive()
	if !o.noServe {
		a.serve(o.handle)
	}
	return a, nil
}

func (a *application) serve(handle func(*Mapping, []Fault)) {
	if handle == nil {
		handle = func(_ *Mapping, faults []Fault) {
			for _, f := range faults {
				a.faults <- f
			}
		}
	}
	go func() { a.served <- a.Serve(func(faults []Fault) { handle(a.Mapping, faults) }) }()
}

// stop kills the process and gives everything back.
func (a *application) stop() {
	a.cmd.Process.Kill()
	a.cmd.Wait()
	a.control.Close()
	a.silent.Close()
	if a.Mapping != nil {
		a.Mapping.Close()
	}
}

func (a *application) receive() {
	dec := json.NewDecoder(a.control)
	for {
		var r reply
		err := dec.Decode(&r)
		a.mu.Lock()
		if err != nil {
			for _, c := range a.waiting {
				c <- reply{Err: "the application is dead"}
			}
			a.waiting = nil
			a.mu.Unlock()
			return
		}
		c := a.waiting[r.ID]
		delete(a.waiting, r.ID)
		a.mu.Unlock()
		c <- r
	}
}

// begin starts a request, call starts it and waits.
func (a *application) begin(r request) <-chan reply {
	a.t.Helper()
	c := make(chan reply, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		c <- reply{Err: "the application is dead"}
		return c
	}
	a.lastID++
	r.ID = a.lastID
	a.waiting[r.ID] = c
	if err := a.enc.Encode(r); err != nil {
		delete(a.waiting, r.ID)
		c <- reply{Err: err.Error()}
	}
	return c
}

func (a *application) call(r request) reply {
	a.t.Helper()
	return a.wait(a.begin(r))
}

func (a *application) wait(c <-chan reply) reply {
	a.t.Helper()
	r := a.outcome(c)
	if r.Err != "" {
		a.t.Fatalf("application: %s", r.Err)
	}
	return r
}

func (a *application) outcome(c <-chan reply) reply {
	a.t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(patience):
		a.t.Fatal("the application does not answer")
	}
	panic("unreachable")
}

// expect waits for a fault of the kind. A fault that was expected before may
// come again; any other fails the test.
func (a *application) expect(p addr.PageNum, write bool, kind Kind) Fault {
	a.t.Helper()
	want := Fault{Page: p, Write: write, Kind: kind}
	for {
		select {
		case f := <-a.faults:
			key := f
			key.Thread = 0
			if key == want {
				a.seen[want] = true
				return f
			}
			if !a.seen[key] {
				a.t.Fatalf("fault %v, want %v", f, want)
			}
		case <-time.After(patience):
			a.t.Fatalf("no fault, want %v", want)
		}
	}
}

// quiet fails if a fault was raised that nobody expected.
func (a *application) quiet() {
	a.t.Helper()
	select {
	case f := <-a.faults:
		a.t.Fatalf("unexpected fault %v", f)
	default:
	}
}

func at(s *Segment, p addr.PageNum) int64 { return int64(p-s.First()) << addr.PageShift }

func socketPair(t testing.TB) (mine, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "theirs")
}

func receiveFD(c *net.UnixConn) (int, error) {
	var (
		b   [1]byte
		oob = make([]byte, unix.CmsgSpace(4))
	)
	_, n, _, _, err := c.ReadMsgUnix(b[:], oob)
	if err != nil {
		return -1, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return -1, err
	}
	if len(msgs) != 1 {
		return -1, errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}

func sendFD(c *net.UnixConn, fd int) error {
	_, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil)
	return err
}

// applicationMain is the application process.
func applicationMain() {
	first, _ := strconv.ParseUint(os.Getenv("MOME_TEST_FIRST"), 10, 32)
	pages, _ := strconv.ParseInt(os.Getenv("MOME_TEST_PAGES"), 10, 64)
	flags, _ := strconv.Atoi(os.Getenv("MOME_TEST_FLAGS"))
	extra, _ := strconv.ParseUint(os.Getenv("MOME_TEST_EXTRA"), 10, 64)
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "application:", err)
			os.Exit(1)
		}
	}
	v, err := mapWith(memfdFD, addr.DefaultBase, addr.PageNum(first), pages, flags, requiredFeatures|extra)
	fatal(err)
	unix.Close(memfdFD)
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	fatal(err)
	f.Close()
	control := c.(*net.UnixConn)
	fatal(sendFD(control, v.Uffd()))
	var (
		mu  sync.Mutex
		enc = json.NewEncoder(control)
		dec = json.NewDecoder(control)
	)
	for {
		var r request
		if err := dec.Decode(&r); err == io.EOF {
			return
		} else {
			fatal(err)
		}
		go func() {
			a := perform(v, r)
			a.ID = r.ID
			mu.Lock()
			defer mu.Unlock()
			enc.Encode(a)
		}()
	}
}

var stopped atomic.Bool

// perform carries out one request in the application process. A SIGBUS or a
// SIGSEGV is an error that begins with "signal".
func perform(v *View, r request) (a reply) {
	debug.SetPanicOnFault(true)
	defer func() {
		if x := recover(); x != nil {
			a.Err = fmt.Sprint("signal: ", x)
		}
	}()
	fail := func(err error) reply { return reply{Err: err.Error()} }
	mem := v.Bytes()
	word := func(off int64) *uint64 { return (*uint64)(unsafe.Pointer(&mem[off])) }
	switch r.Op {
	case "load":
		return reply{Val: plainLoad(word(r.Off))}
	case "store":
		plainStore(word(r.Off), r.Val)
		return reply{}
	case "read":
		return reply{Data: append([]byte(nil), mem[r.Off:r.Off+r.N]...)}
	case "threads":
		// N threads load the same word.
		var wg sync.WaitGroup
		var sum atomic.Uint64
		for range r.N {
			wg.Go(func() {
				runtime.LockOSThread()
				sum.Add(atomic.LoadUint64(word(r.Off)))
			})
		}
		wg.Wait()
		return reply{Val: sum.Load()}
	case "tid":
		// Loads on a locked thread, and says which.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		atomic.LoadUint64(word(r.Off))
		return reply{Val: uint64(unix.Gettid())}
	case "sysread", "syswrite":
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return fail(err)
		}
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		if r.Op == "sysread" {
			if _, err := unix.Write(p[1], r.Data); err != nil {
				return fail(err)
			}
			n, err := unix.Read(p[0], mem[r.Off:r.Off+int64(len(r.Data))])
			if err != nil {
				return fail(err)
			}
			return reply{Val: uint64(n)}
		}
		n, err := unix.Write(p[1], mem[r.Off:r.Off+r.N])
		if err != nil {
			return fail(err)
		}
		data := make([]byte, n)
		_, err = unix.Read(p[0], data)
		if err != nil {
			return fail(err)
		}
		return reply{Val: uint64(n), Data: data}
	case "populate":
		if err := v.Populate(r.Off, r.N, r.Val != 0); err != nil {
			return fail(err)
		}
		return reply{}
	case "dontneed":
		if err := unix.Madvise(mem[r.Off:r.Off+r.N], unix.MADV_DONTNEED); err != nil {
			return fail(err)
		}
		return reply{}
	case "unmap":
		if errno := munmap(addr.DefaultBase.Addr(v.First())+uintptr(r.Off), r.N); errno != 0 {
			return fail(errno)
		}
		return reply{}
	case "replace":
		// Puts memory of its own where the segment was.
		addr, _, errno := unix.Syscall6(unix.SYS_MMAP, addr.DefaultBase.Addr(v.First())+uintptr(r.Off), uintptr(r.N),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, ^uintptr(0), 0)
		if errno != 0 {
			return fail(errno)
		}
		return reply{Val: uint64(addr)}
	case "fork":
		status, err := forkAndTouch(&mem[r.Off])
		if err != nil {
			return fail(err)
		}
		return reply{Val: uint64(status)}
	case "pending":
		// Returns once a fault of this process waits to be read.
		fds := []unix.PollFd{{Fd: int32(v.Uffd()), Events: unix.POLLIN}}
		// Serve may have left it in blocking mode, and poll is an error then.
		unix.SetNonblock(v.Uffd(), true)
		for {
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				break
			}
		}
		return reply{Val: uint64(fds[0].Revents)}
	case "kill-on-hangup":
		if err := KillOnHangup(silentFD); err != nil {
			return fail(err)
		}
		return reply{}
	case "copy-under-gc":
		// One goroutine waits in copy, all others for the garbage collector.
		debug.SetGCPercent(100)
		go func() {
			for {
				runtime.GC()
			}
		}()
		copy(make([]byte, r.N), mem[r.Off:r.Off+r.N])
		return reply{}
	case "stop":
		stopped.Store(true)
		return reply{}
	case "scan":
		n, err := scan(v, r.N)
		if err != nil {
			return fail(err)
		}
		return reply{Val: n}
	case "add":
		// Adds Val times to the word at Off of each of N pages, in turns.
		for range r.Val {
			for p := range r.N {
				atomic.AddUint64(word(p<<addr.PageShift+r.Off), 1)
			}
		}
		return reply{}
	}
	return reply{Err: "unknown operation " + r.Op}
}

// scan reads pages word by word until it is stopped. Every word must name its
// page, and the generation must not go back within one pass over a page: a
// page appears as a whole, and is replaced by later ones only.
func scan(v *View, pages int64) (passes uint64, err error) {
	mem := v.Bytes()
	for !stopped.Load() {
		for p := range pages {
			var last uint64
			for w := range int64(addr.PageSize / 8) {
				x := atomic.LoadUint64((*uint64)(unsafe.Pointer(&mem[p<<addr.PageShift+w*8])))
				page, generation := x>>32, x&0xFFFFFFFF
				if page != uint64(p)+1 || generation < last {
					return passes, fmt.Errorf("page %d word %d: %#x after generation %d", p, w, x, last)
				}
				last = generation
			}
			passes++
		}
	}
	return passes, nil
}

// forkAndTouch forks, touches an address in the child, and returns the child's
// wait status. The child makes no other use of Go: signals are blocked in it,
// so that a SIGSEGV kills it.
func forkAndTouch(p *byte) (syscall.WaitStatus, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, errno := rawForkAndTouch(p)
	if errno != 0 {
		return 0, errno
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}
