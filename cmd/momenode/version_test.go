package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/wire"
)

func TestVersion(t *testing.T) {
	status, stdout, stderr := run(t, "version", "--json")
	var v versions
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); status != 0 || stderr != "" || err != nil {
		t.Fatalf("status %d, %q, %v: %s", status, stderr, err, stdout)
	}
	if v.Version == "" || v.Go != runtime.Version() || v.Wire != wire.Version || v.Attach != client.Version || v.Trace != trace.Format || v.History != history.Format {
		t.Errorf("%+v", v)
	}
	// The commit is known where it was noted, which go build may be told not to.
	info, err := buildinfo.ReadFile(momenodePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && v.Commit != setting.Value {
			t.Errorf("the commit is %q, not %s", v.Commit, setting.Value)
		}
	}
	status, stdout, stderr = run(t, "version")
	for _, want := range []string{v.Version, v.Commit, v.Go, fmt.Sprintf("protocol between nodes  %d", v.Wire)} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status %d, %q: %q is missing in\n%s", status, stderr, want, stdout)
		}
	}
}

// TestProcsPerNode: K programs at each node are the ranks of one program.
func TestProcsPerNode(t *testing.T) {
	needNode(t)
	const nodes, each = 2, 3
	dir := shortTemp(t)
	momenode(t, "cluster", "--nodes", fmt.Sprint(nodes), "--procs-per-node", fmt.Sprint(each), "--dir", dir, "--", childProgram(t, "share")).
		expect(fmt.Sprintf("sum %d", nodes*each*(nodes*each+1)/2))
	_, stdout, _ := run(t, "status", "--barriers", "--json", "--socket", dir+"/node1.sock")
	var s syncsStatus
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || len(s.Barriers) != 1 || s.Barriers[0].Parties != nodes*each || len(s.Barriers[0].Joined) != nodes*each {
		t.Fatalf("%v: %s", err, stdout)
	}
	for _, p := range s.Barriers[0].Joined {
		if p.Node != p.Party/each {
			t.Errorf("rank %d is at node %d", p.Party, p.Node)
		}
	}
}
