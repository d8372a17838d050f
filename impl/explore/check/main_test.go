package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRun runs the command on the specifications as they are, and on a manifest
// that says otherwise.
func TestRun(t *testing.T) {
	spec := t.TempDir()
	if err := os.CopyFS(filepath.Join(spec, "strong"), os.DirFS("../../../spec/strong")); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../../spec/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, to, only string
		row, err             string
	}{
		{name: "equal", only: "^root2$", row: "root2            5,234      10,745    33"},
		{name: "another count", from: `"generated":10745`, to: `"generated":10746`, only: "^root2$",
			row: "transitions: the core has 10745, TLC found 10746", err: "1 of 1 models differ from what TLC found"},
		{name: "no such model", only: "^root9$", err: "-only ^root9$ matches no model"},
		{name: "no such tree", from: "MCStrong_small.cfg", to: "MCStrong_none.cfg", only: "root2", err: "MCStrong_none.cfg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(string(manifest), c.from, c.to, 1)
			if err := os.WriteFile(filepath.Join(spec, "manifest.json"), []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := run(t.Context(), &out, options{spec: spec, only: regexp.MustCompile(c.only)})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !strings.Contains(out.String(), c.row) {
				t.Errorf("printed\n%s\nwant %q", &out, c.row)
			}
		})
	}
}
