package e2e

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/wire"
)

func init() { programs["user"] = user }

// user does what it is told, a line at a time, with the segments that are named
// in it, and answers "ok", "no room" with the error, or "failed" with another one.
func user(p *program) {
	segments := make(map[string]*mome.Segment)
	for p.in.Scan() {
		f := strings.Fields(p.in.Text())
		verb, name, size := f[0], "", int64(pageSize)
		if len(f) > 1 {
			name = f[1]
		}
		if len(f) > 2 {
			_, err := fmt.Sscan(f[2], &size)
			check(err)
		}
		s, err := segments[name], error(nil)
		switch verb {
		case "create":
			s, err = p.Create(p.ctx, name, size)
		case "open":
			s, err = p.Open(p.ctx, name)
		case "close":
			err = s.Close()
			s = nil
		case "remove":
			err = p.Remove(p.ctx, name)
		case "count": // what the others have counted is there
			before := atomic.AddInt64(&words(s)[0], 1)
			p.say("ok", before)
			continue
		case "connect": // once more
			var c *client.Client
			if c, err = client.Dial(p.ctx, os.Getenv(mome.EnvSocket), client.Config{Guard: func(int) error { return nil }}); err == nil {
				err = c.Close()
			}
		case "limit": // itself, to so many descriptors more
			var more int
			_, err := fmt.Sscan(name, &more)
			check(err)
			least, err := unix.Dup(0)
			check(err)
			check(unix.Close(least))
			check(limitFiles(0, least+more))
		case "unlimit":
			check(limitFiles(0, math.MaxInt32))
		}
		if s != nil {
			segments[name] = s
		}
		switch {
		case err == nil:
			p.say("ok")
		case errors.Is(err, mome.ErrNoSpace):
			p.say("no room:", err)
		default:
			p.say("failed:", err)
		}
	}
}

