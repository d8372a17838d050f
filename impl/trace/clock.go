package trace

import (
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

// An instant on the machine's clock and on this process's.
type instant struct {
	mono int64
	at   time.Time
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
			best, o = took, instant{ts.Nano(), before.Add(took / 2)}
		}
	}
	return o
})
