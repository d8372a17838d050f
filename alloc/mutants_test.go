//go:build mutants

package alloc

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMutants demands that each mistake of mutants.txt is found by the test that its
// group names, and that no test finds one where there is none.
func TestMutants(t *testing.T) {
	found := 0
	for _, b := range bugs {
		finder := b.group
		if finder == "" { // no mistake: all tests but this one
			finder = "Test([^M].*)"
		}
		cmd := exec.Command(os.Args[0], "-test.run", "^"+finder+"$", "-test.timeout", "60s",
			"-rapid.seed=1", "-rapid.shrinktime=1ms", "-rapid.nofailfile")
		cmd.Env = append(os.Environ(), "MOME_MUTANT="+thisPackage+"."+b.name)
		out, err := cmd.CombinedOutput()
		again := "MOME_MUTANT=" + thisPackage + "." + b.name + " scripts/mutated go test ./alloc -run '^" + finder + "$' -rapid.seed=1"
		switch fails := err != nil && strings.Contains(string(out), "--- FAIL: "+finder); {
		case b.group == "" && err != nil:
			t.Errorf("a test fails where there is no mistake: %v\n%s", err, out)
		case b.group != "" && !fails:
			t.Errorf("%s is not found by %s (%v); run again: %s\n%s", b.name, finder, err, again, out)
		case fails:
			found++
		}
	}
	t.Logf("mutants: alloc: %d bugs; found by their tests %d", len(bugs)-1, found)
}
