// Package clock reads the monotonic clock of the machine, and compares it with
// that of another one: what a time means to others is a [Reading].
package clock

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the machine's monotonic clock in nanoseconds. All processes of one
// machine read the same clock, to within a microsecond; those of different
// machines do not.
func Now() int64 {
	o := origin()
	return o.mono + int64(time.Since(o.at))
}

// Reading says what the times of a process are.
type Reading struct {
	// Name is the clock that they are read from, see [Name].
	Name string `json:"clock"`
	// Reference is the clock that Offset leads to: at the time t of Name it
	// shows t + Offset, give or take Bound. Times with one reference can be put
	// together.
	Reference string `json:"clock_reference"`
	Offset    int64  `json:"clock_offset_ns"`
	Bound     int64  `json:"clock_bound_ns"`
}

// Local is the clock of Now, which is its own reference. Its bound is how
// far Now can be from the machine's clock, as measured when it was first asked
// for; all processes of one machine are compared by it.
func Local() Reading {
	name := Name()
	return Reading{Name: name, Reference: name, Bound: int64(origin().within)}
}

// Compare finds the offset that leads from Now to a clock that can be asked
// what it shows, as Cristian (1989) does: the answer was given between the
// question and its arrival, so the offset is known to half of that time. Of
// several rounds the quickest counts.
func Compare(rounds int, ask func() (now int64, err error)) (offset, bound int64, err error) {
	bound = math.MaxInt64
	for range rounds {
		asked := Now()
		remote, err := ask()
		if err != nil {
			return 0, 0, err
		}
		half := (Now() - asked + 1) / 2
		if half < bound {
			offset, bound = remote-(asked+half), half
		}
	}
	return offset, bound, nil
}

// Cover is the reading with an offset and a bound that allow for its own and for
// another one: the offset of two clocks that run at nearly the same rate goes
// from one to the other.
func (r Reading) Cover(offset, bound int64) Reading {
	low := min(r.Offset-r.Bound, offset-bound)
	high := max(r.Offset+r.Bound, offset+bound)
	r.Offset = low + (high-low)/2
	r.Bound = max(high-r.Offset, r.Offset-low)
	return r
}

// Name names the monotonic clock that this process reads: that of one boot
// of one machine, and there of one time namespace. Network namespaces and most
// containers share it.
var Name = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = []byte("unknown-" + strconv.FormatUint(rand.Uint64(), 16))
	}
	name := strings.TrimSpace(string(boot))
	var stat unix.Stat_t
	if unix.Stat("/proc/self/ns/time", &stat) == nil {
		name += "/" + strconv.FormatUint(stat.Ino, 10)
	}
	return name
})

// An instant on the machine's clock and on this process's.
type instant struct {
	mono   int64
	at     time.Time
	within time.Duration // the two readings were taken
}

// origin ties Go's reading of the monotonic clock, which has an unknown start
// and needs no system call, to the machine's. Of several readings it keeps the
// one between whose two halves the least time passed.
var origin = sync.OnceValue(func() instant {
	best, o := time.Duration(1<<62), instant{}
	for range 16 {
		var ts unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(err) // the clock exists on every Linux
		}
		if took := time.Since(before); took < best {
			best, o = took, instant{ts.Nano(), before.Add(took / 2), took}
		}
	}
	return o
})
