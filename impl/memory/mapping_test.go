//go:build linux

package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// testFirst is in the middle of the global space, where neither Go nor the
// race detector keeps anything.
const testFirst = addr.PageNum(1 << 31)

func newSegment(t testing.TB, pages int64) *Segment {
	t.Helper()
	requireUserfaultfd(t)
	s, err := NewSegment(addr.DefaultBase, testFirst, pages)
	ok(t, err)
	ok(t, s.Open())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pattern is n pages whose words are all different.
func pattern(seed uint64, n int) []byte {
	b := make([]byte, 0, n*addr.PageSize)
	for i := range uint64(n * addr.PageSize / 8) {
		b = binary.NativeEndian.AppendUint64(b, seed<<32+i)
	}
	return b
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func okN(t testing.TB, want int64) func(int64, error) {
	return func(n int64, err error) {
		t.Helper()
		if err != nil || n != want {
			t.Fatalf("%d pages, %v; want %d", n, err, want)
		}
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func TestMissingFaultIsFilledByCopy(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{})
	p := testFirst + 2
	r := a.begin(request{Op: "read", Off: at(s, p), N: addr.PageSize})
	a.expect(p, false, Missing)
	okN(t, 1)(a.Copy(p, pattern(7, 1), false))
	if got := a.wait(r).Data; !bytes.Equal(got, pattern(7, 1)) {
		t.Fatal("the application reads something else than was copied")
	}
	if !bytes.Equal(s.Page(p), pattern(7, 1)) {
		t.Fatal("the daemon reads something else than was copied")
	}
	a.quiet()
}

func TestFaultNamesThreadAndAccess(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	r := a.begin(request{Op: "tid"})
	f := a.expect(testFirst, false, Missing)
	okN(t, 1)(a.Zero(testFirst, 1, false))
	if got := a.wait(r).Val; got != uint64(f.Thread) {
		t.Fatalf("the fault names thread %d, and thread %d faulted", f.Thread, got)
	}
	r = a.begin(request{Op: "store", Off: addr.PageSize + 8, Val: 1})
	a.expect(testFirst+1, true, Missing)
	okN(t, 1)(a.Zero(testFirst+1, 1, true))
	a.wait(r)
}

// A page that one process has brought in is a minor fault for the second, and
// COPY is not the answer to it.
func TestSecondProcessFaultsMinor(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), true))
	a.call(request{Op: "store", Off: 16, Val: 42})
	r := b.begin(request{Op: "load", Off: 16})
	b.expect(testFirst, false, Minor)
	_, err := b.Copy(testFirst, pattern(2, 1), true)
	wantErr(t, err, ErrExists)
	// It was woken, and asks again.
	b.expect(testFirst, false, Minor)
	ok(t, b.Install(testFirst, 1, false))
	if got := b.wait(r).Val; got != 42 {
		t.Fatalf("load %d, want 42", got)
	}
	a.quiet()
}

func TestReadGrantKeepsPageProtected(t *testing.T) {
	for _, how := range []string{"copy", "zero", "install"} {
		t.Run(how, func(t *testing.T) {
			s := newSegment(t, 1)
			a := startApplication(t, s, applicationOptions{})
			grant(t, s, a.Mapping, how, false)
			before := a.call(request{Op: "load"}).Val
			r := a.begin(request{Op: "store", Val: 99})
			a.expect(testFirst, true, WriteProtect)
			if got := binary.NativeEndian.Uint64(s.Page(testFirst)); got != before {
				t.Fatalf("a store reached a protected page: %d, before %d", got, before)
			}
			ok(t, a.Unprotect(testFirst, 1))
			a.wait(r)
			if got := binary.NativeEndian.Uint64(s.Page(testFirst)); got != 99 {
				t.Fatalf("stored 99, and the page has %d", got)
			}
			a.quiet()
		})
	}
}

func TestWriteGrantNeedsNoSecondFault(t *testing.T) {
	for _, how := range []string{"copy", "zero", "install"} {
		t.Run(how, func(t *testing.T) {
			s := newSegment(t, 1)
			a := startApplication(t, s, applicationOptions{})
			r := a.begin(request{Op: "store", Val: 99})
			a.expect(testFirst, true, Missing)
			grant(t, s, a.Mapping, how, true)
			a.wait(r)
			a.call(request{Op: "store", Off: 8, Val: 98})
			a.quiet()
		})
	}
}

