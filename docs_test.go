package mome_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// maxWords is how long a sentence of the documentation may be. What is longer
// is two sentences, or a riddle.
const maxWords = 45

// sentence is one sentence of a text, and the line on which it begins.
type sentence struct {
	line int
	text string
}

// TestSentences: no sentence of a README, of a comment in Go or of one in TLA+
// has more than maxWords words.
func TestSentences(t *testing.T) {
	read := map[string]int{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		ext := filepath.Ext(path)
		split := map[string]func(string) ([]sentence, error){".md": inMarkdown, ".go": inGo, ".tla": inTLA}[ext]
		if split == nil || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all, err := split(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		read[ext] += len(all)
		for _, s := range all {
			if n := words(s.text); n > maxWords {
				t.Errorf("%s:%d: a sentence of %d words, more than %d: %s", path, s.line, n, maxWords, s.text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{".md", ".go", ".tla"} {
		if read[ext] < 500 {
			t.Errorf("%d sentences in files %s: the splitter does not see them", read[ext], ext)
		}
	}
}

// TestSplitter: what is a sentence, and what is none.
func TestSplitter(t *testing.T) {
	for _, c := range []struct {
		name  string
		split func(string) ([]sentence, error)
		text  string
		want  []sentence
	}{
		{"two in a line", inMarkdown, "One two. Three!\n", []sentence{{1, "One two."}, {1, "Three!"}}},
		{"over lines", inMarkdown, "One\ntwo. Three\nfour.\n\nFive\n", []sentence{{1, "One two."}, {2, "Three four."}, {5, "Five"}}},
		{"after a bracket", inMarkdown, "One (two.) *Three.* Four", []sentence{{1, "One (two.)"}, {1, "*Three.*"}, {1, "Four"}}},
		{"not in a number or a name", inMarkdown, "Go 1.26 reads go.mod, e.g. this. Two", []sentence{{1, "Go 1.26 reads go.mod, e.g. this."}, {1, "Two"}}},
		{"colons and semicolons go on", inMarkdown, "One: two; three.", []sentence{{1, "One: two; three."}}},
		{"code is one word", inMarkdown, "Run `a b. c\nd` twice.", []sentence{{1, "Run `…` twice."}}},
		{"a lone backtick hides nothing", inMarkdown, "A ` here.\n\nTwo\nthree ` four.", []sentence{{1, "A ` here."}, {3, "Two three ` four."}}},
		{"a link is its text", inMarkdown, "See [the. code](a/b.md) and ![x](y).", []sentence{{1, "See [the."}, {1, "code] and ![x]."}}},
		{"items", inMarkdown, "Two things:\n* one\n  more\n* two\n1. three\n- four\n", []sentence{{1, "Two things:"}, {2, "one more"}, {4, "two"}, {5, "three"}, {6, "four"}}},
		{"no blocks of code", inMarkdown, "One\n```\ntwo three\n```\nfour\n\n    five\n", []sentence{{1, "One"}, {5, "four"}}},
		{"no tables", inMarkdown, "One\n\n| two | three |\n|---|---|\n\n# Four\nfive", []sentence{{1, "One"}, {6, "Four."}, {7, "five"}}},
		{"comments of Go", inGo, "// One. Two\n// three.\n//\n//\tfour\n//\n// Five\n//   - six\n//     seven\n//   - eight\npackage p // nine\n\nvar x = 1 /* ten */\n//go:build linux\n",
			[]sentence{{1, "One."}, {1, "Two three."}, {6, "Five"}, {7, "six seven"}, {9, "eight"}, {10, "nine"}, {12, "ten"}}},
		{"comments beside lines of TLA+", inTLA, "A == 1  \\* one\nB == 2  \\* two\n        \\* three\n", []sentence{{1, "one"}, {2, "two three"}}},
		{"comments of TLA+", inTLA, "(*****)\n(* One  *)\n(* two. *)\n(*      *)\n(*   row *)\n(* Three *)\n(*****)\nA == 1 \\* four\n  \\* five\n\n\\* six\nB == \"(*\" (* seven\n   eight *)\n",
			[]sentence{{2, "One two."}, {6, "Three"}, {8, "four five"}, {11, "six"}, {12, "seven eight"}}},
	} {
		got, err := c.split(c.text)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q is %v (%v), want %v", c.name, c.text, got, err, c.want)
		}
	}
	for _, c := range []struct {
		text string
		want int
	}{{"one two", 2}, {"a - b = `…`, 3 µs", 5}, {"… —", 0}} {
		if got := words(c.text); got != c.want {
			t.Errorf("%q has %d words, want %d", c.text, got, c.want)
		}
	}
}

// words counts what has a letter or a digit; a span of code is one of them.
func words(text string) int {
	n := 0
	for _, w := range strings.Fields(text) {
		if strings.Contains(w, "`…`") || strings.ContainsFunc(w, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}

var (
	item = regexp.MustCompile(`^([*+-]|\d+[.)])\s+`)
	// ends is where a sentence does: brackets, quotes and emphasis may follow its
	// full stop.
	ends = regexp.MustCompile("[.!?][)\"'”*_\\]]*$")
	// abbreviated are words whose full stop ends nothing.
	abbreviated = regexp.MustCompile(`^\(?(e\.g|i\.e|cf|vs|p|al|v)\.$`)
	code        = regexp.MustCompile("`[^`\n]*\n?[^`\n]*`") // over a line end at most
	target      = regexp.MustCompile(`(?s)\]\([^)]*\)`)
)

// sentences splits a text of paragraphs, which blank lines and the items of
// lists begin. The text begins on line first of its file.
func sentences(text string, first int) []sentence {
	// What a span of code or the target of a link says is no prose. Its line ends stay.
	blank := func(put string) func(string) string {
		return func(s string) string { return put + strings.Repeat("\n", strings.Count(s, "\n")) }
	}
	text = target.ReplaceAllStringFunc(code.ReplaceAllStringFunc(text, blank("`…`")), blank("]"))
	var all []sentence
	var now sentence
	end := func() {
		if now.text != "" {
			all = append(all, now)
		}
		now = sentence{}
	}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			end()
		}
		if mark := item.FindString(line); mark != "" {
			end()
			line = line[len(mark):]
		}
		for w := range strings.FieldsSeq(line) {
			if now.text == "" {
				now = sentence{first + i, w}
			} else {
				now.text += " " + w
			}
			if ends.MatchString(w) && !abbreviated.MatchString(w) {
				end()
			}
		}
	}
	end()
	return all
}

// inMarkdown takes the sentences of a text, without its tables and its blocks
// of code.
func inMarkdown(text string) ([]sentence, error) {
	lines := strings.Split(text, "\n")
	fenced, after := false, true
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		indented := strings.HasPrefix(line, "    ") && after && !item.MatchString(trimmed)
		heading := strings.HasPrefix(line, "#")
		after = trimmed == "" || indented && !fenced
		switch {
		case fence:
			fenced = !fenced
			lines[i] = ""
		case fenced, indented, strings.HasPrefix(trimmed, "|"):
			lines[i] = ""
		case heading:
			// A line of its own, whatever follows.
			lines[i] = strings.TrimLeft(line, "# ") + "."
		}
	}
	return sentences(strings.Join(lines, "\n"), 1), nil
}

// flow is a line of a comment without its indentation, and nothing if that
// makes it code or a row of a table. The items of a list are prose; list says
// whether the lines before are one.
func flow(line string, list bool) (string, bool) {
	trimmed := strings.TrimSpace(line)
	deep := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "  ")
	list = deep && (list || item.MatchString(trimmed))
	if deep && !list {
		return "", false
	}
	return trimmed, list
}

// inGo takes those of the comments in a Go file, without directives and
// indented code.
func inGo(text string) ([]sentence, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var all []sentence
	for _, group := range f.Comments {
		var lines []string
		first := files.Position(group.Pos()).Line
		list := false
		for _, c := range group.List {
			body, isLine := strings.CutPrefix(c.Text, "//")
			if isLine && body != "" && body[0] != ' ' && body[0] != '\t' {
				body = "" // a directive
			}
			body = strings.TrimSuffix(strings.TrimPrefix(body, "/*"), "*/")
			for _, line := range strings.Split(body, "\n") {
				line, list = flow(line, list)
				lines = append(lines, line)
			}
		}
		all = append(all, sentences(strings.Join(lines, "\n"), first)...)
	}
	return all, nil
}

var (
	quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	rule   = regexp.MustCompile(`^[*=-]+$`)
	marks  = regexp.MustCompile(`\(\*|\*\)|\\\*`)
)

// inTLA takes those of the comments in a module: \* to the end of the line, and
// (* *) over lines or as a box of lines.
func inTLA(text string) ([]sentence, error) {
	lines := strings.Split(text, "\n")
	depth, list := 0, false
	for i, line := range lines {
		if depth == 0 {
			line = quoted.ReplaceAllString(line, "")
		}
		begin := marks.FindStringIndex(line)
		if depth == 0 && begin == nil {
			lines[i], list = "", false
			continue
		}
		inside := depth > 0
		beside := !inside && strings.TrimSpace(line[:begin[0]]) != ""
		prose := ""
		for line != "" {
			at := marks.FindStringIndex(line)
			if at == nil {
				at = []int{len(line), len(line)}
			}
			if depth > 0 {
				prose += line[:at[0]]
			}
			switch mark := line[at[0]:at[1]]; {
			case mark == "(*":
				depth++
			case mark == "*)":
				depth--
			case mark == `\*` && depth == 0:
				prose += line[at[1]:]
				at[1] = len(line)
			}
			line = line[at[1]:]
		}
		switch {
		case rule.MatchString(strings.TrimSpace(prose)):
			prose = ""
		case inside:
		case beside:
			prose = "- " + prose // it goes on from no comment above
		default:
			prose, list = flow(prose, list)
		}
		lines[i] = prose
	}
	if depth != 0 {
		return nil, fmt.Errorf("%d comments are open at the end", depth)
	}
	return sentences(strings.Join(lines, "\n"), 1), nil
}
