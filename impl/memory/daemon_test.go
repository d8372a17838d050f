//go:build linux

package memory

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// The benchmarks measure what a faulting thread sees. So here the test process
// is the application, and the second process is the daemon.

// benchPages is how many pages a benchmark uses before it starts again.
const benchPages = 4096

// daemonMain is the daemon process: it grants every access at once, and takes
// pages back on request.
func daemonMain() {
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "daemon:", err)
			os.Exit(1)
		}
	}
	pages, _ := strconv.ParseInt(os.Getenv("MOME_TEST_PAGES"), 10, 64)
	s, err := NewSegment(addr.DefaultBase, testFirst, pages)
	fatal(err)
	fatal(s.Open())
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	fatal(err)
	f.Close()
	control := c.(*net.UnixConn)
	fatal(sendFD(control, s.FD()))
	uffd, err := receiveFD(control)
	fatal(err)
	m, err := s.Attach(uffd, "benchmark")
	fatal(err)
	src := pattern(1, 1)
	go func() {
		fatal(m.Serve(func(faults []Fault) {
			for _, f := range faults {
				switch f.Kind {
				case Missing:
					m.Copy(f.Page, src, true)
				case Minor:
					m.Install(f.Page, 1, true)
				case WriteProtect:
					m.Unprotect(f.Page, 1)
				}
			}
		}))
	}()
	enc, dec := json.NewEncoder(control), json.NewDecoder(control)
	for {
		var r request
		if dec.Decode(&r) != nil {
			return
		}
		switch r.Op {
		case "punch":
			err = s.Punch(testFirst, pages)
		case "present":
			// In the segment, and not in the application's mapping.
			if err = s.Punch(testFirst, pages); err == nil {
				err = s.Populate(testFirst, pages)
			}
		case "protected":
			if err = s.Populate(testFirst, pages); err == nil {
				err = m.Install(testFirst, pages, false)
			}
			if err == nil {
				err = s.Protect(testFirst, pages)
			}
		}
		fatal(err)
		fatal(enc.Encode(reply{}))
	}
}

type daemon struct {
	b       *testing.B
	view    *View
	control *net.UnixConn
	enc     *json.Encoder
	dec     *json.Decoder
}

func startDaemon(b *testing.B) *daemon {
	b.Helper()
	requireUserfaultfd(b)
	control, childControl := socketPair(b)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=daemon", "MOME_TEST_PAGES="+strconv.Itoa(benchPages))
	cmd.ExtraFiles = []*os.File{childControl}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	childControl.Close()
	c, err := net.FileConn(control)
	control.Close()
	if err != nil {
		b.Fatal(err)
	}
	d := &daemon{b: b, control: c.(*net.UnixConn), enc: json.NewEncoder(c), dec: json.NewDecoder(c)}
	memfd, err := receiveFD(d.control)
	if err != nil {
		b.Fatal(err)
	}
	d.view, err = Map(memfd, addr.DefaultBase, testFirst, benchPages)
	unix.Close(memfd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		d.view.Close()
		d.control.Close()
		cmd.Wait()
	})
	if err := sendFD(d.control, d.view.Uffd()); err != nil {
		b.Fatal(err)
	}
	return d
}

func (d *daemon) prepare(op string) {
	if err := d.enc.Encode(request{Op: op}); err != nil {
		d.b.Fatal(err)
	}
	var r reply
	if err := d.dec.Decode(&r); err != nil {
		d.b.Fatal(err)
	}
}

