package limits

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// Waits is how long each thread of this process, by its number, has been ready to
// run and had no processor since it began.
type Waits map[string]time.Duration

// ReadWaits reads them. It is empty where the kernel does not count that
// (CONFIG_SCHED_INFO).
func ReadWaits() Waits { return machine{files: os.DirFS("/")}.waits() }

// Since is how long the threads of this process waited since an earlier reading,
// all together: two threads that wait at a time wait twice as long. What a thread
// waited that has ended by now is not known.
func (w Waits) Since(before Waits) (waited time.Duration) {
	for thread, wait := range w {
		waited += max(wait-before[thread], 0) // one may have the number of another
	}
	return waited
}

// waits reads the second number of each schedstat: "running waiting times", in ns.
func (m machine) waits() Waits {
	w := make(Waits)
	names, _ := fs.Glob(m.files, "proc/self/task/*/schedstat")
	for _, name := range names {
		f := strings.Fields(m.text(name)) // nothing: it has ended
		if len(f) != 3 {
			continue
		}
		if ns, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			w[path.Base(path.Dir(name))] = time.Duration(ns)
		}
	}
	return w
}
