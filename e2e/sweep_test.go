package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/node/controlpb"
)

var everyCall = flag.Bool("every-call", false, "have the calls of every node fail, by each error, first and in the middle")

func init() { programs["scarcity"] = scarcity }

// wholeSegment is the size of the programs' segment: what is punched in one go when
// it is removed.
const wholeSegment = 16 * pageSize

// scarcity is a bit of all that a program does with its node, every word of which
// is checked. One request may fail, and is made once more.
func scarcity(p *program) {
	const pages, turns = wholeSegment / pageSize, 5
	rank := p.Rank()
	debug.SetPanicOnFault(true)
	try := func(what string, f func() error) {
		if err := f(); err != nil {
			p.say("failed", what+":", strings.ReplaceAll(err.Error(), "\n", " "))
			if err := f(); err != nil {
				fatalf("%s failed again: %v", what, err)
			}
		}
	}
	// access is loads and stores, of which a fault is an error.
	access := func(what string, f func()) {
		try(what, func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("%v", r)
				}
			}()
			f()
			return nil
		})
	}
	var s *mome.Segment
	try("open", func() (err error) { s, err = p.OpenOrCreate(p.ctx, p.arg(0), pages*pageSize); return err })
	var b *mome.Barrier
	try("join", func() (err error) { b, err = p.Barrier(p.ctx, p.arg(0), rank, 2); return err })
	meet := func() { try("barrier", func() error { return b.Wait(p.ctx) }) }
	w := words(s)
	fill := func(page, round int) {
		access("store", func() { w[page*pageWords+1+rank] = int64(round*pages + page + 1) })
	}
	see := func(page, writer, round int) {
		access("load", func() {
			if got := w[page*pageWords+1+writer]; got != int64(round*pages+page+1) {
				fatalf("page %d has %d of rank %d in round %d", page, got, writer, round)
			}
		})
	}
	for round := range 2 {
		for page := range pages {
			if page%2 == (rank+round)%2 {
				fill(page, round)
			}
		}
		meet()
		for page := range pages {
			see(page, (page+round)%2, round)
		}
		meet()
	}
	l := p.Lock(p.arg(0))
	for range turns {
		try("lock", func() error { _, err := l.Acquire(p.ctx); return err })
		access("count", func() { w[0]++ })
		try("unlock", l.Release)
	}
	try("prefetch", func() error { return s.Prefetch(0, pages*pageSize, false) })
	try("write back", func() error { return s.WriteBack(p.ctx, 0, pages*pageSize) })
	try("drop", func() error { return s.Drop(p.ctx, 0, pages*pageSize) })
	meet()
	access("load", func() {
		if w[0] != 2*turns {
			fatalf("%d turns of %d", w[0], 2*turns)
		}
	})
	for page := range pages {
		for round := range 2 {
			see(page, (page+round)%2, round)
		}
	}
	meet()
	if rank == 0 { // while the other one has it
		try("remove", func() error { return p.Remove(p.ctx, p.arg(0)) })
	}
	// Until the node has heard of it the page is there; then it is a fault.
	for gone := rank == 0; !gone; yield() {
		func() {
			defer func() { gone = recover() != nil }()
			w[0]++
		}()
	}
	meet()
	try("leave", func() error { return b.Close() })
	try("close", func() error { return s.Close() })
}