// BenchmarkFault is the whole round trip of one fault, as the faulting thread
// sees it: fault, message, read, one ioctl, wake-up.
func BenchmarkFault(b *testing.B) {
	for _, c := range []struct{ name, state string }{
		{"missing-copy", "punch"},
		{"minor-continue", "present"},
		{"protected-unprotect", "protected"},
	} {
		b.Run("kind="+c.name, func(b *testing.B) {
			d := startDaemon(b)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			mem := d.view.Bytes()
			var (
				next    = benchPages
				samples = make([]time.Duration, 0, 1<<20)
			)
			b.SetBytes(addr.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				if next == benchPages {
					b.StopTimer()
					d.prepare(c.state)
					next = 0
					b.StartTimer()
				}
				start := time.Now()
				plainStore((*uint64)(unsafe.Pointer(&mem[next<<addr.PageShift])), 1)
				if len(samples) < cap(samples) {
					samples = append(samples, time.Since(start))
				}
				next++
			}
			b.ReportMetric(float64(percentile(samples, 50).Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(percentile(samples, 99).Nanoseconds()), "p99-ns")
		})
	}
}

// BenchmarkIoctl is what passing through the Go scheduler costs, on the
// cheapest of the ioctls.
func BenchmarkIoctl(b *testing.B) {
	requireUserfaultfd(b)
	s, err := NewSegment(addr.DefaultBase, testFirst, 1)
	ok(b, err)
	ok(b, s.Open())
	defer s.Close()
	v, err := Map(s.FD(), addr.DefaultBase, testFirst, 1)
	ok(b, err)
	defer v.Close()
	arg := rangeArg{uint64(addr.DefaultBase.Addr(testFirst)), addr.PageSize}
	b.Run("call=syscall", func(b *testing.B) {
		for b.Loop() {
			ioctl(v.Uffd(), ioctlWake, unsafe.Pointer(&arg))
		}
	})
	b.Run("call=raw", func(b *testing.B) {
		for b.Loop() {
			unix.RawSyscall(unix.SYS_IOCTL, uintptr(v.Uffd()), ioctlWake, uintptr(unsafe.Pointer(&arg)))
		}
	})
}

// BenchmarkSegment is the operations without anybody who faults, in bulk.
func BenchmarkSegment(b *testing.B) {
	requireUserfaultfd(b)
	for _, n := range []int64{1, 64, 1024} {
		s, err := NewSegment(addr.DefaultBase, testFirst, n)
		ok(b, err)
		ok(b, s.Open())
		v, err := Map(s.FD(), addr.DefaultBase, testFirst, n)
		ok(b, err)
		uffd, err := unix.FcntlInt(uintptr(v.Uffd()), unix.F_DUPFD_CLOEXEC, 0)
		ok(b, err)
		m, err := s.Attach(uffd, "benchmark")
		ok(b, err)
		src := pattern(1, int(n))
		for _, c := range []struct {
			name          string
			before, timed func()
		}{
			{"copy", func() { s.Punch(testFirst, n) }, func() { okN(b, n)(m.Copy(testFirst, src, true)) }},
			{"fill-install", func() { s.Punch(testFirst, n) }, func() {
				copy(s.Pages(testFirst, n), src)
				ok(b, m.Install(testFirst, n, true))
			}},
			{"populate-fill-install", func() { s.Punch(testFirst, n) }, func() {
				ok(b, s.Populate(testFirst, n))
				copy(s.Pages(testFirst, n), src)
				ok(b, m.Install(testFirst, n, true))
			}},
			{"install", func() {
				s.Punch(testFirst, n)
				s.Populate(testFirst, n)
			}, func() { ok(b, m.Install(testFirst, n, true)) }},
			{"install-mapped", func() {
				s.Populate(testFirst, n)
				m.Install(testFirst, n, false)
			}, func() { ok(b, m.Install(testFirst, n, true)) }},
			{"protect", func() {
				s.Populate(testFirst, n)
				m.Install(testFirst, n, true)
			}, func() { ok(b, s.Protect(testFirst, n)) }},
			{"punch", func() {
				s.Populate(testFirst, n)
				m.Install(testFirst, n, true)
			}, func() { ok(b, s.Punch(testFirst, n)) }},
		} {
			b.Run("op="+c.name+"/pages="+strconv.FormatInt(n, 10), func(b *testing.B) {
				b.SetBytes(n << addr.PageShift)
				b.ReportAllocs()
				var total time.Duration
				for b.Loop() {
					c.before()
					start := time.Now()
					c.timed()
					total += time.Since(start)
				}
				b.ReportMetric(float64(total.Nanoseconds())/float64(b.N)/float64(n), "ns/page")
			})
		}
		ok(b, m.Close())
		ok(b, v.Close())
		ok(b, s.Close())
	}
}
