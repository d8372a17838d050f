package show

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBrowser opens a diagram in the browser that MOME_BROWSER names (chromium,
// say) and uses it by testdata/browser.js.
func TestBrowser(t *testing.T) {
	browser := os.Getenv("MOME_BROWSER")
	if browser == "" {
		t.Skip("MOME_BROWSER names no browser")
	}
	run := open(t, record(t, deep, 1000))
	d, err := NewDiagram(run, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/browser.js")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "run.html")
	html := strings.Replace(draw(t, d), "</body>", "<script>"+string(script)+"</script></body>", 1)
	if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--window-size=1400,900", "--virtual-time-budget=20000", "--dump-dom", "file://"+file).Output()
	if err != nil {
		t.Fatal(err)
	}
	title := regexp.MustCompile(`<title>wrong: (.*)\.</title>`).FindSubmatch(out)
	if title == nil {
		t.Fatalf("the script did not run: %.2000s", out)
	}
	if len(title[1]) > 0 {
		t.Errorf("wrong: %s", title[1])
	}
}
