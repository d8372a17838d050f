package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
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
	cc, err := exec.LookPath("cc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and there is no C compiler: ", err)
		}
		t.Skip("no C compiler: ", err)
	}
	binary := filepath.Join(t.TempDir(), "attach")
	out, err := exec.Command(cc, "-Wall", "-Wextra", "-Werror", "-O2", "-o", binary, "../examples/c/attach.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
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
