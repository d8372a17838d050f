package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

func init() { programs["adder"] = adder }

// adder does what examples/c/attach.c does.
func adder(p *program) {
	pages := p.number(1)
	w := words(p.open(int64(pages) * pageSize))
	for page := range pages {
		atomic.AddInt64(&w[page*pageWords], 1)
	}
	p.meet("added")
	sum := int64(0)
	for page := range pages {
		sum += atomic.LoadInt64(&w[page*pageWords])
	}
	p.say("sum", sum)
}

// A program in C, made from what impl/client/README.md says, shares memory with
// programs in Go.
func TestC(t *testing.T) {
	requireUserfaultfd(t)
	binary := compile(t, "cc", "-Werror", "-O2")
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		const pages = 20
		var apps []*app
		for i := range c.shape.nodes {
			apps = append(apps, c.binary(i, 0, 1, binary, c.name(), strconv.Itoa(pages)), c.run(i, "adder", pages))
		}
		allAt(apps, "added")
		for _, a := range apps {
			a.tell("sum")
			if sum := a.at("sum")[0]; sum != strconv.Itoa(len(apps)*pages) {
				t.Errorf("%s finds %s, want %d", a.title, sum, len(apps)*pages)
			}
		}
		allOK(apps)
		refused := c.binary(0, 0, 1, binary, "a/b", "1")
		if out := refused.outcome(); out != "exit status 1" || !strings.Contains(refused.log.String(), "code 6") {
			t.Errorf("a segment that cannot be: %s with %q", out, refused.log.String())
		}
		for i := range c.shape.nodes {
			c.until("the node to let the programs go", func() bool { return c.segment(i).Mappings == 0 })
		}
		c.remove()
	})
}

// compile makes examples/c/attach.c.
func compile(t *testing.T, compiler string, options ...string) string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and there is no C compiler: ", err)
		}
		t.Skip("no C compiler: ", err)
	}
	binary := filepath.Join(t.TempDir(), "attach")
	options = append(options, "-Wall", "-Wextra", "-o", binary, "../examples/c/attach.c")
	if out, err := exec.Command(compiler, options...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", compiler, options, err, out)
	}
	return binary
}

// The C compilers' sanitizers keep most addresses to themselves, each of them
// others. Where a cluster with the narrow base has its memory all leave room, in
// programs at fixed and at random places; elsewhere the example says what to do.
func TestSanitizers(t *testing.T) {
	requireUserfaultfd(t)
	const pages = 5
	var all, wide, narrow []string
	for _, s := range []struct {
		compiler, sanitizer string
		wide                bool // it leaves room at the default base too
	}{{"gcc", "address", true}, {"gcc", "thread", false}, {"clang", "address", true}, {"clang", "thread", false}, {"clang", "memory", false}} {
		for _, place := range [][]string{{"-fPIE", "-pie"}, {"-fno-pie", "-no-pie"}} {
			binary := compile(t, s.compiler, append(place, "-O1", "-g", "-fsanitize="+s.sanitizer)...)
			all = append(all, binary)
			if s.wide {
				wide = append(wide, binary)
			} else {
				narrow = append(narrow, binary)
			}
		}
	}
	share := func(t *testing.T, c *cluster, binaries []string) {
		var apps []*app
		for i, binary := range binaries {
			apps = append(apps, c.binary(i%c.shape.nodes, i, len(binaries), binary, c.name(), strconv.Itoa(pages)))
		}
		for i := range c.shape.nodes {
			apps = append(apps, c.run(i, "adder", pages))
		}
		allAt(apps, "added")
		for _, a := range apps {
			a.tell("sum")
			if sum := a.at("sum")[0]; sum != strconv.Itoa(len(apps)*pages) {
				t.Errorf("%s finds %s, want %d", a.title, sum, len(apps)*pages)
			}
		}
		allOK(apps)
		c.remove()
	}
	onShared(t, []shape{two, {nodes: 2, base: addr.NarrowBase}}, func(t *testing.T, c *cluster) {
		if c.shape.base == addr.NarrowBase {
			share(t, c, all)
			return
		}
		share(t, c, wide)
		for _, binary := range narrow {
			a := c.binary(0, 0, 1, binary, c.name(), strconv.Itoa(pages))
			if out := a.outcome(); out != "exit status 1" || !strings.Contains(a.log.String(), "--base "+addr.NarrowBase.String()) {
				t.Errorf("%s at the default base: %s with %q", binary, out, a.log.String())
			}
		}
		c.remove()
	})
}
