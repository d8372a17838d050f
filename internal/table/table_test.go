package table

import (
	"strings"
	"testing"
)

var (
	names = []string{"segment ", "pages", "home "}
	rows  = [][]any{{"a", 12, "spread"}, {"größer", "1,024", ""}}
)

func TestPrint(t *testing.T) {
	var b strings.Builder
	if err := Print(&b, "Segments", names, rows); err != nil {
		t.Fatal(err)
	}
	want := `
Segments
segment  pages  home
-------  -----  ------
a           12  spread
größer   1,024
`
	if b.String() != want {
		t.Errorf("got:\n%q\nwant:\n%q", b.String(), want)
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := Markdown(&b, names, rows); err != nil {
		t.Fatal(err)
	}
	want := `| segment | pages | home |
|:--- | ---:|:--- |
| a | 12 | spread |
| größer | 1,024 |  |
`
	if b.String() != want {
		t.Errorf("got:\n%q\nwant:\n%q", b.String(), want)
	}
}
