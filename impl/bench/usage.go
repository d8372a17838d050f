package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is what processes have taken of the machine. It tells more than a
// latency where the machine is busy with something else.
type usage struct {
	cpu      uint64 // nanoseconds on a processor
	switches uint64 // times a thread went to sleep or was put aside
}

func (u *usage) add(after, before usage) {
	u.cpu += after.cpu - before.cpu
	u.switches += after.switches - before.switches
}

// usageOf is what the threads of processes have used until now. A thread that
// ends between two calls is lost; a daemon's stay.
func usageOf(pids []int) usage {
	var u usage
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			if text, err := os.ReadFile(task + "/schedstat"); err == nil {
				u.cpu += firstNumber(string(text))
			}
			text, err := os.ReadFile(task + "/status")
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				if name, value, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(name, "voluntary_ctxt_switches") {
					u.switches += firstNumber(value)
				}
			}
		}
	}
	return u
}

// firstNumber is the number at the beginning of a text, or 0.
func firstNumber(text string) uint64 {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[0], 10, 64)
	return n
}

// metered does the timed part of a block of the cluster.
func (b *bed) metered(work func() error) error {
	pids := make([]int, 0, len(b.daemons))
	for _, cmd := range b.daemons {
		pids = append(pids, cmd.Process.Pid)
	}
	return meter(&b.used, pids, work)
}

// floorMetered does the timed part of a block of the floor.
func (b *bed) floorMetered(work func() error) error {
	return meter(&b.used, []int{b.near.cmd.Process.Pid, b.far.cmd.Process.Pid}, work)
}

func meter(to *usage, pids []int, work func() error) error {
	before := usageOf(pids)
	err := work()
	to.add(usageOf(pids), before)
	return err
}
