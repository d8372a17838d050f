package show

import (
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// list is the words about a record.
type list []string

// add adds a number that is not zero.
func (l *list) add(format string, value uint64) {
	if value != 0 {
		*l = append(*l, fmt.Sprintf(format, value))
	}
}

// syncWords is what a record of locks and barriers is about beside its object:
// the message, or what a process asked for.
func syncWords(r *trace.Record) string {
	var words list
	switch m, c := r.Sync, r.Call; {
	case r.Kind == trace.KindOutput:
		return outputWords(r.Out)
	case m != nil:
		words = append(words, fmt.Sprintf("← %v %v", m.From, m.Kind))
		if m.Code != protocol.CodeOK {
			words[0] += fmt.Sprintf(" %v", m.Code)
		}
		words.add("party %d", m.Party)
		ofMessage(m.Kind).says(m, &words)
	case c != nil:
		words.add("party %d", c.Party)
		if c.Try {
			words = append(words, "try")
		}
		words.add("fence %d", c.Fence)
		words.add("round %d", c.Round)
		words.add("takes back request %d", c.Target)
	}
	return strings.Join(words, ", ")
}
