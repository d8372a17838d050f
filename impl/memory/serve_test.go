//go:build linux

package memory

import (
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

func awaitServed(t *testing.T, a *application) {
	t.Helper()
	select {
	case err := <-a.served:
		ok(t, err)
	case <-time.After(patience):
		t.Fatal("Serve does not end")
	}
}

func TestDetachEndsServe(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	a.Detach()
	a.Detach()
	awaitServed(t, a)
	if s.Mappings() != 0 {
		t.Fatalf("%d mappings after Detach", s.Mappings())
	}
	// The operations still work, and Serve ends at once.
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), false))
	a.call(request{Op: "load"})
	ok(t, a.Serve(nil))
	ok(t, a.Mapping.Close())
	ok(t, a.Mapping.Close())
	ok(t, a.Serve(nil))
	wantErr(t, a.Install(testFirst, 1, true), ErrGone)
	wantErr(t, a.Wake(testFirst, 1), ErrGone)
	wantErr(t, a.Unprotect(testFirst, 1), ErrGone)
	wantErr(t, a.Protect(testFirst, 1), ErrGone)
	wantErr(t, a.Poison(testFirst, 1), ErrGone)
	_, err := a.Zero(testFirst, 1, true)
	wantErr(t, err, ErrGone)
}

func TestCloseEndsServe(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	ok(t, a.Mapping.Close())
	awaitServed(t, a)
}

// Detach ends Serve at whatever moment it comes: before the first read, in it,
// between two, and while faults arrive.
func TestDetachRacesWithServe(t *testing.T) {
	const pages = 512
	s := newSegment(t, pages)
	a := startApplication(t, s, applicationOptions{noServe: true})
	populated := a.begin(request{Op: "populate", N: pages * addr.PageSize, Val: 1})
	for i := range pages {
		uffd, err := unix.FcntlInt(uintptr(a.uffd), unix.F_DUPFD_CLOEXEC, 0)
		ok(t, err)
		m, err := s.Attach(uffd, "again")
		ok(t, err)
		served := make(chan error, 1)
		first := make(chan bool, pages)
		go func() {
			served <- m.Serve(func(faults []Fault) {
				for _, f := range faults {
					m.Zero(f.Page, 1, true)
				}
				first <- true
			})
		}()
		switch i % 4 {
		case 0:
			// One fault at least was answered; the next may be on its way.
			select {
			case <-first:
			case <-populated:
				return
			case <-time.After(patience):
				t.Fatal("no fault")
			}
		case 1:
			runtime.Gosched()
		case 2:
			unix.SetNonblock(m.uffd, true) // as an application might leave it
		}
		m.Detach()
		select {
		case err := <-served:
			ok(t, err)
		case <-time.After(patience):
			t.Fatal("Serve does not end")
		}
		ok(t, m.Close())
	}
}

// Closing the segment closes what is attached.
func TestSegmentCloseEndsServe(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	ok(t, s.Close())
	awaitServed(t, a)
	awaitServed(t, b)
}

// A process that dies is silent on its userfaultfd. Its socket tells; the
// operations answer ErrGone, and those on the segment pass over it.
func TestHangupEndsServe(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	r := a.begin(request{Op: "load"})
	a.expect(testFirst, false, Missing)
	a.cmd.Process.Kill()
	// What a node does: it watches the socket.
	if n, err := a.silent.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the silent socket of a dead application: %d, %v", n, err)
	}
	a.cmd.Wait()
	a.outcome(r)
	// poll is an error unless reads do not block; Serve waits in a read.
	ok(t, unix.SetNonblock(a.uffd, true))
	fds := []unix.PollFd{{Fd: int32(a.uffd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
		t.Errorf("the userfaultfd of a dead process is no longer silent: poll says %d, %v, events %#x", n, err, fds[0].Revents)
	}
	_, err := a.Copy(testFirst, pattern(1, 1), true)
	wantErr(t, err, ErrGone)
	wantErr(t, a.Install(testFirst, 1, true), ErrGone)
	wantErr(t, a.Unprotect(testFirst, 1), ErrGone)
	wantErr(t, a.Protect(testFirst, 1), ErrGone)
	wantErr(t, a.Poison(testFirst, 1), ErrGone)
	ok(t, a.Wake(testFirst, 1))
	// The segment's operations go on for the others.
	okN(t, 1)(b.Copy(testFirst, pattern(1, 1), true))
	ok(t, s.Protect(testFirst, 1))
	ok(t, s.Punch(testFirst, 1))
	ok(t, s.Poison(testFirst, 1))
	a.Detach()
	awaitServed(t, a)
}

// When the daemon is gone and the application holds its own userfaultfd, a
// fault waits. It is not filled with zeros.
func TestFaultWaitsWithoutDaemon(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	ok(t, a.Mapping.Close())
	awaitServed(t, a)
	r := a.begin(request{Op: "load"})
	if events := a.call(request{Op: "pending"}).Val; events != unix.POLLIN {
		t.Fatalf("poll of the application's own userfaultfd: %#x", events)
	}
	select {
	case r := <-r:
		t.Fatalf("the load returned: %+v", r)
	default:
	}
	a.cmd.Process.Kill()
	if r := a.outcome(r); r.Err != "the application is dead" {
		t.Fatalf("the load returned: %+v", r)
	}
}

// EAGAIN while the mapping changes is retried, and nothing is lost. Only a
// userfaultfd with events shows it: the change lasts until the event is read.
func TestMappingChanging(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{extra: featureEventRemove, noServe: true})
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), true))
	removal := a.begin(request{Op: "dontneed", Off: 2 * addr.PageSize, N: addr.PageSize})
	if events := a.call(request{Op: "pending"}).Val; events != unix.POLLIN {
		t.Fatalf("poll: %#x", events)
	}
	// The mapping is changing until somebody reads.
	_, errno := uffdFill(a.uffd, ioctlZeropage, addr.DefaultBase.Addr(testFirst+1), addr.PageSize, 0)
	if errno != unix.EAGAIN {
		t.Fatalf("%v while the mapping changes, want EAGAIN", errno)
	}
	var wg sync.WaitGroup
	results := make([]error, 4)
	var entered sync.WaitGroup
	for i, f := range []func() error{
		func() error { _, err := a.Copy(testFirst+1, pattern(2, 1), true); return err },
		func() error { return a.Install(testFirst, 1, true) },
		func() error { return a.Protect(testFirst+3, 1) },
		func() error { return a.Unprotect(testFirst, 1) },
	} {
		entered.Add(1)
		wg.Go(func() {
			runtime.LockOSThread()
			entered.Done()
			results[i] = f()
		})
	}
	entered.Wait()
	a.serve(nil)
	a.wait(removal)
	wg.Wait()
	for i, err := range results {
		if err != nil {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	a.call(request{Op: "store", Off: addr.PageSize})
}

// And it is bounded.
func TestMappingKeepsChanging(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{extra: featureEventRemove, noServe: true})
	removal := a.begin(request{Op: "dontneed", Off: 2 * addr.PageSize, N: addr.PageSize})
	a.call(request{Op: "pending"})
	_, err := a.Zero(testFirst, 1, true)
	wantErr(t, err, ErrBusy)
	a.serve(nil)
	a.wait(removal)
	okN(t, 1)(a.Zero(testFirst, 1, true))
}

