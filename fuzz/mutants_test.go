//go:build mutants

package fuzz

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/protocol"
)

var mutantFlag = flag.String("mutant", "", "TestFind: the mutant that a fail file is to be found for")

// bugs are the mutants that are about the machine's protocol.
func (m machine) bugs() (all []protocol.Bug) {
	for _, g := range m.groups {
		all = append(all, protocol.Bugs(g)...)
	}
	return all
}

// verdict is a rapid.TB that hears how a check ended.
type verdict struct {
	name   string
	failed bool
	log    strings.Builder
}

func (v *verdict) Helper()                   {}
func (v *verdict) Name() string              { return v.name }
func (v *verdict) Logf(f string, a ...any)   { fmt.Fprintf(&v.log, f+"\n", a...) }
func (v *verdict) Log(a ...any)              { fmt.Fprintln(&v.log, a...) }
func (v *verdict) Skipf(f string, a ...any)  { v.Fatalf(f, a...) }
func (v *verdict) Skip(a ...any)             { v.Fatal(a...) }
func (v *verdict) SkipNow()                  { v.FailNow() }
func (v *verdict) Errorf(f string, a ...any) { v.Logf(f, a...); v.failed = true }
func (v *verdict) Error(a ...any)            { v.Log(a...); v.failed = true }
func (v *verdict) Fatalf(f string, a ...any) { v.Logf(f, a...); v.FailNow() }
func (v *verdict) Fatal(a ...any)            { v.Log(a...); v.FailNow() }
func (v *verdict) Fail()                     { v.failed = true }
func (v *verdict) FailNow()                  { v.failed = true; runtime.Goexit() }
func (v *verdict) Failed() bool              { return v.failed }

// check runs a property under the flags of rapid, and says how it ended.
func check(name string, property func(*rapid.T), flags map[string]string) *verdict {
	for f, value := range flags {
		old := flag.Lookup(f).Value.String()
		if err := flag.Set(f, value); err != nil {
			panic(err)
		}
		defer flag.Set(f, old)
	}
	v := &verdict{name: name}
	done := make(chan struct{})
	go func() { // FailNow ends it
		defer close(done)
		rapid.Check(v, property)
	}()
	<-done
	return v
}

// named is the mutant with the name, of those.
func named(name string, bugs []protocol.Bug) (protocol.Bug, bool) {
	i := slices.IndexFunc(bugs, func(b protocol.Bug) bool { return b.String() == name })
	if i < 0 {
		return 0, false
	}
	return bugs[i], true
}

// TestFailFiles: the fail file of a mutant fails under it, and passes without.
func TestFailFiles(t *testing.T) {
	defer protocol.Break(0)
	for _, m := range machines {
		test := m.test
		for _, path := range failFiles(t, test) {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), test+"-"), ".fail")
			t.Run(test+"/"+name, func(t *testing.T) {
				// Only the file: no random schedules, and no other files.
				only := map[string]string{"rapid.failfile": path, "rapid.checks": "0"}
				protocol.Break(0)
				if v := check("no such test", m.property(), only); v.failed {
					t.Errorf("it fails on the core as it is:\n%s", v.log.String())
				}
				b, ok := named(name, m.bugs())
				if !ok {
					return // found on the core as it was
				}
				protocol.Break(b)
				if v := check("no such test", m.property(), only); !v.failed {
					t.Errorf("it passes under the mutant; make it anew: scripts/mutated go test ./fuzz -run TestFind -mutant %s", name)
				}
			})
		}
	}
}

// TestFind finds a fail file for the mutant of the flag, shrinks it, and puts it
// where TestFailFiles looks for it.
func TestFind(t *testing.T) {
	if *mutantFlag == "" {
		t.Skip("without -mutant there is nothing to find")
	}
	var all []protocol.Bug
	for _, m := range machines {
		if b, ok := named(*mutantFlag, m.bugs()); ok {
			find(t, m.test, b, m.property())
			return
		}
		all = append(all, m.bugs()...)
	}
	t.Fatalf("-mutant %s: there are %v", *mutantFlag, all)
}

func find(t *testing.T, test string, b protocol.Bug, property func(*rapid.T)) {
	defer protocol.Break(0)
	protocol.Break(b)
	// rapid names the file after the test; in a directory of its own it is the
	// only one.
	const found = "Found"
	dir := filepath.Join("testdata", "rapid", found)
	defer os.RemoveAll(dir)
	v := check(found, property, map[string]string{"rapid.checks": "20000"})
	files, err := filepath.Glob(filepath.Join(dir, "*.fail"))
	if err != nil || len(files) != 1 {
		t.Fatalf("no schedule breaks %v:\n%s", b, v.log.String())
	}
	to := filepath.Join("testdata", "rapid", test, fmt.Sprintf("%s-%v.fail", test, b))
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(files[0], to); err != nil {
		t.Fatal(err)
	}
	t.Log(to)
}