func grant(t *testing.T, s *Segment, m *Mapping, how string, writable bool) {
	t.Helper()
	switch how {
	case "copy":
		okN(t, 1)(m.Copy(testFirst, pattern(3, 1), writable))
	case "zero":
		okN(t, 1)(m.Zero(testFirst, 1, writable))
	case "install":
		copy(s.Page(testFirst), pattern(3, 1))
		ok(t, m.Install(testFirst, 1, writable))
	}
}

// Write protection is per mapping: Segment.Protect reaches all of them.
func TestProtectReachesEveryProcess(t *testing.T) {
	const processes = 3
	s := newSegment(t, 4)
	var apps []*application
	for range processes {
		a := startApplication(t, s, applicationOptions{})
		apps = append(apps, a)
		copy(s.Pages(testFirst, 4), pattern(1, 4))
		ok(t, a.Install(testFirst, 4, true))
		a.call(request{Op: "store", Off: addr.PageSize, Val: 1})
	}
	ok(t, s.Protect(testFirst, 4))
	saved := bytes.Clone(s.Pages(testFirst, 4))
	var replies []<-chan reply
	for i, a := range apps {
		replies = append(replies, a.begin(request{Op: "store", Off: addr.PageSize + 8*int64(i), Val: 100 + uint64(i)}))
		a.expect(testFirst+1, true, WriteProtect)
		// Loads go on.
		a.call(request{Op: "load", Off: addr.PageSize})
	}
	if !bytes.Equal(saved, s.Pages(testFirst, 4)) {
		t.Fatal("a store reached a page after Protect")
	}
	for i, a := range apps {
		ok(t, a.Unprotect(testFirst+1, 1))
		a.wait(replies[i])
		if got := binary.NativeEndian.Uint64(s.Page(testFirst + 1)[8*i:]); got != 100+uint64(i) {
			t.Fatalf("process %d stored, and the page has %d", i, got)
		}
	}
}

// A punch takes the page from every process at once, and the daemon.
func TestPunchReachesEveryProcess(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	apps := []*application{a, b}
	copy(s.Pages(testFirst, 2), pattern(1, 2))
	for _, a := range apps {
		ok(t, a.Install(testFirst, 2, true))
		a.call(request{Op: "load"})
	}
	ok(t, s.Punch(testFirst, 2))
	ra := a.begin(request{Op: "load"})
	a.expect(testFirst, false, Missing)
	rb := b.begin(request{Op: "store", Off: 8, Val: 5})
	b.expect(testFirst, true, Missing)
	okN(t, 1)(a.Copy(testFirst, pattern(9, 1), false))
	if got := a.wait(ra).Val; got != 9<<32 {
		t.Fatalf("load %#x of the page after the punch", got)
	}
	ok(t, b.Install(testFirst, 1, true))
	b.wait(rb)
	if got := a.call(request{Op: "load", Off: 8}).Val; got != 5 {
		t.Fatalf("a store of one process reads %d in the other", got)
	}
	a.quiet()
	b.quiet()
}

// Protection outlives a punch, as a marker in the page table. It ends with a
// grant to write, whose mode is 0.
func TestProtectionOutlivesPunch(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	ok(t, s.Protect(testFirst, 2)) // holes
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), true))
	a.call(request{Op: "store", Val: 1})
	ok(t, s.Protect(testFirst, 1))
	ok(t, s.Punch(testFirst, 1))
	if done, errno := uffdFill(a.uffd, ioctlPoison, addr.DefaultBase.Addr(testFirst), addr.PageSize, 0); errno != unix.EEXIST {
		t.Fatalf("poison of a hole that was protected: %d bytes, errno %d; want EEXIST, for its marker", done, errno)
	}
	okN(t, 1)(a.Zero(testFirst, 1, true))
	a.call(request{Op: "store", Val: 1})
	// And a read grant protects whatever was before.
	okN(t, 1)(a.Copy(testFirst+1, pattern(1, 1), false))
	r := a.begin(request{Op: "store", Off: addr.PageSize, Val: 1})
	a.expect(testFirst+1, true, WriteProtect)
	ok(t, a.Unprotect(testFirst+1, 1))
	a.wait(r)
}

