package history

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/ndjson"
)

// lives is what a reader knows of the clients of a history: that each does one
// thing at a time, in the order of its numbers, while it is there, and that
// nothing of it is missing. What clients do is judged by its times, and wide ones
// allow everything: so these must be those that one thread of control can have.
type lives struct {
	begin   int64 // of the history
	clients map[int]*life
	ended   int // clients
}

// life is what was read of one client.
type life struct {
	last  Operation
	line  int // of the last operation
	first int64
	ended bool
	until int64
}

// flaw is what is wrong with a line: its kind is ErrGap or ErrMalformed of ndjson.
type flaw struct {
	kind error
	text string
}

func gap(format string, args ...any) *flaw { return &flaw{ndjson.ErrGap, fmt.Sprintf(format, args...)} }
func ill(format string, args ...any) *flaw {
	return &flaw{ndjson.ErrMalformed, fmt.Sprintf(format, args...)}
}

// operation takes the next operation of the history.
func (l *lives) operation(o *Operation, line int) *flaw {
	c := l.clients[o.Client]
	if c == nil {
		c = &life{first: o.Call}
		l.clients[o.Client] = c
	}
	last := &c.last
	switch {
	case l.ended > 0:
		return ill("an operation behind the end of a client")
	case o.Seq != last.Seq+1:
		return gap("operation %d of client %d follows its operation %d", o.Seq, o.Client, last.Seq)
	case o.Call < l.begin:
		return ill("it is called at %d, and the history begins at %d", o.Call, l.begin)
	case last.Seq > 0 && last.Return == 0:
		return ill("client %d goes on behind its operation without an answer in line %d", o.Client, c.line)
	case o.Op == OpAwait:
		if last.Op != OpArrive || o.Object != last.Object || o.Value != last.Value || o.Old != last.Old ||
			o.Call != last.Call || o.Return != last.Return {
			return ill("the await of client %d is not that of an arrive before it", o.Client)
		}
	case o.Call < last.Return:
		return ill("client %d is called at %d, and its operation in line %d returns at %d", o.Client, o.Call, c.line, last.Return)
	}
	c.last, c.line = *o, line
	return nil
}

// end takes the end of a client.
func (l *lives) end(client int, operations uint64, begin, end int64) *flaw {
	c := l.clients[client]
	if c == nil {
		c = &life{first: begin}
		l.clients[client] = c
	}
	switch last := &c.last; {
	case c.ended:
		return ill("client %d was at its end before", client)
	case operations != last.Seq:
		return gap("client %d has begun %d operations, %d are here", client, operations, last.Seq)
	case begin < l.begin || end < begin:
		return ill("client %d is there from %d to %d, and the history begins at %d", client, begin, end, l.begin)
	case c.first < begin:
		return ill("client %d is there from %d on, and its first operation is called at %d", client, begin, c.first)
	case max(last.Call, last.Return) > end:
		return ill("client %d is there until %d, and its operation in line %d lasts until %d", client, end, c.line, max(last.Call, last.Return))
	}
	c.ended, c.until = true, end
	l.ended++
	return nil
}

// finish takes the end of the history.
func (l *lives) finish(clients uint64, end int64) *flaw {
	if clients != uint64(l.ended) || len(l.clients) != l.ended {
		return gap("the history has %d clients, %d are here, and the ends of %d", clients, len(l.clients), l.ended)
	}
	if end < l.begin {
		return ill("the history ends at %d and begins at %d", end, l.begin)
	}
	for number := range int(clients) {
		switch c := l.clients[number]; {
		case c == nil:
			return gap("the history has %d clients, and client %d is missing", clients, number)
		case c.until > end:
			return ill("the history ends at %d, and client %d is there until %d", end, number, c.until)
		}
	}
	return nil
}
