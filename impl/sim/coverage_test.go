package sim

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
)

// roles are the roles that an action has in trees of four levels of managers.
func roles(a protocol.Action) []Role {
	switch a {
	case protocol.ActRecvReq, protocol.ActRecvAck:
		return []Role{1, 2, 3, RoleRoot}
	case protocol.ActRecvGrant, protocol.ActRecvRecall:
		return []Role{1, 2, 3}
	case protocol.ActHomeRecvData:
		return []Role{RoleRoot}
	}
	return []Role{RoleLeaf}
}

// impossible says why a cell of the coverage must be zero, or "".
func impossible(k Key) string {
	leaf := k.Role == RoleLeaf
	switch {
	case leaf && k.Phase == protocol.Serving:
		return "a leaf serves nobody"
	case k.Role == RoleRoot && k.Phase != protocol.Idle && k.Phase != protocol.Serving:
		return "a root has no parent: it neither climbs nor is recalled"
	}
	asking := k.Phase == protocol.Climbing || k.Phase == protocol.RecalledClimbing
	recalled := k.Phase == protocol.Recalled || k.Phase == protocol.RecalledClimbing
	switch k.Action {
	case protocol.ActReadFault, protocol.ActWriteFault, protocol.ActWriteback, protocol.ActEvict:
		if asking {
			return "guard: no request is out"
		}
	case protocol.ActRecvData:
		if !asking {
			return "Data answers a request"
		}
	case protocol.ActLeafRecvGrant:
		if !asking {
			return "a Grant answers a request"
		}
	case protocol.ActLeafRecvRecall:
		if !recalled {
			return "a Recall waits in the leaf's slot until it is handled"
		}
	case protocol.ActRecvGrant:
		if !asking {
			return "guard: busy, phase up"
		}
		if recalled {
			return "the parent grants nothing before its Recall is answered"
		}
	case protocol.ActRecvRecall:
		if recalled {
			return "the parent sends one Recall at a time"
		}
	case protocol.ActRecvAck:
		if k.Phase == protocol.Idle || k.Phase == protocol.Climbing {
			return "AckOnlyInv: somebody waits for it"
		}
	case protocol.ActHomeRecvData:
		if k.Phase != protocol.Serving {
			return "the home waits for Data while it serves a writeback"
		}
	}
	return ""
}

func checkCoverage(t *testing.T, c Coverage) {
	t.Helper()
	for _, a := range protocol.Actions() {
		for _, r := range roles(a) {
			for _, ph := range Phases {
				k := Key{a, r, ph}
				switch why := impossible(k); {
				case why == "" && c[k] == 0:
					t.Errorf("%v at %v in phase %v never ran", a, r, ph)
				case why != "" && c[k] > 0:
					t.Errorf("%v at %v in phase %v ran %d times; it is listed as impossible: %s", a, r, ph, c[k], why)
				}
			}
		}
	}
}

// TestInvariantNames compares the state invariants of StrongInvs.tla with
// Invariants, both ways. ProcessInv and VersionInv are the code's.
func TestInvariantNames(t *testing.T) {
	text, err := os.ReadFile("../../spec/strong/StrongInvs.tla")
	if err != nil {
		t.Fatal(err)
	}
	var spec []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+Inv) *==`).FindAllSubmatch(text, -1) {
		spec = append(spec, string(m[1]))
	}
	code := []string{}
	for _, inv := range Invariants {
		code = append(code, inv.Name)
		if inv.Name != "ProcessInv" && inv.Name != "VersionInv" && !slices.Contains(spec, inv.Name) {
			t.Errorf("StrongInvs.tla has no %s", inv.Name)
		}
	}
	for _, name := range spec {
		if !slices.Contains(code, name) {
			t.Errorf("nothing checks %s", name)
		}
	}
}