// A page that is protected before it is there faults as what it is, and can be
// granted either way.
func TestFaultOnProtectedHole(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	ok(t, s.Protect(testFirst, 1))
	r := a.begin(request{Op: "load"})
	a.expect(testFirst, false, Missing)
	copy(s.Page(testFirst), pattern(4, 1))
	ok(t, a.Install(testFirst, 1, false))
	if got := a.wait(r).Val; got != 4<<32 {
		t.Fatalf("load %#x", got)
	}
}

func TestInstall(t *testing.T) {
	s := newSegment(t, 16)
	a := startApplication(t, s, applicationOptions{})
	copy(s.Pages(testFirst, 16), pattern(1, 16))
	store := func(p addr.PageNum) <-chan reply {
		return a.begin(request{Op: "store", Off: at(s, p), Val: 1})
	}
	// Pages 3, 4 and 9 are mapped already, read-only.
	for _, p := range []addr.PageNum{3, 4, 9} {
		ok(t, a.Install(testFirst+p, 1, false))
	}
	// A read grant over them maps the rest, and takes nothing away.
	ok(t, a.Unprotect(testFirst+4, 1))
	ok(t, a.Install(testFirst, 16, false))
	for p := range addr.PageNum(16) {
		if got := a.call(request{Op: "load", Off: at(s, testFirst+p)}).Val; got != 1<<32+uint64(p)*512 {
			t.Fatalf("page %d reads %#x", p, got)
		}
	}
	a.wait(store(testFirst + 4))
	r := store(testFirst + 5)
	a.expect(testFirst+5, true, WriteProtect)
	// A write grant over mapped pages lets stores through and wakes.
	ok(t, a.Install(testFirst, 16, true))
	a.wait(r)
	for p := range addr.PageNum(16) {
		a.wait(store(testFirst + p))
	}
	a.quiet()
	// A mixture: present but unmapped, mapped read-only, mapped writable.
	ok(t, s.Punch(testFirst, 16))
	copy(s.Pages(testFirst, 16), pattern(2, 16))
	ok(t, a.Install(testFirst+1, 2, false))
	ok(t, a.Install(testFirst+7, 1, true))
	ok(t, a.Install(testFirst+15, 1, false))
	ok(t, a.Install(testFirst, 16, true))
	for p := range addr.PageNum(16) {
		a.wait(store(testFirst + p))
	}
	a.quiet()
	// Nothing to do.
	ok(t, a.Install(testFirst, 0, true))
}

// An Install that meets a page that is mapped wakes who waits for it: the fault
// was read before another thread's was answered.
func TestInstallWakesWaiterOfMappedPage(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	for _, writable := range []bool{false, true} {
		copy(s.Pages(testFirst, 2), pattern(1, 2))
		r := a.begin(request{Op: "load"})
		a.expect(testFirst, false, Minor)
		// Mapped without waking: as if the fault came right after the wake.
		mapped, errno := uffdFill(a.uffd, ioctlContinue, addr.DefaultBase.Addr(testFirst), addr.PageSize, modeContinueWP|modeDontWake)
		if mapped != addr.PageSize || errno != 0 {
			t.Fatal(mapped, errno)
		}
		ok(t, a.Install(testFirst, 2, writable))
		a.wait(r)
		ok(t, s.Punch(testFirst, 2))
	}
}

func TestInstallOfHole(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{})
	copy(s.Pages(testFirst, 2), pattern(1, 2))
	err := a.Install(testFirst, 4, true)
	wantErr(t, err, ErrHole)
	var pe *PageError
	if !errors.As(err, &pe) || pe.Page != testFirst+2 {
		t.Fatalf("error %v, want one that names page %d", err, testFirst+2)
	}
	a.call(request{Op: "store", Off: addr.PageSize})
	wantErr(t, a.Install(testFirst+2, 2, false), ErrHole)
	a.quiet()
}