// A burst of faults arrives in batches, complete.
func TestServeBatches(t *testing.T) {
	const threads = 100
	s := newSegment(t, threads)
	a := startApplication(t, s, applicationOptions{noServe: true, maxprocs: threads + 8})
	var replies []<-chan reply
	for i := range int64(threads) {
		replies = append(replies, a.begin(request{Op: "load", Off: i * addr.PageSize}))
	}
	var largest int
	a.serve(func(m *Mapping, faults []Fault) {
		largest = max(largest, len(faults))
		for _, f := range faults {
			m.Zero(f.Page, 1, f.Write)
		}
	})
	for _, r := range replies {
		a.wait(r)
	}
	a.Detach()
	awaitServed(t, a)
	t.Logf("the largest batch had %d faults", largest)
	if largest < 1 || largest > batchSize {
		t.Fatalf("a batch of %d faults", largest)
	}
}

// Faults outside the segment and other events are nobody's.
func TestDecode(t *testing.T) {
	s := &Segment{space: addr.DefaultBase, first: testFirst, pages: 4}
	m := &Mapping{segment: s}
	pagefault := func(address uintptr, flags uint64) uffdMsg {
		return uffdMsg{event: eventPagefault, flags: flags, address: uint64(address), ptid: 7}
	}
	fds := [2]int{}
	ok(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	defer unix.Close(fds[0])
	got := m.decode(nil, []uffdMsg{
		pagefault(addr.DefaultBase.Addr(testFirst), 0),
		pagefault(addr.DefaultBase.Addr(testFirst)-1, 0),
		pagefault(addr.DefaultBase.Addr(testFirst+4), 0),
		pagefault(0, 0),
		pagefault(addr.DefaultBase.Addr(testFirst)+4*addr.PageSize-1, faultWrite),
		{event: 0x15, flags: uint64(addr.DefaultBase.Addr(testFirst))},
		{event: eventFork, flags: uint64(fds[1])},
		pagefault(addr.DefaultBase.Addr(testFirst+1), faultWrite|faultWP),
		pagefault(addr.DefaultBase.Addr(testFirst+2), faultMinor),
	})
	want := []Fault{
		{Page: testFirst, Thread: 7},
		{Page: testFirst + 3, Thread: 7, Write: true},
		{Page: testFirst + 1, Thread: 7, Write: true, Kind: WriteProtect},
		{Page: testFirst + 2, Thread: 7, Kind: Minor},
	}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	if err := unix.Close(fds[1]); err != unix.EBADF {
		t.Errorf("the descriptor of a fork event is still open: %v", err)
	}
}

// Page operations race with Close: they work or say ErrGone, and no descriptor
// of somebody else is ever used.
func TestCloseRacesWithOperations(t *testing.T) {
	s := newSegment(t, 64)
	copy(s.Pages(testFirst, 64), pattern(1, 64))
	for range 10 {
		a := startApplication(t, s, applicationOptions{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					err := a.Install(testFirst, 64, true)
					if err == ErrGone {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					ok(t, s.Protect(testFirst, 64))
				}
			})
		}
		ok(t, a.Mapping.Close())
		wg.Wait()
		awaitServed(t, a)
		a.stop()
	}
}

// The operations do not allocate.
func TestOperationsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := newSegment(t, 64)
	a := startApplication(t, s, applicationOptions{})
	src := pattern(1, 8)
	for name, f := range map[string]func(){
		"copy, protect, install, punch": func() {
			a.Copy(testFirst, src, false)
			s.Protect(testFirst, 8)
			a.Install(testFirst, 8, true)
			a.Unprotect(testFirst, 8)
			a.Wake(testFirst, 8)
			s.Punch(testFirst, 8)
		},
		"zero": func() {
			a.Zero(testFirst, 4, false)
			a.Zero(testFirst+4, 4, true)
			s.Punch(testFirst, 8)
		},
		"fill and install": func() {
			s.Populate(testFirst, 8)
			copy(s.Pages(testFirst, 8), src)
			a.Install(testFirst, 8, false)
			s.Punch(testFirst, 8)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
