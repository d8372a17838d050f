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

// nextActions are the actions that Next of a module names, through one more
// level of operators, and without those that are not the core's.
func nextActions(t *testing.T, file string, silent ...string) (spec []string) {
	text, err := os.ReadFile(file)
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
			t.Fatalf("%s has no %s", file, op)
		}
		for _, m := range called.FindAllStringSubmatch(body, -1) {
			all = append(all, m[1])
		}
		return all
	}
	for _, part := range names("Next") {
		for _, a := range names(part) {
			if !slices.Contains(silent, a) && !slices.Contains(spec, a) {
				spec = append(spec, a)
			}
		}
	}
	return spec
}

// TestActions compares the actions of Next in a specification with those of the
// code, both ways, and demands that a handler has the name of its action. Store
// is the application's, and silent.
func TestActions(t *testing.T) {
	for _, c := range []struct {
		spec    string
		silent  []string // in Next, and no actions
		code    []string
		files   []string
		handler string // its receiver
		least   int
	}{
		{"strong/Strong.tla", []string{"Children", "Store"}, actionNames(protocol.Actions()),
			[]string{"manager.go", "leaf.go", "home.go"}, `\*(manager|leafManager)`, 12},
		{"heaplock/HeapLock.tla", []string{"Unused"}, actionNames(protocol.LockActions()),
			[]string{"lock.go", "sync.go"}, `lockClient|lockHome|\*SyncNode`, 10},
		{"barrier/Barrier.tla", []string{"Unused"}, actionNames(protocol.BarrierActions()),
			[]string{"barrier.go", "sync.go"}, `barrierClient|barrierHome|\*SyncNode`, 11},
	} {
		t.Run(c.spec, func(t *testing.T) {
			spec := nextActions(t, "../../spec/"+c.spec, c.silent...)
			for _, a := range spec {
				if !slices.Contains(c.code, a) {
					t.Errorf("Next has %s, the code has not", a)
				}
			}
			for _, a := range c.code {
				if !slices.Contains(spec, a) {
					t.Errorf("the code has %s, Next has not", a)
				}
			}
			if len(spec) < c.least {
				t.Errorf("only %d actions found in Next: %v", len(spec), spec)
			}
			expectHandlers(t, c.files, c.handler, c.code)
		})
	}
}

func actionNames[A interface{ String() string }](actions []A) (all []string) {
	for _, a := range actions {
		all = append(all, a.String())
	}
	return all
}

func expectHandlers(t *testing.T, files []string, receiver string, actions []string) {
	var source strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	for _, a := range actions {
		if !regexp.MustCompile(`func \(\w+ (` + receiver + `)\) ` + a + `\(`).MatchString(source.String()) {
			t.Errorf("no handler is named %s", a)
		}
	}
}