// A fill that meets a present page stops there, says how far it came, and
// wakes.
func TestShortFills(t *testing.T) {
	for _, how := range []string{"copy", "zero", "zero writable"} {
		t.Run(how, func(t *testing.T) {
			s := newSegment(t, 8)
			a := startApplication(t, s, applicationOptions{})
			okN(t, 1)(a.Copy(testFirst+5, pattern(9, 1), false))
			r := a.begin(request{Op: "store", Off: at(s, testFirst+5), Val: 1})
			a.expect(testFirst+5, true, WriteProtect)
			var (
				n   int64
				err error
			)
			switch how {
			case "copy":
				n, err = a.Copy(testFirst, pattern(1, 8), true)
			case "zero":
				n, err = a.Zero(testFirst, 8, false)
			case "zero writable":
				n, err = a.Zero(testFirst, 8, true)
			}
			wantErr(t, err, ErrExists)
			if n != 5 {
				t.Fatalf("%d pages before the one that was there, want 5", n)
			}
			// Woken, the store meets the protection again.
			a.expect(testFirst+5, true, WriteProtect)
			if got := a.call(request{Op: "load", Off: at(s, testFirst+5)}).Val; got != 9<<32 {
				t.Fatalf("the page that was there reads %#x", got)
			}
			ok(t, a.Unprotect(testFirst+5, 1))
			a.wait(r)
		})
	}
}

func TestLargeFills(t *testing.T) {
	const pages = 1000
	s := newSegment(t, 2*pages)
	a := startApplication(t, s, applicationOptions{})
	// The source need not be aligned.
	src := append([]byte{0}, pattern(1, pages)...)[1:]
	okN(t, pages)(a.Copy(testFirst, src, false))
	okN(t, pages)(a.Zero(testFirst+pages, pages, false))
	if !bytes.Equal(s.Pages(testFirst, pages), src) {
		t.Fatal("the copy differs")
	}
	for _, p := range []addr.PageNum{0, 255, 256, 999} {
		if got := a.call(request{Op: "load", Off: at(s, testFirst+p)}).Val; got != 1<<32+uint64(p)*512 {
			t.Fatalf("page %d reads %#x", p, got)
		}
		if got := a.call(request{Op: "load", Off: at(s, testFirst+pages+p)}).Val; got != 0 {
			t.Fatalf("page %d reads %#x", p, got)
		}
	}
	a.quiet()
}

// Wake without resolving means: ask again.
func TestWakeAsksAgain(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	r := a.begin(request{Op: "load"})
	for range 3 {
		a.expect(testFirst, false, Missing)
		ok(t, a.Wake(testFirst, 1))
	}
	a.expect(testFirst, false, Missing)
	okN(t, 1)(a.Zero(testFirst, 1, false))
	a.wait(r)
}

// A half-filled page is seen by nobody: who comes while it is being filled
// gets a minor fault and waits for Install.
func TestFillThroughDaemonIsNotTorn(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	first := a.begin(request{Op: "read", N: addr.PageSize})
	a.expect(testFirst, false, Missing)
	want := pattern(6, 1)
	page := s.Page(testFirst)
	copy(page[:addr.PageSize/2], want)
	second := a.begin(request{Op: "read", N: addr.PageSize})
	a.expect(testFirst, false, Minor)
	third := b.begin(request{Op: "read", N: addr.PageSize})
	b.expect(testFirst, false, Minor)
	copy(page[addr.PageSize/2:], want[addr.PageSize/2:])
	ok(t, a.Install(testFirst, 1, false))
	ok(t, b.Install(testFirst, 1, false))
	for _, r := range []reply{a.wait(first), a.wait(second), b.wait(third)} {
		if !bytes.Equal(r.Data, want) {
			t.Fatal("a reader saw a page that was not whole")
		}
	}
}

// What the contract of Page warns of: the daemon's mapping is not registered.
func TestDaemonTouchingHoleMakesZeros(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	if s.Page(testFirst)[5] != 0 {
		t.Fatal("a hole is not zero")
	}
	r := a.begin(request{Op: "load"})
	a.expect(testFirst, false, Minor)
	ok(t, a.Install(testFirst, 1, false))
	a.wait(r)
}

