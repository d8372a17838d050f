package limits

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The Go runtime maps memory for its heap and for the stacks of threads, and ends a
// process that is refused it. So who maps a file or memory for pages asks first, and
// so does who takes a thread.
const (
	// spareSpace of address space is kept from files of segments, half of it from
	// threads, and a quarter from pages.
	spareSpace = 1 << 30
	// spareMappings is how many of vm.max_map_count are kept from files, and half of
	// it from threads.
	spareMappings = 8192
)

// Use is what somebody wants address space for.
type Use int

// The uses, the first to be refused first.
const (
	ForFile Use = iota
	ForThread
	ForPages
)

// Mapped counts the mappings of files that this process has: whoever makes one adds
// it, and takes it away again.
var Mapped atomic.Int64

// Space is nil where this process has address space for a mapping of size bytes and
// for what the Go runtime cannot do without, else the limit that would be met.
func Space(size int64, use Use) error {
	p := process{files: os.DirFS("/"), space: get(unix.RLIMIT_AS), mapped: Mapped.Load()}
	return p.room(uint64(size), use)
}

// process is where the space that one has is read.
type process struct {
	files  fs.FS
	space  uint64 // RLIMIT_AS
	mapped int64
}

func (p process) room(size uint64, use Use) error {
	if p.space != unix.RLIM_INFINITY {
		spare := min(spareSpace, p.space/4) >> use
		if used := p.used(); used+size+spare > p.space || size > p.space {
			return &Shortage{"address space", fmt.Sprintf("RLIMIT_AS is %d bytes, %d of them kept for threads and heap", p.space, spare),
				"raise it (ulimit -v, or LimitAS= in the unit), or remove segments", unix.ENOMEM}
		}
	}
	if use == ForPages {
		return nil // neighbouring memory is one mapping
	}
	m := machine{files: p.files}
	if most, ok := m.number("proc/sys/vm/max_map_count"); ok {
		spare := min(spareMappings, most/4) >> use
		// A thread has two: its stack, and a guard.
		if p.mapped+2*p.threads()+spare >= most {
			return &Shortage{"mapping", fmt.Sprintf("vm.max_map_count is %d, %d of them kept for threads and heap", most, spare),
				"raise it (sysctl vm.max_map_count), or remove segments", unix.ENOMEM}
		}
	}
	return nil
}

// used is the address space that the process has.
func (p process) used() uint64 {
	pages, _, _ := strings.Cut(machine{files: p.files}.text("proc/self/statm"), " ")
	n, _ := strconv.ParseUint(pages, 10, 64)
	return n * uint64(os.Getpagesize())
}

// threads is how many the process has: the 18th field behind its name, which is in
// parentheses.
func (p process) threads() int64 {
	text := machine{files: p.files}.text("proc/self/stat")
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 18 {
		return 0
	}
	n, _ := strconv.ParseInt(f[17], 10, 64)
	return n
}
