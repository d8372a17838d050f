package protocol_test

import (
	"go/ast"
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

// coreFiles are the parsed files of the core in a directory, without tests.
func coreFiles(t *testing.T, set *token.FileSet, dir string) (all []*ast.File) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// TestImports demands that the core stays pure, and what it imports of this
// module: addr, which imports nothing of it.
func TestImports(t *testing.T) {
	forbidden := []string{"net", "time", "os", "sync", "io", "context", "math/rand", "unsafe", "syscall", "golang.org/x/sys"}
	set := token.NewFileSet()
	for _, f := range append(coreFiles(t, set, "."), coreFiles(t, set, "../addr")...) {
		file := set.File(f.Pos()).Name()
		for _, imp := range f.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for _, bad := range forbidden {
				if path == bad || strings.HasPrefix(path, bad+"/") {
					t.Errorf("%s imports %s", file, path)
				}
			}
			if strings.HasPrefix(path, "github.com/mome-dsm/mome/") && (strings.HasPrefix(file, "..") || path != "github.com/mome-dsm/mome/impl/addr") {
				t.Errorf("%s imports %s: the core imports addr only, and that nothing", file, path)
			}
		}
	}
}

// concurrency is where a file starts goroutines or uses channels.
func concurrency(f *ast.File) (all []ast.Node) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			all = append(all, n)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				all = append(all, n)
			}
		}
		return true
	})
	return all
}

// TestNoConcurrency demands that a step runs in the goroutine of its caller: the
// core has no go statement, no channel and no select. Nor has what drives it without
// a shell; the Makefile keeps the race detector away from these packages.
func TestNoConcurrency(t *testing.T) {
	set := token.NewFileSet()
	for _, dir := range []string{".", "../addr", "../sim", "../explore", "../coverage", "../../linearizability", "../../fuzz"} {
		for _, f := range coreFiles(t, set, dir) {
			for _, n := range concurrency(f) {
				t.Errorf("%v: %T in a package that has one goroutine", set.Position(n.Pos()), n)
			}
		}
	}
	f, err := parser.ParseFile(set, "", "package p; func f(c chan int) { go f(c); select { case c <- 1: }; <-c }", 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(concurrency(f)); n != 5 {
		t.Errorf("%d nodes found where 5 are", n)
	}
}

// nextActions are the actions that Next of a module names, through one more
// level of operators, and without those that are not the core's. What the module
// extends comes before it.
func nextActions(t *testing.T, folder string, files []string, silent ...string) (spec []string) {
	var text []byte
	for _, f := range files {
		module, err := os.ReadFile(filepath.Join("../../spec", folder, f))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, module...)
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
			t.Fatalf("%v have no %s", files, op)
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
	var compared []*protocol.Protocol
	for _, c := range []struct {
		of      *protocol.Protocol
		spec    []string // its modules
		silent  []string // in Next, and no actions
		files   []string
		handler string // its receiver
		least   int
	}{
		{protocol.Pages, []string{"Manager.tla", "Strong.tla"}, []string{"Children", "Store"},
			[]string{"manager.go", "leaf.go", "home.go"}, `\*(manager|leafManager)`, 12},
		{protocol.Locks, []string{"HeapLock.tla"}, []string{"Unused"},
			[]string{"lock.go", "sync.go"}, `lockClient|lockHome|\*SyncNode`, 10},
		{protocol.Barriers, []string{"Barrier.tla"}, []string{"Unused"},
			[]string{"barrier.go", "sync.go"}, `barrierClient|barrierHome|\*SyncNode`, 11},
	} {
		compared = append(compared, c.of)
		t.Run(c.of.Spec, func(t *testing.T) {
			spec := nextActions(t, c.of.Spec, c.spec, c.silent...)
			for _, a := range spec {
				if !slices.Contains(c.of.Actions, a) {
					t.Errorf("Next has %s, the code has not", a)
				}
			}
			for _, a := range c.of.Actions {
				if !slices.Contains(spec, a) {
					t.Errorf("the code has %s, Next has not", a)
				}
			}
			if len(spec) < c.least {
				t.Errorf("only %d actions found in Next: %v", len(spec), spec)
			}
			expectHandlers(t, c.files, c.handler, c.of.Actions)
		})
	}
	if !slices.Equal(compared, protocol.Protocols) {
		t.Errorf("not every protocol of the registry is compared, in its order")
	}
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
