package e2e

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
)

func init() {
	programs["copy-under-gc"] = copyUnderGC
	programs["fork"] = forkProgram
	programs["parent"] = parent
	programs["forgetful"] = forgetful
	programs["file"] = fileProgram
	programs["sharer"] = sharer
}

const accessPages = 64

// copyUnderGC copies pages that are not there while the garbage collector runs
// all the time.
func copyUnderGC(p *program) {
	s := p.open(accessPages * pageSize)
	w := words(s)
	var collections atomic.Int64
	go func() {
		for {
			runtime.GC()
			collections.Add(1)
		}
	}()
	for collections.Load() == 0 {
		runtime.Gosched()
	}
	p.meet("copying")
	got := make([]int64, len(w))
	const step = 3*pageWords + 7
	for at := 0; at < len(w); at += step {
		copy(got[at:min(at+step, len(w))], w[at:])
	}
	verify(got, 0, accessPages, 1)
	p.say("collections", collections.Load())
}

// A goroutine that waits for a page inside copy cannot be preempted, and a
// garbage collection waits for it: everything goes on when the page comes.
func TestGarbageCollectionDuringCopy(t *testing.T) {
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		reader := c.run(0, "copy-under-gc")
		reader.at("copying")
		// The owner's node does not answer for a while.
		c.pause(1)
		reader.tell("go")
		c.until("a fault on node 0", func() bool { return c.segment(0).ReadFaults > 0 })
		for range 20 { // a collection begins at once
			c.status(0)
		}
		c.resume(1)
		reader.at("collections")
		reader.ok()
		owner.tell("end")
		owner.ok()
		c.remove()
	})
}

// forkProgram forks, with page 0 missing and page 1 present.
func forkProgram(p *program) {
	s := p.open(accessPages * pageSize)
	w := words(s)
	b := s.Bytes()
	verify(w, 1, 2, 1)
	for _, child := range []struct {
		touch *byte
		want  string
	}{{nil, "exit"}, {&b[0], "segmentation fault"}, {&b[pageSize], "segmentation fault"}, {&b[9*pageSize], "segmentation fault"}} {
		pid, errno := rawFork(child.touch, false)
		if errno != 0 {
			fatalf("fork: %v", errno)
		}
		var status syscall.WaitStatus
		for {
			_, err := syscall.Wait4(pid, &status, 0, nil)
			if err == nil {
				break
			}
			if err != syscall.EINTR {
				fatalf("wait: %v", err)
			}
		}
		got := "exit"
		if status.Signaled() {
			got = status.Signal().String()
		}
		if got != child.want {
			fatalf("a child that touches %p ends with %s (%#x), want %s", child.touch, got, uint32(status), child.want)
		}
	}
	verify(w, 0, accessPages, 1)
	fill(w, 0, accessPages, 2)
}

// A child has no part of the segment: it cannot put zeros where data belongs.
func TestFork(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		c.run(0, "fork").ok()
		owner.tell("verify 2")
		owner.at("verified")
		owner.tell("end")
		owner.ok()
		c.remove()
	})
}

// parent detaches while a child that it has forked lives.
func parent(p *program) {
	p.open(pageSize)
	p.meet("open")
	child, errno := rawFork(nil, true)
	if errno != 0 {
		fatalf("fork: %v", errno)
	}
	defer func() {
		check(syscall.Kill(child, syscall.SIGKILL))
		_, err := syscall.Wait4(child, nil, 0, nil)
		check(err)
	}()
	check(p.Close())
	p.meet("detached")
	_, err := mome.Connect(p.ctx)
	check(err)
	p.say("alive")
}

// A child that was forked has copies of its parent's descriptors. The parent
// detaches all the same, and its node lets it go on.
func TestDetachWithAChild(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		a := c.run(0, "parent")
		a.at("open")
		if n := c.segment(0).Mappings; n != 1 {
			t.Fatalf("%d mappings, want 1", n)
		}
		a.tell("fork")
		a.at("detached")
		c.until("the node to let it go", func() bool { return c.segment(0).Mappings == 0 })
		a.tell("go on")
		a.at("alive")
		a.ok()
		c.remove()
	})
}

// forgetful has the kernel drop its entries of pages that it has the right to
// read, and then to write.
func forgetful(p *program) {
	s := p.open(accessPages * pageSize)
	w := words(s)
	drop := func() { check(unix.Madvise(s.Bytes(), unix.MADV_DONTNEED)) }
	const half = accessPages / 2
	verify(w, 0, accessPages, 1)
	drop()
	verify(w, 0, accessPages, 1)
	drop()
	fill(w, 0, half, 2) // stores to pages that it could read before
	drop()
	verify(w, 0, half, 2)
	verify(w, half, accessPages, 1)
	drop()
	fill(w, 0, half, 3) // stores to pages that it could store to before
	drop()
	atomic.AddInt64(&w[0], 0)
	verify(w, 0, half, 3)
	verify(w, half, accessPages, 1)
	p.meet("done")
	drop()
	verify(w, 0, accessPages, 2)
}