// openFilesOf is how many descriptors a process has.
func openFilesOf(pid any) int {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%v/fd/*", pid))
	return len(fds)
}

// limitFiles bounds the descriptors of a process: of this one, if pid is 0.
func limitFiles(pid, n int) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	limit.Cur = min(uint64(n), limit.Max)
	return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil)
}

// order has the program do something, which succeeds.
func (a *app) order(format string, args ...any) string {
	a.c.t.Helper()
	return a.ordered("ok", format, args...)
}

// ordered has the program do something, and wants the answer to begin so.
func (a *app) ordered(want, format string, args ...any) string {
	a.c.t.Helper()
	line := fmt.Sprintf(format, args...)
	a.tell(line)
	answer := a.line()
	if !strings.HasPrefix(answer, want) {
		a.c.t.Fatalf("%s: %s: %q, want %q", a.title, line, answer, want)
	}
	return answer
}

// names wants an answer to have all the words.
func (a *app) names(answer string, words ...string) {
	a.c.t.Helper()
	for _, w := range words {
		if !strings.Contains(answer, w) {
			a.c.t.Errorf("%s: %q does not say %q", a.title, answer, w)
		}
	}
}

// A node without descriptors refuses to map one segment more, and says whose
// limit it was; the name is free, and all else goes on. To hear of segments takes
// none.
func TestFilesOfANode(t *testing.T) {
	requireUserfaultfd(t)
	c := start(t, wire.TCP, shape{nodes: 2, proxy: true})
	here, there := c.run(0, "user"), c.run(1, "user")
	here.order("create count")
	there.order("open count")
	counted := 0
	count := func() {
		t.Helper()
		for _, a := range []*app{here, there} {
			counted++
			if got := a.order("count count"); got != fmt.Sprint("ok ", counted) {
				t.Fatalf("%s has counted %q, want %d", a.title, got, counted)
			}
		}
	}
	count()
	limit := openFilesOf(c.nodes[0].cmd.Process.Pid) + 60
	if err := limitFiles(c.nodes[0].cmd.Process.Pid, limit); err != nil {
		t.Fatal(err)
	}
	made := 0
	var refused string
	for ; refused == ""; made++ {
		here.tell(fmt.Sprint("create segment-", made))
		if answer := here.line(); answer != "ok" {
			refused = answer
			break
		}
		if made > limit {
			t.Fatalf("%d segments are mapped with %d descriptors", made, limit)
		}
	}
	if made == 0 {
		t.Error("no segment could be created")
	}
	name := fmt.Sprint("segment-", made)
	if !strings.HasPrefix(refused, "no room") {
		t.Fatalf("create %s: %q", name, refused)
	}
	here.names(refused, name, "node 0", fmt.Sprintf("RLIMIT_NOFILE is %d", limit), "ulimit -n")
	count()

	here.names(here.ordered("no room", "connect"), "node 0", "RLIMIT_NOFILE")
	count()
	for _, p := range c.proxies { // the links have descriptors of their own
		p.cut()
	}
	count()

	there.order("create %s", name) // the name is free
	here.names(here.ordered("no room", "open %s", name), "node 0", "RLIMIT_NOFILE")
	for i := range 2 * limit { // more than descriptors
		there.order("create heard-%d", i)
	}
	count()
	for _, gone := range []string{"segment-0", "segment-1", "segment-2", "segment-3"} {
		here.order("close %s", gone)
		here.order("remove %s", gone)
	}
	here.order("open %s", name)
	here.order("connect")
	there.order("count %s", name)
	if got := here.order("count %s", name); got != "ok 2" {
		t.Errorf("the last segment has counted %q", got)
	}
	count()
	allOK([]*app{here.ended(), there.ended()})
}

// A program without descriptors cannot map one segment more, is told that it is
// its own limit, and goes on; the name is free. So it is wherever the descriptor
// is missing: to receive the segment's file, or to make the userfaultfd.
func TestFilesOfAProgram(t *testing.T) {
	requireUserfaultfd(t)
	c := start(t, wire.TCP, two)
	here, there := c.run(0, "user"), c.run(1, "user")
	here.order("create count")
	there.order("open count")
	for more := range 2 {
		here.order("limit %d", more)
		here.names(here.ordered("no room", "create segment"), "this program", "RLIMIT_NOFILE is ", "ulimit -n")
		here.names(here.ordered("no room", "connect"), "this program", "RLIMIT_NOFILE is ")
		here.order("count count")
		there.order("count count")
		there.order("create segment") // the name is free
		here.names(here.ordered("no room", "open segment"), "this program")
		here.order("unlimit")
		here.order("open segment")
		here.order("count segment")
		if got := there.order("count segment"); got != "ok 2" {
			t.Errorf("the segment has counted %q", got)
		}
		here.order("close segment")
		there.order("close segment")
		there.order("remove segment")
	}
	allOK([]*app{here.ended(), there.ended()})
}

// A node whose files are bounded (ulimit -f) refuses to map a segment that is
// larger, and all else goes on.
func TestFileSizeOfANode(t *testing.T) {
	requireUserfaultfd(t)
	c := start(t, wire.TCP, two)
	const bound = 1 << 20
	var limit unix.Rlimit
	pid := c.nodes[0].cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = bound
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	here, there := c.run(0, "user"), c.run(1, "user")
	here.names(here.ordered("no room", "create large %d", bound+1), "large", "node 0", fmt.Sprintf("RLIMIT_FSIZE is %d bytes", bound), "ulimit -f")
	there.order("create large %d", bound+1)
	here.names(here.ordered("no room", "open large"), "node 0", "RLIMIT_FSIZE")
	here.order("create small %d", bound)
	there.order("open small")
	here.order("count small")
	if got := there.order("count small"); got != "ok 2" {
		t.Errorf("the segment that fits has counted %q", got)
	}
	there.order("count large")
	allOK([]*app{here.ended(), there.ended()})
}

// A node whose address space is bounded (ulimit -v) refuses to map a segment that it
// has no room for, and keeps some for what the Go runtime cannot do without: it
// serves programs and their pages at the brim.
func TestSpaceOfANode(t *testing.T) {
	requireUserfaultfd(t)
	c := start(t, wire.TCP, two)
	here, there := c.run(0, "user"), c.run(1, "user")
	here.order("create count")
	there.order("open count")
	pid := c.nodes[0].cmd.Process.Pid
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var used, limit unix.Rlimit
	if _, err := fmt.Sscan(string(statm), &used.Cur); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_AS, nil, &limit); err != nil {
		t.Fatal(err)
	}
	free := limit
	limit.Cur = used.Cur*pageSize + 3<<29 // 1.5 GiB more, of which 1 GiB is kept
	if err := unix.Prlimit(pid, unix.RLIMIT_AS, &limit, nil); err != nil {
		t.Fatal(err)
	}
	made := 0
	for size := int64(64 << 20); size >= pageSize; size >>= 1 {
		for {
			here.tell(fmt.Sprintf("create segment-%d %d", made, size))
			answer := here.line()
			if answer != "ok" {
				if !strings.HasPrefix(answer, "no room") {
					t.Fatalf("segment %d: %q", made, answer)
				}
				here.names(answer, "node 0", fmt.Sprintf("RLIMIT_AS is %d bytes", limit.Cur), "ulimit -v")
				break
			}
			if made++; made > 64 { // the last of them are as good as none
				break
			}
		}
	}
	var more []*app
	// Attaching may use half of what is kept, here 440 MiB. Each program takes two
	// threads of the daemon, with stacks of 8 MiB, so that these take 256 MiB; the
	// Go runtime may begin a few threads besides.
	for i := range 16 {
		a := c.run(0, "user")
		a.order("open count")
		if got, want := a.order("count count"), fmt.Sprint("ok ", 2*i+1); got != want {
			t.Errorf("program %d has counted %q, want %q", i, got, want)
		}
		if got, want := there.order("count count"), fmt.Sprint("ok ", 2*i+2); got != want {
			t.Errorf("the other node has counted %q, want %q", got, want)
		}
		more = append(more, a)
	}
	there.order("create vast %d", int64(1)<<40)
	here.names(here.ordered("no room", "open vast"), "node 0", "RLIMIT_AS")
	if err := unix.Prlimit(pid, unix.RLIMIT_AS, &free, nil); err != nil {
		t.Fatal(err)
	}
	here.order("open vast")
	allOK([]*app{here.ended(), there.ended()})
	for _, a := range more {
		allOK([]*app{a.ended()})
	}
}

// ended closes the standard input of a user, which ends by that.
func (a *app) ended() *app {
	a.stdin.Close()
	return a
}

// boundThreads puts a process into a cgroup that may have so many threads more
// than the process has, until the test ends; lift takes the bound away.
func boundThreads(t *testing.T, pid, more int) (most int, lift func()) {
	t.Helper()
	root := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	dir := filepath.Join(root, fmt.Sprintf("mome-test-%d", os.Getpid()))
	write := func(file string, value any) {
		if err := os.WriteFile(file, fmt.Append(nil, value), 0); err != nil {
			t.Fatalf("this test needs a cgroup for its node (root, and the controller pids): %v", err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("this test needs a cgroup for its node (root, and the controller pids): %v", err)
	}
	t.Cleanup(func() {
		write(filepath.Join(root, "cgroup.procs"), pid)
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	most = len(threads) + more
	write(filepath.Join(dir, "pids.max"), most)
	write(filepath.Join(dir, "cgroup.procs"), pid)
	return most, func() { write(filepath.Join(dir, "pids.max"), "max") }
}

// A node whose machine has no room for threads refuses programs and mappings, and
// says which bound was met. Go ends a process that is refused a thread.
func TestThreadsOfANode(t *testing.T) {
	requireUserfaultfd(t)
	c := start(t, wire.TCP, two)
	here, there := c.run(0, "user"), c.run(1, "user")
	here.order("create count")
	there.order("open count")
	most, lift := boundThreads(t, c.nodes[0].cmd.Process.Pid, 40)
	made, refused := 0, ""
	for ; refused == ""; made++ {
		here.tell(fmt.Sprint("create segment-", made))
		if answer := here.line(); answer != "ok" {
			refused = answer
			break
		}
		if made > most {
			t.Fatalf("%d segments are served with %d threads", made, most)
		}
	}
	if !strings.HasPrefix(refused, "no room") {
		t.Fatalf("segment %d: %q", made, refused)
	}
	here.names(refused, "node 0", "no thread is left", fmt.Sprintf("is %d", most), "TasksMax")
	here.names(here.ordered("no room", "connect"), "node 0", "no thread is left")
	for i := range 10 {
		here.order("count count")
		if got := there.order("count count"); got != fmt.Sprint("ok ", 2*i+2) {
			t.Errorf("the segment has counted %q, want %d", got, 2*i+2)
		}
	}
	lift()
	for ; ; yield() { // the node looks again after a while
		here.tell(fmt.Sprint("create segment-", made))
		if here.line() == "ok" {
			break
		}
	}
	allOK([]*app{here.ended(), there.ended()})
}
