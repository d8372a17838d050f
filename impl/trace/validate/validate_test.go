package validate

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/spec/tlc"
)

// tool is TLC, which Maven brings if need be. Without Java the validator cannot
// be tested, and that is a failure.
func tool(t testing.TB) *tlc.Tool {
	t.Helper()
	found, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var recordFlag = flag.String("record", "", "keep the simulated runs below this directory")

// runDir is where a run is recorded.
func runDir(t testing.TB, name string) string {
	t.Helper()
	if *recordFlag == "" {
		return t.TempDir()
	}
	dir := filepath.Join(*recordFlag, name)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// record lets the simulator run for so many steps and returns its logs.
func record(t testing.TB, cfg sim.Config, steps int) string {
	t.Helper()
	dir := runDir(t, t.Name())
	if err := sim.Recorded(dir, cfg, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

func judge(t *testing.T, dir string) (*Verdict, error) {
	t.Helper()
	run, err := trace.OpenRun(dir)
	if err != nil {
		return nil, err
	}
	return Run(t.Context(), run, Pages, Options{Tool: tool(t)})
}

// moot counts the messages that were early and that no core has taken or will.
func moot(t *testing.T, dir string) (n int) {
	t.Helper()
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range run.Manifests {
		for _, l := range m.Links {
			n += l.Moot
		}
	}
	return n
}

func TestAccepts(t *testing.T) {
	for _, cfg := range []sim.Config{
		{Nodes: 3, Fanout: 64, Pages: 1, Seed: 28, Recreate: true}, // early messages become moot
		{Nodes: 4, Fanout: 2, Pages: 4, Seed: 1},
		{Nodes: 6, Fanout: 2, Pages: 3, Segments: 2, Processes: 2, Seed: 2, Lateral: true, Breaks: true, Recreate: true},
	} {
		t.Run(fmt.Sprintf("nodes=%d", cfg.Nodes), func(t *testing.T) {
			t.Parallel()
			dir := record(t, cfg, 3000)
			v, err := judge(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Nodes == 3 && moot(t, dir) == 0 {
				t.Error("no early message has become moot")
			}
			if !v.Accepted {
				t.Fatalf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
					strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
			}
			if v.Events < 200 || v.Objects < cfg.Pages || v.Nodes != cfg.Nodes || v.Acts["LeafRecvRecall"] == 0 ||
				v.Unrest != "" || v.UnderWay != 0 && !cfg.Recreate { // a page ends with its segment, whatever is under way
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

// rewrite changes the first line of a log that matches the pattern, and returns
// which one it was.
func rewrite(t *testing.T, dir, pattern, with string) (path string, line int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(pattern)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		for i, line := range lines {
			if !re.MatchString(line) {
				continue
			}
			lines[i] = re.ReplaceAllString(line, with)
			if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
				t.Fatal(err)
			}
			return path, i + 1
		}
	}
	t.Fatalf("no line matches %s", pattern)
	return "", 0
}

// TestRejects changes one line of a run, and the event of that line must be
// refused.
func TestRejects(t *testing.T) {
	for name, c := range map[string]struct {
		pattern, with string
		act, reason   string
		before        int // lines between the event and its content
	}{
		"a page that changed on its way": {`("tag":1.*"content":"take".*"digest":)"[0-9a-f]{4}`, `$1"0123`,
			"RecvData", "content: <<", 2},
		"a right that was not granted": {`("act":"LeafRecvGrant".*"op":"read".*"post":.*"right":)"read"`, `$1"owned"`,
			"LeafRecvGrant", "right: 1 by the specification, 2 in the log", 0},
		"a mark that stays": {`("act":"RecvAck".*"tag":1.*"marked":)\[\]`, `$1[0]`, "RecvAck", "recorded: ", 0},
		"another message":   {`("act":"RecvReq".*"m":{"kind":"Req","op":)"read"`, `$1"write"`, "RecvReq", "at the head of its channel", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 1, Seed: 3}, 1500)
			path, line := rewrite(t, dir, c.pattern, c.with)
			v, err := judge(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			r := v.Refusal
			if v.Accepted || !strings.Contains(strings.Join(r.Reasons, "\n"), c.reason) || !strings.HasSuffix(r.Event.Act, c.act) ||
				r.Event.File.Path != path || r.Event.Line != line-c.before {
				t.Fatalf("changed %s:%d, and %+v", path, line, r)
			}
		})
	}
}

// TestMalformed changes one line of a run so that it says what no node can.
func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct{ pattern, with, want string }{
		"no such node":     {`("busy":{.*"leaf":)0`, `${1}99`, "there is no node 99"},
		"no such child":    {`("busy":{.*"child":)0`, `${1}9`, "has no child 9"},
		"no such right":    {`("act":.*"post":{"right":)"read"`, `$1"all"`, `"all" is none of [none read owned write]`},
		"no such state":    {`("act":.*"post":{)`, `$1"phase":1,`, "post: "},
		"no such manager":  {`("n":{"node":1,"tag":)1(.*"act":)`, `${1}0$2`, "there is no manager root@1 in the tree"},
		"no such sender":   {`("act":.*"f":{"node":1,"tag":)1(.*"from":{"node":1,"tag":)1`, `${1}7${2}7`, "a message from mid7@1"},
		"no such page":     {`("act":.*"p":)0`, `${1}77`, "page 77 is in no segment of this node"},
		"no action for it": {`("content":"take","p":)0`, `${1}1`, "no action explains that content of page 1 was recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 1, Seed: 3}, 1500)
			path, line := rewrite(t, dir, c.pattern, c.with)
			_, err := judge(t, dir)
			if want := fmt.Sprintf("%s:%d: ", path, line); !errors.Is(err, ndjson.ErrMalformed) || !strings.Contains(err.Error(), want) ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s%s", err, want, c.want)
			}
		})
	}
}

// kept are the runs below traces: how TLC judges each.
var kept = map[string]struct {
	nodes, depth int
	refused      string // the event; empty: the run is accepted
	// others are the objects of other kinds than pages, which are accepted.
	others map[*Kind]int
}{
	"sor":                  {4, 2, "", map[*Kind]int{&Barriers: 1}},
	"recreate":             {6, 3, "", map[*Kind]int{&Successions: 2}},
	"dropped-invalidation": {3, 1, "RecvReq at root@0", nil},
}

// Runs that were recorded once are judged as they were then.
func TestKept(t *testing.T) {
	const traces = "../../../traces"
	entries, err := os.ReadDir(traces)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := kept[e.Name()]; e.IsDir() && !ok {
			t.Errorf("traces/%s is not listed here", e.Name())
		}
	}
	for name, want := range kept {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := judge(t, filepath.Join(traces, name))
			if err != nil {
				t.Fatal(err)
			}
			refused := ""
			if r := v.Refusal; r != nil {
				refused = fmt.Sprintf("%s at %v", r.Event.Act, r.Event.At)
			}
			if v.Nodes != want.nodes || v.Depth != want.depth || v.Accepted != (want.refused == "") || refused != want.refused {
				t.Errorf("%d nodes, depth %d, refused %q; want %+v", v.Nodes, v.Depth, refused, want)
			}
			verdict := "accepted"
			if refused != "" {
				verdict = "refused at " + refused
			}
			t.Logf("validate: traces/%s: %d events of %d pages, %s as before", name, v.Events, v.Objects, verdict)
			for kind, objects := range want.others {
				if v = judgeKind(t, filepath.Join(traces, name), *kind); !v.Accepted || v.Objects != objects {
					t.Errorf("%s: %+v", kind.Name, v)
				}
				t.Logf("validate: traces/%s: %d events of %d %s, accepted as before", name, v.Events, v.Objects, kind.Name)
			}
		})
	}
}
