package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/internal/mutation"
)

// source is a file of a package, by its declarations.
type source struct {
	text  string
	fset  *token.FileSet
	file  *ast.File
	names []string // of the functions, in their order
	funcs map[string]*ast.FuncDecl
}

func parseSource(name, text string) (*source, error) {
	s := &source{text: text, fset: token.NewFileSet(), funcs: make(map[string]*ast.FuncDecl)}
	var err error
	if s.file, err = parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			s.names = append(s.names, nameOf(f))
			s.funcs[nameOf(f)] = f
		}
	}
	return s, nil
}

// nameOf is the name of a function in its package, with the type that it is a method of.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	return baseOf(f.Recv.List[0].Type) + "." + f.Name.Name
}

func baseOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return baseOf(e.X)
	case *ast.IndexExpr:
		return baseOf(e.X)
	case *ast.IndexListExpr:
		return baseOf(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

func (s *source) of(n ast.Node) string { return s.text[s.offset(n.Pos()):s.offset(n.End())] }

// outside is the file without its functions: what a mutant must leave as it is.
func (s *source) outside() string {
	var b strings.Builder
	at := 0
	for _, name := range s.names {
		f := s.funcs[name]
		b.WriteString(s.text[at:s.offset(f.Pos())] + name)
		at = s.offset(f.End())
	}
	return b.String() + s.text[at:]
}

// mutate are the files of dir that mutants change, with a variant of each function for
// each mutant that changes it, and the file that switches one on.
func mutate(dir string, list []*mutation.Mutant) (map[string][]byte, error) {
	sources := make(map[string]*source)
	variants := make(map[string]map[string][]string) // names of mutants, by file and function
	added := make(map[string]*strings.Builder)
	for _, m := range list {
		texts, err := m.Apply(dir)
		if err != nil {
			return nil, err
		}
		for _, file := range slices.Sorted(maps.Keys(texts)) {
			clean := sources[file]
			if clean == nil {
				text, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					return nil, err
				}
				if clean, err = parseSource(file, string(text)); err != nil {
					return nil, err
				}
				sources[file], variants[file], added[file] = clean, make(map[string][]string), new(strings.Builder)
			}
			changed, err := parseSource(file, texts[file])
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			if changed.outside() != clean.outside() {
				return nil, fmt.Errorf("mutant %s changes %s outside of its functions", m.Name, file)
			}
			for _, name := range changed.names {
				f := changed.funcs[name]
				if changed.of(f) == clean.of(clean.funcs[name]) {
					continue
				}
				if before, after := clean.of(clean.funcs[name].Type), changed.of(f.Type); before != after {
					return nil, fmt.Errorf("mutant %s changes the arguments of %s", m.Name, name)
				}
				variants[file][name] = append(variants[file][name], m.Name)
				text, at := changed.of(f), changed.offset(f.Name.End())-changed.offset(f.Pos())
				fmt.Fprintf(added[file], "\n%s%s%s\n", text[:at], suffix(m.Name), text[at:])
			}
		}
	}
	copies := map[string][]byte{"mutants.go": nil}
	for file, s := range sources {
		text, err := s.asking(variants[file])
		if err != nil {
			return nil, err
		}
		copies[file] = []byte(text + added[file].String())
	}
	pkg, err := packageOf(dir)
	if err != nil {
		return nil, err
	}
	copies["mutants.go"] = switches(pkg, list)
	for file, text := range copies {
		made, err := format.Source(text)
		if err != nil {
			return nil, fmt.Errorf("%s with its mutants: %w", file, err)
		}
		copies[file] = made
	}
	return copies, nil
}

func suffix(mutant string) string { return "With" + mutant }

// asking is the file in which each function that has variants begins with the question
// which of them is meant.
func (s *source) asking(variants map[string][]string) (string, error) {
	var b strings.Builder
	at := 0
	for _, name := range s.names {
		if len(variants[name]) == 0 {
			continue
		}
		f := s.funcs[name]
		call, err := s.call(f)
		if err != nil {
			return "", err
		}
		body := s.offset(f.Body.Lbrace) + 1
		b.WriteString(s.text[at:body] + "\nswitch theBug {\n")
		for _, m := range variants[name] {
			called := strings.Replace(call, f.Name.Name+"(", f.Name.Name+suffix(m)+"(", 1)
			fmt.Fprintf(&b, "case bug%s:\n%s\n", m, called)
		}
		b.WriteString("}\n")
		at = body
	}
	return b.String() + s.text[at:], nil
}

// call is the call of a function with the arguments that it has itself.
func (s *source) call(f *ast.FuncDecl) (string, error) {
	var args []string
	for _, field := range f.Type.Params.List {
		dots := ""
		if _, ok := field.Type.(*ast.Ellipsis); ok {
			dots = "..."
		}
		if len(field.Names) == 0 {
			return "", fmt.Errorf("%s has an argument without a name, so it can have no mutant", nameOf(f))
		}
		for _, n := range field.Names {
			if n.Name == "_" {
				return "", fmt.Errorf("%s has an argument without a name, so it can have no mutant", nameOf(f))
			}
			args = append(args, n.Name+dots)
		}
	}
	call := f.Name.Name + "(" + strings.Join(args, ", ") + ")"
	if f.Recv != nil {
		if names := f.Recv.List[0].Names; len(names) == 0 || names[0].Name == "_" {
			return "", fmt.Errorf("%s has a receiver without a name, so it can have no mutant", nameOf(f))
		}
		call = f.Recv.List[0].Names[0].Name + "." + call
	}
	if f.Type.Results == nil {
		return call + "\nreturn", nil
	}
	return "return " + call, nil
}

func packageOf(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no Go files in %s (%v)", dir, err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), files[0], nil, parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(f.Name.Name, "_test"), nil
}

// switches is the file that names the mutants and switches one on.
func switches(pkg string, list []*mutation.Mutant) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "//go:build mutants\n\npackage %s\n\nimport (\n\"os\"\n\"strings\"\n)\n\n", pkg)
	b.WriteString("// Bug is a mutant of mutants.txt.\ntype Bug uint8\n\nconst (\nnoBug Bug = iota\n")
	for _, m := range list {
		fmt.Fprintf(&b, "bug%s\n", m.Name)
	}
	b.WriteString(")\n\nvar bugs = [...]struct{ name, group string }{\n{\"none\", \"\"},\n")
	for _, m := range list {
		fmt.Fprintf(&b, "{%q, %q},\n", m.Name, m.Group)
	}
	fmt.Fprintf(&b, "}\n\nconst thisPackage = %q\n", pkg)
	b.WriteString(`
func (b Bug) String() string { return bugs[b].name }

var theBug = bugOf(os.Getenv("MOME_MUTANT"))

func bugOf(mutant string) Bug {
	pkg, name, _ := strings.Cut(mutant, ".")
	if pkg != thisPackage {
		return noBug
	}
	return Named(name)
}

// Named is the mutant of a name.
func Named(name string) Bug {
	for i := range bugs {
		if bugs[i].name == name {
			return Bug(i)
		}
	}
	panic("mome: mutants.txt of " + thisPackage + " has no mutant " + name)
}

// Break switches a mutant on, and every other off.
func Break(b Bug) { theBug = b }

// Bugs are all mutants of a group.
func Bugs(group string) (list []Bug) {
	for i := range bugs {
		if b := Bug(i); b != noBug && bugs[i].group == group {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		panic("mome: mutants.txt of " + thisPackage + " has no group " + group)
	}
	return list
}
`)
	return b.Bytes()
}
