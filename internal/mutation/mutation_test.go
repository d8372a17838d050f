package mutation

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const one = `# A comment.
group leaves

mutant  early-reset
file    Toy.tla
model   toy/small toy/live
model   toy/high
find
    /\ clock = Max

      /\ two

replace
    /\ TRUE
file    Other.tla
find
    x
replace
end
`

// TestRead: a file is read as it is written.
func TestRead(t *testing.T) {
	list, err := parse(one+"\nmutant b\nfile F\nfind\n    x\nreplace\nend\n", []string{"model"})
	if err != nil {
		t.Fatal(err)
	}
	want := []*Mutant{
		{Name: "early-reset", Group: "leaves", Line: 4, Words: map[string][]string{"model": {"toy/small", "toy/live", "toy/high"}}, Changes: []Change{
			{File: "Toy.tla", Find: "/\\ clock = Max\n\n  /\\ two\n\n", Replace: "/\\ TRUE\n"}, {File: "Other.tla", Find: "x\n"}}},
		{Name: "b", Group: "leaves", Line: 21, Words: map[string][]string{}, Changes: []Change{{File: "F", Find: "x\n"}}},
	}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("%+v %+v, want %+v %+v", list[0], list[1], want[0], want[1])
	}
}

// TestRefused: what is not of the format is refused with its line.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"not closed":      {"end\n", "", "4: mutant early-reset is not closed"},
		"no file":         {"file    Toy.tla\n", "", "7: "},
		"no replacement":  {"replace\n    /\\ TRUE\n", "", "13: "},
		"nothing to find": {"    /\\ clock = Max\n\n      /\\ two\n", "", "12: "},
		"unknown word":    {"model   toy/high", "class   ci", "7: "},
		"not indented":    {"    /\\ TRUE", "  /\\ TRUE", "14: "},
		"outside":         {"mutant  early-reset\n", "", "4: "},
		"no name":         {"mutant  early-reset\n", "mutant\n", "4: "},
		"name twice":      {"# A comment.\n", one, "22: "},
		"group inside":    {"model   toy/high", "group roots", "7: "},
	} {
		text := strings.Replace(one, c.from, c.to, 1)
		if _, err := parse(text, []string{"model"}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestApply: each text is replaced where it stands, once, and what was changed before
// is what the next change finds.
func TestApply(t *testing.T) {
	m := &Mutant{Name: "m", Changes: []Change{{"X.tla", "b\n", "d\n\n"}, {"Y.tla", "b", ""}, {"X.tla", "d c", "e"}}}
	for text, c := range map[string]struct {
		changed map[string]string
		want    string
	}{
		"a b c": {map[string]string{"X.tla": "a e", "Y.tla": "a  c"}, ""},
		"a c":   {nil, "occurs 0 times"},
		"a b b": {nil, "occurs 2 times"},
		"a b":   {nil, "occurs 0 times"}, // the last change
	} {
		dir := t.TempDir()
		for _, name := range []string{"X.tla", "Y.tla"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := m.Apply(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || !maps.Equal(got, c.changed) {
			t.Errorf("%q became %q (%v), want %q (%s)", text, got, err, c.changed, c.want)
		}
	}
	same := &Mutant{Name: "m", Changes: []Change{{"mutation.go", "package mutation\n", "package mutation"}}}
	if _, err := same.Apply("."); err == nil || !strings.Contains(err.Error(), "changes nothing") {
		t.Errorf("what changes nothing: %v", err)
	}
}
