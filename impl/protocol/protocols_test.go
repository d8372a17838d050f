package protocol_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/replay"
	"github.com/mome-dsm/mome/impl/trace/show"
	"github.com/mome-dsm/mome/impl/trace/validate"
)

// protocols are what the values of a layer are about.
func protocols[V any](values []V, of func(V) *protocol.Protocol) (all []*protocol.Protocol) {
	for _, v := range values {
		all = append(all, of(v))
	}
	return all
}

// TestRegistry: each layer has a value for each protocol, and for no other. The fuzz
// targets have a test of their own (TestMachines).
func TestRegistry(t *testing.T) {
	var replayed, mutated []*protocol.Protocol
	for _, c := range replay.Cores {
		replayed = append(replayed, c.Protocols...)
	}
	mutants, err := os.ReadFile("mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range protocol.Protocols { // with mistakes, and a table of them
		_, err := os.Stat(filepath.Join("../mutants/testdata", p.Object+"s"))
		if err == nil && regexp.MustCompile(`(?m)^group `+p.Object+`s$`).Match(mutants) {
			mutated = append(mutated, p)
		}
	}
	for layer, have := range map[string][]*protocol.Protocol{
		"simulator": protocols(sim.Protocols, func(s sim.Simulated) *protocol.Protocol { return s.Protocol }),
		"coverage":  protocols(coverage.Specs, func(s *coverage.Spec) *protocol.Protocol { return s.Protocol }),
		"replay":    replayed,
		"validator": protocols(validate.Kinds, func(k validate.Kind) *protocol.Protocol { return k.Protocol }),
		"show":      protocols(show.Protocols, func(s show.Shown) *protocol.Protocol { return s.Protocol }),
		"mutants":   mutated,
	} {
		for _, p := range protocol.Protocols {
			if !slices.Contains(have, p) {
				t.Errorf("%s: nothing of %ss, which are in the registry", layer, p.Object)
			}
		}
		for _, p := range have {
			if !slices.Contains(protocol.Protocols, p) {
				t.Errorf("%s: %ss are not in the registry", layer, p.Object)
			}
		}
	}
}

// TestRecorded: what the simulator records of a protocol is counted and replayed as
// what it is.
func TestRecorded(t *testing.T) {
	for _, s := range sim.Protocols {
		dir := t.TempDir()
		if err := s.Record(dir, 1, 500); err != nil {
			t.Fatal(err)
		}
		runs, err := coverage.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		counted := 0
		for _, r := range runs {
			if n := r.Total(); r.Protocol == s.Protocol {
				counted += n
			} else if n > 0 {
				t.Errorf("%ss: %d actions are counted for %s", s.Protocol.Object, n, r.Name)
			}
		}
		again, err := replay.Run(dir)
		if err != nil || again.Actions == 0 || counted != again.Actions {
			t.Errorf("%ss: %d actions are counted, and %d replayed: %v", s.Protocol.Object, counted, again.Actions, err)
		}
	}
}