// scarce are the calls of a node that can fail for want of something, and how.
var scarce = map[string][]unix.Errno{
	"accept4 attach":                 {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"accept4 link":                   {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"epoll_ctl link":                 {unix.ENOMEM, unix.ENOSPC},
	"epoll_ctl system":               {unix.ENOMEM, unix.ENOSPC},
	"write local":                    {unix.ENOMEM, unix.ENOBUFS},
	"accept4 local":                  {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"epoll_ctl attach":               {unix.ENOMEM, unix.ENOSPC},
	"epoll_ctl local":                {unix.ENOMEM, unix.ENOSPC},
	"epoll_ctl event":                {unix.ENOMEM, unix.ENOSPC},
	"fallocate memfd":                {unix.ENOMEM, unix.EINTR},
	"fallocate whole memfd":          {unix.ENOMEM, unix.EINTR},
	"fcntl 1030":                     {unix.EMFILE}, // F_DUPFD_CLOEXEC
	"ftruncate memfd":                {unix.EFBIG, unix.ENOMEM},
	"getsockopt":                     {unix.ENOBUFS},
	"ioctl UFFDIO_CONTINUE":          {unix.ENOMEM},
	"ioctl UFFDIO_COPY":              {unix.ENOMEM},
	"ioctl UFFDIO_POISON":            {unix.ENOMEM},
	"ioctl UFFDIO_WRITEPROTECT":      {unix.ENOMEM},
	"ioctl UFFDIO_ZEROPAGE":          {unix.ENOMEM},
	"madvise 4":                      {unix.ENOMEM, unix.EAGAIN}, // DONTNEED
	"madvise 10":                     {unix.ENOMEM},              // DONTFORK
	"madvise 15":                     {unix.ENOMEM},              // NOHUGEPAGE
	"madvise 16":                     {unix.ENOMEM},              // DONTDUMP
	"memfd_create":                   {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"mmap memfd":                     {unix.ENOMEM},
	"mmap pool":                      {unix.ENOMEM},
	"openat system":                  {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	"pwrite memfd":                   {unix.ENOMEM, unix.ENOSPC, unix.EINTR},
	"readlinkat":                     {unix.ENOMEM},
	"recvfrom local":                 {unix.ENOMEM},
	"recvmsg attach":                 {unix.ENOMEM},
	"sendmsg attach":                 {unix.ENOMEM, unix.ENOBUFS, unix.ETOOMANYREFS},
	"sendmsg link":                   {unix.ENOMEM, unix.ENOBUFS},
	"socketpair":                     {unix.EMFILE, unix.ENFILE, unix.ENOMEM},
	storeProcess + "fdatasync store": {unix.ENOSPC, unix.EDQUOT},
	storeProcess + "pwrite store":    {unix.ENOSPC, unix.EDQUOT, unix.EFBIG},
	storeProcess + "write store":     {unix.ENOSPC, unix.EDQUOT, unix.EFBIG},
	"write link":                     {unix.ENOMEM, unix.ENOBUFS},
}

const (
	atStart = "it is made before the node serves: a node that cannot start says why"
)

// spared are the other calls, and why none of them is made to fail.
var spared = map[string]string{
	"mkdirat store":     atStart,
	"openat store":      atStart,
	"pidfd_open":        atStart,
	"pipe":              atStart,
	"statfs":            "where it cannot be made, the founder does not say how much is free",
	"waitid":            "it needs nothing",
	"epoll_ctl store":   "files of a disk are not waited for",
	"write store":       atStart,
	"bind":              atStart,
	"call 323":          atStart, // userfaultfd, to see whether there is one
	"connect":           atStart,
	"eventfd":           atStart,
	"fchmod":            atStart,
	"fchmodat":          atStart,
	"getdents":          atStart,
	"ioctl UFFDIO_API":  atStart,
	"listen":            atStart,
	"openat file":       atStart,
	"pread":             atStart,
	"renameat":          atStart,
	"socket attach":     atStart,
	"socket link":       atStart,
	"unlinkat file":     atStart,
	"clone3":            "Go's runtime ends the process without a thread for itself; the node bounds its threads",
	"fcntl 37":          "F_OFD_SETLK of the store, at its start",
	"fcntl 38":          "F_OFD_SETLKW of the store, at its start",
	"madvise 1":         "MADV_RANDOM of the store is a hint",
	"madvise 23":        "MADV_POPULATE_WRITE, of which see impl/memory",
	"setsockopt":        "the options that a node sets need nothing",
	"mprotect":          "Go's runtime makes it for its own memory",
	"fcntl 1033":        "F_ADD_SEALS needs nothing",
	"fcntl 3":           "F_GETFL needs nothing",
	"fcntl 4":           "F_SETFL needs nothing",
	"ioctl UFFDIO_WAKE": "it needs nothing",
	"write event":       "an eventfd takes 2^64 words",
	"mmap runtime":      "Go's runtime ends the process without memory for itself",
	"clone":             "Go's runtime ends the process without a thread for itself; the node bounds its threads",
	"sched_setattr":     "it needs nothing",
	"sched_getattr":     "it needs nothing",
	"prctl":             "it needs nothing",
}

// sweep is one cluster at a time whose nodes' calls fail.
type sweep struct {
	t         *testing.T
	transport string
	c         *cluster // nil: none, or not one that still can be used
	table     []string
}

func (s *sweep) cluster() *cluster {
	if s.c == nil {
		s.c = start(s.t, s.transport, shape{nodes: 2, calls: true})
	}
	return s.c
}

// round runs the program on both nodes. It returns what failed in it, and what
// must not have.
func (s *sweep) round() (failed []string, err error) {
	c := s.cluster()
	var apps [2]*app
	begin := func(i int) { apps[i] = c.rank(i, i, 2, "scarcity") }
	begin(0)
	begin(1)
	hung := time.AfterFunc(20*time.Second, func() {
		for _, p := range c.apps {
			p.signal(syscall.SIGKILL)
		}
	})
	defer hung.Stop()
	// One that could not attach begins again, while the other waits for it.
	again := false
	for ended := [2]bool{}; !ended[0] || !ended[1]; {
		i := 0
		select {
		case <-over(apps[0], ended[0]):
		case <-over(apps[1], ended[1]):
			i = 1
		}
		a := apps[i]
		out := a.outcome()
		for _, line := range a.rest() {
			failed = append(failed, strings.TrimPrefix(line, "failed "))
		}
		text := strings.TrimSpace(a.log.String())
		switch {
		case out == "exit status 0":
			ended[i] = true
		case !again && strings.Contains(text, "mome: connect"):
			failed = append(failed, text)
			again = true
			begin(i)
		default:
			err = errors.Join(err, fmt.Errorf("%s: %s: %s", a.title, out, text))
			ended[i] = true
		}
	}
	for i := range c.nodes {
		if e := c.askStatus(i); e != nil {
			failed = append(failed, fmt.Sprintf("status of node %d: %v", i, e))
		}
	}
	for _, n := range c.nodes {
		if n.ended() {
			err = errors.Join(err, fmt.Errorf("%s has ended: %s", n.title, n.outcome()))
		}
	}
	if err != nil {
		for _, n := range c.nodes {
			n.signal(syscall.SIGKILL)
		}
		s.c = nil
	}
	return failed, err
}

// askStatus asks a node how it is, by a connection of its own, as the command does.
func (c *cluster) askStatus(node int) error {
	conn, err := grpc.NewClient(c.conns[node].Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = controlpb.NewControlClient(conn).Node(ctx, &controlpb.NodeRequest{})
	return err
}

// over is closed when a program has ended; it is never for one that was seen to.
func over(a *app, seen bool) <-chan struct{} {
	if seen {
		return nil
	}
	return a.done
}

// counts is the calls of each node in a round, or in the first of a cluster.
func (s *sweep) counts() []map[string]int {
	var counts []map[string]int
	for _, n := range s.cluster().calls {
		counts = append(counts, n.stop())
	}
	return counts
}

// lasting is more calls than impl/memory makes before it says that it cannot.
const lasting = 1100

// reach is in how many rounds a call is made at least once, whatever the order in
// which the nodes' threads run.
const reach = 10

// one has a call fail, and judges what became of the round.
func (s *sweep) one(node int, site string, after, times int, errno unix.Errno) {
	row := fmt.Sprintf("node %d, call %d of %s: %s", node, after+1, site, unix.ErrnoName(errno))
	if times > 1 {
		row += fmt.Sprintf(", %d times", times)
	}
	n := s.cluster().calls[node]
	n.stop()
	n.fail(site, after, times, errno)
	var failed []string
	var err error
	done := 0
	for range reach {
		var more []string
		if more, err = s.round(); err != nil {
			break
		}
		failed = append(failed, more...)
		if done = n.done(); done > 0 {
			break
		}
	}
	n.stop()
	saw := "nothing"
	if len(failed) > 0 {
		saw = strings.Join(failed, "; ")
	}
	s.table = append(s.table, fmt.Sprintf("%s | %s", row, saw))
	switch {
	case err != nil:
		s.t.Errorf("%s: %v", row, err)
	case done == 0:
		s.t.Errorf("%s: there was no such call in %d rounds", row, reach)
	case len(failed) > 1:
		s.t.Errorf("%s: more than one request failed: %s", row, saw)
	}
}

// says waits for words in the log of a node.
func (s *sweep) says(node int, words string) {
	if s.c != nil {
		s.c.until(words, func() bool { return strings.Contains(s.c.nodes[node].log.String(), words) })
	}
}

// A call that fails once for want of something costs one request, which says why,
// or nothing: everything else goes on and is exact.
func TestSweep(t *testing.T) {
	requireUserfaultfd(t)
	s := &sweep{t: t, transport: transports[0]}
	if _, err := s.round(); err != nil {
		t.Fatal(err)
	}
	first := s.counts()
	if failed, err := s.round(); err != nil || len(failed) > 0 {
		t.Fatal(failed, err)
	}
	later := s.counts()
	seen := make(map[string]bool)
	for node := range first {
		for site := range first[node] {
			seen[site] = true
			// The store's process may end: it is started again.
			if scarce[site] == nil && spared[site] == "" && !strings.HasPrefix(site, storeProcess) {
				t.Errorf("node %d makes the call %q, and nothing says what becomes of it without resources: it belongs to scarce or spared", node, site)
			}
		}
	}
	for _, site := range slices.Sorted(maps.Keys(scarce)) {
		if !seen[site] {
			t.Errorf("no node makes the call %q", site)
			continue
		}
		tried := false
		for node := range later {
			made := later[node][site]
			if made == 0 || tried && !*everyCall {
				continue
			}
			tried = true
			for _, errno := range scarce[site] {
				s.one(node, site, 0, 1, errno)
				if *everyCall && made > 1 {
					s.one(node, site, made/2, 1, errno)
				}
			}
		}
		for node := range first {
			if tried || first[node][site] == 0 {
				continue
			}
			tried = true
			// Of a cluster's first round alone.
			for _, errno := range scarce[site] {
				s.c = nil
				s.one(node, site, 0, 1, errno)
			}
		}
	}
	// Of the pages themselves none is given up: who needs one waits.
	for _, c := range []struct {
		site  string
		errno unix.Errno
	}{{"fallocate memfd", unix.ENOMEM}, {"ioctl UFFDIO_CONTINUE", unix.ENOMEM}, {"ioctl UFFDIO_WRITEPROTECT", unix.ENOMEM}, {"pwrite memfd", unix.ENOMEM}, {"pwrite memfd", unix.ENOSPC}} {
		s.one(0, c.site, 3, lasting, c.errno)
		s.says(0, "there is no memory for a page")
	}
	s.one(1, "fallocate whole memfd", 0, lasting, unix.ENOMEM) // where the other one's program waits for it
	s.says(1, "there is no memory to take the pages of a removed segment away")
	s.one(1, "ioctl UFFDIO_POISON", 0, lasting, unix.ENOMEM)
	// A recording is cut short, and the run goes on.
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		s.c = start(t, s.transport, shape{nodes: 2, calls: true, trace: filepath.Join(t.TempDir(), "trace")})
		s.one(0, "write trace", 0, 1, errno)
		s.says(0, "the trace is cut short")
	}
	t.Logf("call that failed | what the programs saw\n%s", strings.Join(s.table, "\n"))
}
