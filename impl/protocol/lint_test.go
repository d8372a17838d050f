package protocol_test

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
)

// TestImports demands that the core stays pure.
func TestImports(t *testing.T) {
	forbidden := []string{"net", "time", "os", "sync", "io", "context", "math/rand", "unsafe", "syscall", "golang.org/x/sys"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for _, bad := range forbidden {
				if path == bad || strings.HasPrefix(path, bad+"/") {
					t.Errorf("%s imports %s", file, path)
				}
			}
			if strings.HasPrefix(path, "github.com/mome-dsm/mome/") && path != "github.com/mome-dsm/mome/impl/addr" {
				t.Errorf("%s imports %s: the core imports addr only", file, path)
			}
		}
	}
}

// TestActions compares the actions of Next in Strong.tla with Actions, both
// ways. Store is the application's, and silent.
func TestActions(t *testing.T) {
	text, err := os.ReadFile("../../spec/strong/Strong.tla")
	if err != nil {
		t.Fatal(err)
	}
	operators := make(map[string]string) // name -> body
	define := regexp.MustCompile(`(?m)^([A-Z]\w*)(\([\w, ]*\))? *==`)
	at := define.FindAllSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		operators[string(text[m[2]:m[3]])] = string(text[m[1]:end])
	}
	called := regexp.MustCompile(`\b([A-Z]\w*)\(`)
	names := func(op string) (all []string) {
		body, ok := operators[op]
		if !ok {
			t.Fatalf("Strong.tla has no %s", op)
		}
		for _, m := range called.FindAllStringSubmatch(body, -1) {
			all = append(all, m[1])
		}
		return all
	}
	var spec []string
	for _, part := range names("Next") {
		for _, a := range names(part) {
			if a != "Children" && a != "Store" && !slices.Contains(spec, a) {
				spec = append(spec, a)
			}
		}
	}
	var code []string
	for _, a := range protocol.Actions() {
		code = append(code, a.String())
	}
	for _, a := range spec {
		if !slices.Contains(code, a) {
			t.Errorf("Next has %s, Actions has not", a)
		}
	}
	for _, a := range code {
		if !slices.Contains(spec, a) {
			t.Errorf("Actions has %s, Next has not", a)
		}
	}
	if len(spec) < 12 {
		t.Errorf("only %d actions found in Next: %v", len(spec), spec)
	}
	// A handler of a manager or a leaf has the name of its action.
	var source strings.Builder
	for _, file := range []string{"manager.go", "leaf.go", "home.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	for _, a := range code {
		if !regexp.MustCompile(`func \(\w+ \*(manager|leafManager)\) ` + a + `\(`).MatchString(source.String()) {
			t.Errorf("no handler is named %s", a)
		}
	}
}
