package team

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// EnvLocal names the variable that says how many of the program's processes run
// on this machine. "momenode cluster" sets it; without it one does.
const EnvLocal = "MOME_LOCAL"

// Memory is what a program needs of it, in bytes.
type Memory struct {
	Segment int64 // of which every rank has its part at its node, and rank 0 all
	Whole   int64 // the part of the segment that every rank reads as a whole
	Private int64 // at each rank
	Serial  int64 // at rank 0, for the program in one process
	// Smaller names the flags that make it less.
	Smaller string
}

// needed is how much of it this machine has to have: a rank of so many, and all
// that run beside it here.
func (m Memory) needed(rank, ranks, here int) int64 {
	if ranks == 0 {
		return m.Serial
	}
	each := min(m.Segment, m.Segment/int64(ranks)+m.Whole)
	n := int64(here) * (each + m.Private)
	// Where all are, each of them comes to the same conclusion.
	if rank == 0 || here >= ranks {
		n += m.Segment - each + m.Serial
	}
	return n
}

// CheckSerial says whether there is enough for the program in one process.
func (m Memory) CheckSerial() error { return m.check(m.needed(0, 0, 1)) }

// check compares what is needed with what this machine can give before it has
// to end processes. Where it does not say, all is enough.
func (m Memory) check(needed int64) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil
	}
	if have, err := available(string(text)); err == nil && needed > have {
		return fmt.Errorf("%s of memory are needed on this machine, and %s are available (MemAvailable in /proc/meminfo): make %s smaller",
			humanize.IBytes(uint64(needed)), humanize.IBytes(uint64(have)), m.Smaller)
	}
	return nil
}

// available is the MemAvailable of a /proc/meminfo, in bytes.
func available(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no MemAvailable")
}

// here is how many of the ranks run on this machine.
func here(ranks int) int {
	n, err := strconv.Atoi(os.Getenv(EnvLocal))
	if err != nil || n < 1 {
		return 1
	}
	return min(n, ranks)
}
