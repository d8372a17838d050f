//go:build mutants

package mutants

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/replay"
	"github.com/mome-dsm/mome/impl/trace/validate"
)

// recordedWorlds are runs of the correct core that come to rest: of two pages, and
// of two locks.
var recordedWorlds = []struct {
	kind   validate.Kind
	record func(dir string) error
}{
	{validate.Pages, func(dir string) error {
		return sim.Recorded(dir, sim.Config{Nodes: 4, Fanout: 2, Pages: 2, Seed: 1}, 600)
	}},
	{validate.Locks, func(dir string) error {
		return sim.NewLocks(sim.SyncConfig{Nodes: 3, Objects: 2, Seed: 1}).Recorded(dir, 200)
	}},
}

// readRun reads all logs of a run, as who judges them does.
func readRun(dir string) error {
	run, err := trace.OpenRun(dir)
	if err == nil {
		err = run.Whole()
	}
	if err != nil {
		return err
	}
	for _, err := range run.Events() {
		if err != nil {
			return err
		}
	}
	for _, err := range run.SyncEvents() {
		if err != nil {
			return err
		}
	}
	return nil
}

// place is where an error of reading says that it is, within the directory.
var place = regexp.MustCompile(`^.*(ndjson:\d+|: ): `)

// short is an error of reading without its place and without numbers.
func short(dir string, err error) string {
	text := place.ReplaceAllString(strings.ReplaceAll(err.Error(), dir, ""), "")
	return digits.ReplaceAllString(text, "N")
}

// account makes manifests of what the logs have, so that whoever reads these finds
// nothing missing: what is found then is found in the records. What only the nodes
// can say is not said: what the links have carried, and that the run came to rest.
func account(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*-manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	for node, incarnation := range run.Conf.Members.All {
		m := trace.Manifest{Format: trace.Format, Node: node, Incarnation: incarnation, Failed: "not known"}
		for peer := range run.Conf.Members.All {
			if peer != node {
				m.Links = append(m.Links, trace.LinkAccount{Peer: peer})
			}
		}
		for _, f := range slices.Concat(run.Files, run.Sync) {
			if f.Header.Node != m.Node {
				continue
			}
			l := trace.ManifestLog{Name: filepath.Base(f.Path)}
			for rec, err := range f.Records() {
				if err != nil {
					t.Fatal(err)
				}
				switch l.Records++; rec.Kind {
				case trace.KindAction:
					l.Actions++
				case trace.KindInput:
					l.Inputs++
				}
			}
			m.Logs = append(m.Logs, l)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("node%05d-i%d-manifest.json", node, incarnation)), append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// findByReplay replays the logs, with the manifests as they are.
func findByReplay(dir string) Finding {
	_, err := replay.Run(dir)
	var d *replay.Difference
	switch {
	case err == nil:
		return Finding{}
	case errors.As(err, &d):
		what, _, _ := strings.Cut(d.What, " of ")
		return Finding{what, err.Error()}
	}
	return Finding{"no verdict", err.Error()}
}

// TestTraces puts each mistake into the recorder of nodes.
func TestTraces(t *testing.T) {
	defer trace.Break(0)
	tool := findTLC(t)
	tb := Table{Name: "traces", Package: "./impl/mutants", Checks: []string{"reader", replayed, "trace"}}
	judges := newJudges()
	for _, bug := range append([]trace.Bug{0}, trace.Bugs("")...) {
		if !Wanted(bug.String()) {
			continue
		}
		r := Row{bug.String(), make([]Finding, len(tb.Checks))}
		tb.Rows = append(tb.Rows, r)
		var dirs []string
		for _, wd := range recordedWorlds {
			dir := t.TempDir()
			dirs = append(dirs, dir)
			trace.Break(bug)
			err := wd.record(dir)
			trace.Break(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := readRun(dir); err != nil && r.Found[0].Short == "" {
				r.Found[0] = Finding{short(dir, err), err.Error()}
			}
			// The others judge the records alone.
			account(t, dir)
			if f := findByReplay(dir); r.Found[1].Short == "" {
				r.Found[1] = f
			}
		}
		judges.add(func() {
			for i, wd := range recordedWorlds {
				if f := findInTrace(t, tool, wd.kind, recording{dir: dirs[i],
					finds: func(short, full string) Finding { return Finding{wd.kind.Name + ": " + short, full} }}); f.Short != "" {
					r.Found[2] = f
					return
				}
			}
		})
	}
	judges.wait()
	tb.Compare(t, "testdata")
}