// A child of fork has no mapping: it dies instead of putting zeros into a hole.
func TestForkedChildDoesNotPoisonSegment(t *testing.T) {
	s := newSegment(t, 2)
	a := startApplication(t, s, applicationOptions{})
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), true))
	for _, off := range []int64{0, addr.PageSize} {
		status := syscall.WaitStatus(a.call(request{Op: "fork", Off: off}).Val)
		if !status.Signaled() || status.Signal() != syscall.SIGSEGV {
			t.Fatalf("the child's touch at %d ended with %#x, want SIGSEGV", off, status)
		}
	}
	r := a.begin(request{Op: "load", Off: addr.PageSize})
	a.expect(testFirst+1, false, Missing)
	okN(t, 1)(a.Copy(testFirst+1, pattern(2, 1), true))
	if got := a.wait(r).Val; got != 2<<32 {
		t.Fatalf("load %#x", got)
	}
}

// System calls fault like the program does.
func TestSystemCallsFault(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{})
	data := pattern(1, 1)[:1000]
	r := a.begin(request{Op: "sysread", Data: data})
	a.expect(testFirst, true, Missing)
	okN(t, 1)(a.Zero(testFirst, 1, true))
	if got := a.wait(r).Val; got != 1000 {
		t.Fatalf("read(2) of %d bytes, want 1000", got)
	}
	if !bytes.Equal(s.Page(testFirst)[:1000], data) {
		t.Fatal("read(2) stored something else")
	}
	r = a.begin(request{Op: "syswrite", Off: 2 * addr.PageSize, N: 1000})
	a.expect(testFirst+2, false, Missing)
	okN(t, 1)(a.Copy(testFirst+2, pattern(5, 1), false))
	if got := a.wait(r); !bytes.Equal(got.Data, pattern(5, 1)[:1000]) {
		t.Fatalf("write(2) of %d bytes sent something else", got.Val)
	}
	// And protection holds for them.
	r = a.begin(request{Op: "sysread", Off: 2 * addr.PageSize, Data: data})
	a.expect(testFirst+2, true, WriteProtect)
	ok(t, a.Unprotect(testFirst+2, 1))
	a.wait(r)
}

// Why a full userfaultfd is needed.
func TestUserModeOnlyBreaksSystemCalls(t *testing.T) {
	const userModeOnly = 1 // UFFD_USER_MODE_ONLY, 5.11
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{flags: userModeOnly})
	r := a.outcome(a.begin(request{Op: "sysread", Data: []byte{1}}))
	if !strings.Contains(r.Err, unix.EFAULT.Error()) {
		t.Fatalf("read(2) into a missing page: %q, want EFAULT", r.Err)
	}
}

// TestPoisonGivesNoRight has a store wait for a page that is still there when it
// is poisoned: the store faults again, it is not let through.
func TestPoisonGivesNoRight(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), false))
	store := a.begin(request{Op: "store", Val: 99})
	a.expect(testFirst, true, WriteProtect)
	wantErr(t, a.Poison(testFirst, 1), ErrExists)
	a.expect(testFirst, true, WriteProtect)
	if got := binary.NativeEndian.Uint64(s.Page(testFirst)); got != 1<<32 {
		t.Fatalf("the page has %#x", got)
	}
	ok(t, s.Poison(testFirst, 1))
	if r := a.outcome(store); !strings.HasPrefix(r.Err, "signal") {
		t.Fatalf("a store that waits for a poisoned page: %+v", r)
	}
}