// An application may give its entries in the page table back: the node, which
// hears nothing of it, answers the next faults, and the contents are right.
func TestDontNeed(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		other := c.run(0, "sharer") // its entries stay
		other.tell("read")
		other.at("done")
		a := c.run(0, "forgetful")
		a.at("done")
		other.tell("write 2")
		other.at("done")
		owner.tell("verify 2")
		owner.at("verified")
		a.tell("go on")
		a.ok()
		other.tell("end")
		owner.tell("end")
		allOK([]*app{other, owner})
		c.remove()
	})
}

// fileProgram writes missing pages to a file and reads a file into them.
func fileProgram(p *program) {
	s := p.open(accessPages * pageSize)
	w := words(s)
	b := s.Bytes()
	f, err := os.OpenFile(p.arg(1), os.O_RDWR|os.O_CREATE, 0o600)
	check(err)
	defer f.Close()
	half := len(b) / 2
	_, err = f.Write(b[:half]) // write(2) from pages that another node has
	check(err)
	file, err := os.ReadFile(p.arg(1))
	check(err)
	verify(w, 0, accessPages/2, 1)
	if !bytes.Equal(file, b[:half]) {
		fatalf("write(2) has written something else")
	}
	next := make([]int64, len(w))
	fill(next, 0, accessPages, 2)
	check(f.Truncate(0))
	_, err = f.WriteAt(asBytes(next), 0)
	check(err)
	_, err = f.Seek(0, io.SeekStart)
	check(err)
	// read(2) into pages that this node may read, and pages that it does not
	// have, in steps that are not pages.
	for at := 0; at < len(b); {
		n, err := f.Read(b[at:min(at+5*pageSize+100, len(b))])
		check(err)
		at += n
	}
	verify(w, 0, accessPages, 2)
}

// The kernel may store to and load from the pages of a segment.
func TestSystemCalls(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		c.run(0, "file", filepath.Join(t.TempDir(), "file")).ok()
		owner.tell("verify 2")
		owner.at("verified")
		owner.tell("end")
		owner.ok()
		c.remove()
	})
}

// sharer does what it is told with pages of its node.
func sharer(p *program) {
	s := p.open(accessPages * pageSize)
	w := words(s)
	for {
		switch p.hear() {
		case "read":
			verify(w, 0, accessPages, 1)
		case "read 2":
			verify(w, 0, accessPages, 2)
		case "write 2":
			fill(w, 0, accessPages, 2)
		case "add":
			for range 1000 {
				atomic.AddInt64(&w[0], 1)
			}
		case "sum":
			p.say("sum", atomic.LoadInt64(&w[0])-tagged(0, 0, 2))
			continue
		case "end":
			return
		}
		p.say("done")
	}
}

// Processes of one node share its pages: what one has fetched costs the other
// no traffic, and stores are visible at once.
func TestProcessesOfOneNode(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		a, b := c.run(0, "sharer"), c.run(0, "sharer")
		do := func(app *app, what string) {
			t.Helper()
			app.tell(what)
			app.at("done")
		}
		do(a, "read")
		before := c.segment(0)
		if before.PagesIn < accessPages {
			t.Errorf("%d pages came in, want %d", before.PagesIn, accessPages)
		}
		quiet := func(what string) {
			t.Helper()
			now, peer := c.segment(0), c.segment(1)
			if now.PagesIn != before.PagesIn || now.PagesOut != before.PagesOut || now.Recalls != before.Recalls || peer.PagesOut != before.PagesIn {
				t.Errorf("%s: traffic: %v, before %v", what, now, before)
			}
		}
		do(b, "read")
		quiet("a page that the other process has fetched")
		do(a, "write 2")
		before = c.segment(0)
		do(b, "read 2")
		a.tell("add")
		b.tell("add")
		a.at("done")
		b.at("done")
		for _, app := range []*app{a, b} {
			app.tell("sum")
			if sum := app.at("sum")[0]; sum != "2000" {
				t.Errorf("%s counts %s, want 2000", app.title, sum)
			}
		}
		now := c.segment(0)
		if now.PagesIn != before.PagesIn || now.PagesOut != before.PagesOut {
			t.Errorf("stores between processes of a node: traffic: %v, before %v", now, before)
		}
		allTell([]*app{a, b, owner}, "end")
		allOK([]*app{a, b, owner})
		c.remove()
	})
}
