package mome_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestLinks: a program that uses this package links the attach protocol and no
// more of the daemon. Whoever records a history gets neither the core nor what
// records it.
func TestLinks(t *testing.T) {
	const module = "github.com/mome-dsm/mome"
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(out))
	// Without these the list is not that of this package.
	for _, part := range []string{"impl/client", "impl/memory", "impl/history"} {
		if !slices.Contains(all, module+"/"+part) {
			t.Errorf("no %s in %q", part, all)
		}
	}
	for _, path := range all {
		for _, part := range []string{"impl/protocol", "impl/node", "impl/wire", "impl/coord", "impl/trace"} {
			if path == module+"/"+part || strings.HasPrefix(path, module+"/"+part+"/") {
				t.Errorf("a program links %s", path)
			}
		}
		for _, other := range []string{"go.etcd.io/", "google.golang.org/grpc"} {
			if strings.HasPrefix(path, other) {
				t.Errorf("a program links %s", path)
			}
		}
	}
}