func TestPoison(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{})
	b := startApplication(t, s, applicationOptions{})
	copy(s.Page(testFirst+1), pattern(1, 1))
	ok(t, a.Install(testFirst+1, 1, true))
	ok(t, s.Protect(testFirst+2, 1)) // a marker where nothing is
	waiting := b.begin(request{Op: "load"})
	b.expect(testFirst, false, Missing)
	ok(t, s.Poison(testFirst, 4))
	// Who waits gets the signal, not a wait without end.
	if r := b.outcome(waiting); !strings.HasPrefix(r.Err, "signal") {
		t.Fatalf("a load that waits for a poisoned page: %+v", r)
	}
	for _, app := range []*application{a, b} {
		for p := range int64(4) {
			for _, op := range []string{"load", "store"} {
				if r := app.outcome(app.begin(request{Op: op, Off: p * addr.PageSize})); !strings.HasPrefix(r.Err, "signal") {
					t.Fatalf("%s of poisoned page %d: %+v", op, p, r)
				}
			}
		}
		r := app.outcome(app.begin(request{Op: "populate", N: addr.PageSize}))
		if !strings.Contains(r.Err, "lost") {
			t.Fatalf("populate of a poisoned page: %q", r.Err)
		}
	}
	// Populate names the page.
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), false))
	if r := a.outcome(a.begin(request{Op: "populate", N: 4 * addr.PageSize})); !strings.Contains(r.Err, (testFirst + 1).String()) {
		t.Fatalf("populate of one page and a poisoned one: %q", r.Err)
	}
	ok(t, s.Poison(testFirst, 1))
	// A process that attaches later has to be told.
	c := startApplication(t, s, applicationOptions{})
	r := c.begin(request{Op: "load"})
	c.expect(testFirst, false, Missing)
	ok(t, c.Poison(testFirst, 1))
	if r := c.outcome(r); !strings.HasPrefix(r.Err, "signal") {
		t.Fatalf("load of a poisoned page: %+v", r)
	}
	// Poisoned twice is poisoned.
	ok(t, s.Poison(testFirst, 4))
	// It outlives a punch: no fault asks for the page.
	ok(t, s.Punch(testFirst, 4))
	if r := a.outcome(a.begin(request{Op: "load"})); !strings.HasPrefix(r.Err, "signal") {
		t.Fatalf("load of a punched poisoned page: %+v", r)
	}
	// It ends where the page is filled or installed.
	okN(t, 4)(a.Copy(testFirst, pattern(8, 4), false))
	ok(t, b.Install(testFirst, 4, true))
	if got := b.call(request{Op: "load"}).Val; got != 8<<32 {
		t.Fatalf("load %#x of a restored page", got)
	}
	// Pages that are present are not poisoned by halves.
	wantErr(t, b.Poison(testFirst, 4), ErrExists)
	if got := a.call(request{Op: "load"}).Val; got != 8<<32 {
		t.Fatalf("load %#x of a restored page", got)
	}
}

func TestPopulate(t *testing.T) {
	const pages = 64
	s := newSegment(t, pages)
	a := startApplication(t, s, applicationOptions{handle: func(m *Mapping, faults []Fault) {
		for _, f := range faults {
			switch f.Kind {
			case Missing:
				m.Copy(f.Page, pattern(uint64(f.Page), 1), f.Write)
			default:
				m.Install(f.Page, 1, f.Write)
			}
		}
	}})
	a.call(request{Op: "populate", Off: 5, N: pages*addr.PageSize - 5})
	for p := range addr.PageNum(pages) {
		if got := binary.NativeEndian.Uint64(s.Page(testFirst + p)); got != uint64(testFirst+p)<<32 {
			t.Fatalf("page %d has %#x", p, got)
		}
	}
	a.call(request{Op: "populate", N: pages * addr.PageSize, Val: 1})
	// All of it is accessible now, without anybody's help.
	a.Detach()
	ok(t, <-a.served)
	for p := range int64(pages) {
		a.call(request{Op: "store", Off: p * addr.PageSize})
	}
	r := a.outcome(a.begin(request{Op: "populate", Off: -1, N: 1}))
	if r.Err == "" {
		t.Fatal("populate outside the segment")
	}
}

func TestPopulateWhereUnmapped(t *testing.T) {
	s := newSegment(t, 4)
	a := startApplication(t, s, applicationOptions{})
	a.call(request{Op: "unmap", Off: addr.PageSize, N: addr.PageSize})
	r := a.outcome(a.begin(request{Op: "populate", Off: addr.PageSize, N: addr.PageSize}))
	if !strings.Contains(r.Err, "cannot be accessed") {
		t.Fatalf("populate of an unmapped page: %q", r.Err)
	}
}

