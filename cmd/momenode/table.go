package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// printTable prints rows under a title, if there is one, and column names. A
// column whose name ends in a space is text, to the left; the others are
// numbers, to the right.
func printTable(out io.Writer, title string, names []string, rows [][]any) {
	cells := make([][]string, 0, len(rows)+2)
	header, rule := make([]string, len(names)), make([]string, len(names))
	width := make([]int, len(names))
	for i, name := range names {
		header[i] = strings.TrimSuffix(name, " ")
		width[i] = utf8.RuneCountInString(header[i])
	}
	cells = append(cells, header, rule)
	for _, r := range rows {
		line := make([]string, len(names))
		for i := range names {
			line[i] = fmt.Sprint(r[i])
			width[i] = max(width[i], utf8.RuneCountInString(line[i]))
		}
		cells = append(cells, line)
	}
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	if title != "" {
		fmt.Fprintf(out, "\n%s\n", title)
	}
	for _, row := range cells {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if strings.HasSuffix(names[i], " ") {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}
