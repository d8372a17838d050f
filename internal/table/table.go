// Package table prints tables for people, all of them in one style.
package table

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Print prints rows under a title, if there is one, and column names. A column
// whose name ends in a space is text, to the left; the others are numbers, to the
// right.
func Print(w io.Writer, title string, names []string, rows [][]any) error {
	head := ""
	if title != "" {
		head = "\n" + title + "\n"
	}
	_, err := io.WriteString(w, head+arrange(names, rows).Render()+"\n")
	return err
}

// Markdown prints the same as a table of Markdown, without a title.
func Markdown(w io.Writer, names []string, rows [][]any) error {
	_, err := io.WriteString(w, arrange(names, rows).RenderMarkdown()+"\n")
	return err
}

func arrange(names []string, rows [][]any) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Format.Header = text.FormatDefault
	style.Options = table.Options{SeparateHeader: true, SeparateColumns: true}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", ""
	style.Box.MiddleVertical, style.Box.MiddleSeparator = "  ", "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	header := make(table.Row, len(names))
	columns := make([]table.ColumnConfig, len(names))
	for i, name := range names {
		plain := strings.TrimSuffix(name, " ")
		align := text.AlignRight
		if plain != name {
			align = text.AlignLeft
		}
		header[i] = plain
		columns[i] = table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align}
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(columns)
	for _, row := range rows {
		t.AppendRow(row)
	}
	return t
}