// The application unmaps a part, or maps something else there: what is left is
// still protected, and poisoned.
func TestUnmappedPagesArePassedOver(t *testing.T) {
	for _, how := range []string{"unmap", "replace"} {
		t.Run(how, func(t *testing.T) {
			s := newSegment(t, 9)
			a := startApplication(t, s, applicationOptions{})
			copy(s.Pages(testFirst, 9), pattern(1, 9))
			ok(t, a.Install(testFirst, 9, true))
			a.call(request{Op: how, Off: 3 * addr.PageSize, N: 2 * addr.PageSize})
			ok(t, s.Protect(testFirst, 9))
			for _, p := range []addr.PageNum{0, 2, 5, 8} {
				r := a.begin(request{Op: "store", Off: at(s, testFirst+p)})
				a.expect(testFirst+p, true, WriteProtect)
				ok(t, a.Unprotect(testFirst+p, 1))
				a.wait(r)
			}
			// Fills stop there, and Install passes over it.
			ok(t, s.Punch(testFirst, 9))
			n, err := a.Copy(testFirst, pattern(2, 9), true)
			wantErr(t, err, ErrUnmapped)
			okN(t, 3)(n, nil)
			n, err = a.Zero(testFirst+3, 1, true)
			wantErr(t, err, ErrUnmapped)
			okN(t, 0)(n, nil)
			copy(s.Pages(testFirst, 9), pattern(3, 9))
			r := a.begin(request{Op: "store", Off: at(s, testFirst+7)})
			a.expect(testFirst+7, true, Minor)
			ok(t, a.Install(testFirst, 9, true))
			a.wait(r)
			for _, p := range []addr.PageNum{0, 2, 5, 8} {
				a.call(request{Op: "store", Off: at(s, testFirst+p)})
			}
			ok(t, a.Protect(testFirst, 9))
			ok(t, a.Install(testFirst, 9, true))
			for _, p := range []addr.PageNum{0, 2, 5, 8} {
				a.call(request{Op: "store", Off: at(s, testFirst+p)})
			}
			a.quiet()
			ok(t, s.Poison(testFirst, 9))
			for _, p := range []addr.PageNum{0, 2, 5, 8} {
				if r := a.outcome(a.begin(request{Op: "load", Off: at(s, testFirst+p)})); !strings.HasPrefix(r.Err, "signal") {
					t.Fatalf("load of poisoned page %d: %+v", p, r)
				}
			}
		})
	}
}

func TestManyThreadsOnOnePage(t *testing.T) {
	const threads = 40
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{maxprocs: threads + 8})
	r := a.begin(request{Op: "threads", N: threads})
	seen := map[int32]bool{}
	for len(seen) < threads {
		seen[a.expect(testFirst, false, Missing).Thread] = true
	}
	okN(t, 1)(a.Copy(testFirst, pattern(1, 1), false))
	if got := a.wait(r).Val; got != threads<<32 {
		t.Fatalf("sum %#x, want %#x", got, threads<<32)
	}
}

// The address space for real: 2^32 pages, the first and the last.
func TestWholeSpace(t *testing.T) {
	requireUserfaultfd(t)
	s, err := NewSegment(addr.DefaultBase, 0, addr.Pages)
	ok(t, err)
	ok(t, s.Open())
	defer func() { ok(t, s.Close()) }()
	// Go 1.26 places its heap at random below 2^46 on amd64: where that reaches
	// into the space, another process is luckier.
	var a *application
	for range 20 {
		if a, err = launch(t, s, applicationOptions{}); err == nil {
			break
		}
	}
	if err != nil && raceEnabled {
		t.Skip("the race detector's shadow memory is within the space")
	}
	ok(t, err)
	last := addr.PageNum(addr.Pages - 1)
	for _, p := range []addr.PageNum{0, 1 << 31, last} {
		r := a.begin(request{Op: "load", Off: at(s, p)})
		a.expect(p, false, Missing)
		okN(t, 1)(a.Copy(p, pattern(uint64(p), 1), false))
		if got := a.wait(r).Val; got != uint64(p)<<32 {
			t.Fatalf("%v reads %#x", p, got)
		}
		r = a.begin(request{Op: "store", Off: at(s, p), Val: 77})
		a.expect(p, true, WriteProtect)
		ok(t, a.Install(p, 1, true))
		a.wait(r)
		ok(t, s.Protect(p, 1))
		if got := binary.NativeEndian.Uint64(s.Page(p)); got != 77 {
			t.Fatalf("%v has %d", p, got)
		}
	}
	ok(t, s.Punch(0, addr.Pages))
	r := a.begin(request{Op: "load", Off: at(s, last)})
	a.expect(last, false, Missing)
	ok(t, s.Poison(last, 1))
	if r := a.outcome(r); !strings.HasPrefix(r.Err, "signal") {
		t.Fatalf("load of a poisoned page: %+v", r)
	}
}
