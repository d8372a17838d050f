package show

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mome-dsm/mome/impl/trace"
)

// Widths of the columns, in characters; the last one is as long as it is. They
// are fixed, so that the first lines of a long run come at once.
const (
	clockWidth   = 8
	timeWidth    = 11
	managerWidth = 9
	pageWidth    = 6
	nameWidth    = 18
	wordsWidth   = 40
)

// Text writes the events that a filter takes, one a line under a line of column
// names, and returns how many there were.
func Text(w io.Writer, run *trace.Run, f Filter) (int, error) {
	objectWidth := nameWidth
	if f.OfPages() {
		objectWidth = pageWidth
	}
	var line []byte
	write := func(clock, time, manager, object, name, words, state string) error {
		line = padLeft(line[:0], clock, clockWidth)
		line = padLeft(line, time, timeWidth)
		line = append(line, ' ', ' ')
		line = padRight(line, manager, managerWidth)
		line = padLeft(line, object, objectWidth)
		line = append(line, ' ', ' ')
		line = padRight(line, name, nameWidth)
		line = padRight(line, words, wordsWidth)
		line = append(line, state...)
		_, err := fmt.Fprintf(w, "%s\n", strings.TrimRight(string(line), " "))
		return err
	}
	if err := write("clock", "ms", "manager", strings.Join(f.kinds(), " or "), "action", "message", "state after it"); err != nil {
		return 0, err
	}
	n := 0
	for e, err := range Events(run, f) {
		if err != nil {
			return n, err
		}
		if err := write(fmt.Sprint(e.Lamport), milliseconds(e.Age), e.At.String(), e.Object, e.Name, e.Words, e.State); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// milliseconds is a time to the microsecond.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond))
}

func padLeft(b []byte, text string, width int) []byte {
	for i := utf8.RuneCountInString(text); i < width; i++ {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// padRight leaves at least two spaces behind a text.
func padRight(b []byte, text string, width int) []byte {
	b = append(b, text...)
	for i := min(utf8.RuneCountInString(text), width); i < width+2; i++ {
		b = append(b, ' ')
	}
	return b
}
