package tlc

import (
	"os"
	"path/filepath"
	"testing"
)

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
	t.Setenv("TLA2TOOLS_JAR", "nowhere.jar")
	if _, err := findJar(dir); err == nil {
		t.Error("findJar finds a jar that is not there")
	}
}
