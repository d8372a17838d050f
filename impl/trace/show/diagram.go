package show

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// MaxEvents is how many events a diagram has at most: so many can be scrolled
// through, and the file has a few megabytes.
const MaxEvents = 5000

// ErrTooMany: a filter takes more events than a diagram has room for.
var ErrTooMany = errors.New("mome: too many events for one diagram")

//go:embed diagram.html
var page string

var diagramTemplate = template.Must(template.New("diagram").Parse(page))

// Diagram is a space-time diagram: a line for each manager, a point for each
// event, the next one below it, an arrow for each message.
type Diagram struct {
	Title string `json:"title"`
	Facts string `json:"facts"`
	// Note says what is missing; empty where nothing is.
	Note     string    `json:"note,omitempty"`
	Kind     string    `json:"kind"`     // of the objects; object where they are of several
	Objects  []string  `json:"objects"`  // their names, in order
	Managers []manager `json:"managers"` // the columns
	Events   []point   `json:"events"`
}

type manager struct {
	Name string      `json:"name"`
	Node addr.NodeID `json:"node"`
	Role string      `json:"role"` // leaf, mid2, mid3 ... or root
}

// point is an event as the page's script knows it.
type point struct {
	Manager int     `json:"m"` // index of Diagram.Managers
	Clock   uint64  `json:"lc"`
	Time    float64 `json:"t"` // milliseconds
	Object  int     `json:"p"` // index of Diagram.Objects; -1: none
	Name    string  `json:"name"`
	// Kind is that of the message that came, or local where none came, or
	// record where it is no action. Colour is what messages of the kind are like
	// among those of pages.
	Kind   string `json:"kind"`
	Colour string `json:"colour"`
	Words  string `json:"words,omitempty"`
	State  string `json:"state,omitempty"`
	// Sent is the index of the event that sent the message, From that of the
	// sender's line; -1 where it is not in the diagram, or no message came.
	Sent    int             `json:"sent"`
	From    int             `json:"from"`
	Txn     string          `json:"txn,omitempty"`
	Message [][2]string     `json:"msg,omitempty"` // the fields that are set, in order
	Post    json.RawMessage `json:"post,omitempty"`
	Where   string          `json:"where"`
}

// act names the event that sent a message: those of one manager about one object
// have clocks of their own.
type act struct {
	at     addr.Place
	object string
	clock  uint64
}

// NewDiagram draws the events of a run that the filter takes. The error is
// ErrTooMany, or that of a log that cannot be read to its end: then there is a
// diagram of what comes before that end, which says so.
func NewDiagram(run *trace.Run, f Filter) (*Diagram, error) {
	d := &Diagram{Title: title(run, f), Kind: "object", Objects: []string{}, Managers: []manager{}, Events: []point{}}
	if kinds := f.kinds(); len(kinds) == 1 {
		d.Kind = kinds[0]
	}
	var shown []*Event
	total, about := 0, make(map[string]int)
	var failed error
	for e, err := range Events(run, f) {
		if err != nil {
			failed = err
			d.Note = strings.TrimPrefix(err.Error(), "mome: ")
			break
		}
		total++
		if e.Object != "" {
			about[e.Object]++
		}
		if total <= MaxEvents {
			shown = append(shown, e)
		}
	}
	if total > MaxEvents {
		return nil, d.tooMany(total, about)
	}
	lines := d.addManagers(shown)
	objects := d.addObjects(about)
	senders := make(map[act]int)
	for i, e := range shown {
		d.Events = append(d.Events, newPoint(e, lines, objects, senders))
		if e.Kind == trace.KindAction {
			senders[act{e.At, e.Object, e.Lamport}] = i
		}
	}
	d.Facts = d.facts(run, shown)
	return d, failed
}

// tooMany says which object has the most events: that is where to begin.
func (d *Diagram) tooMany(total int, about map[string]int) error {
	busiest := ""
	for _, name := range slices.Sorted(maps.Keys(about)) {
		if about[name] > about[busiest] {
			busiest = name
		}
	}
	return fmt.Errorf("%w: %d on %s, and it takes %d: choose some (%s %s has %d events), some nodes or a span",
		ErrTooMany, total, many(len(about), d.Kind), MaxEvents, d.Kind, busiest, about[busiest])
}

// addObjects gives the objects numbers: in the order of their own, if they are
// numbers, and else of their names.
func (d *Diagram) addObjects(about map[string]int) map[string]int {
	for name := range about {
		d.Objects = append(d.Objects, name)
	}
	slices.SortFunc(d.Objects, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	index := map[string]int{"": -1}
	for i, name := range d.Objects {
		index[name] = i
	}
	return index
}

// addManagers makes a line for each manager that has an event: by node, from
// the leaf up.
func (d *Diagram) addManagers(shown []*Event) map[addr.Place]int {
	lines := make(map[addr.Place]int)
	var places []addr.Place
	for _, e := range shown {
		if _, ok := lines[e.At]; !ok {
			lines[e.At] = 0
			places = append(places, e.At)
		}
	}
	height := func(t addr.Tag) int {
		if t == addr.Root {
			return 1 << 16
		}
		return int(t)
	}
	slices.SortFunc(places, func(a, b addr.Place) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(height(a.Tag), height(b.Tag)))
	})
	for i, p := range places {
		lines[p] = i
		role, _, _ := strings.Cut(p.String(), "@")
		d.Managers = append(d.Managers, manager{Name: p.String(), Node: p.Node, Role: role})
	}
	return lines
}

func newPoint(e *Event, lines map[addr.Place]int, objects map[string]int, senders map[act]int) point {
	p := point{Manager: lines[e.At], Clock: e.Lamport, Time: float64(e.Age.Microseconds()) / 1000, Object: objects[e.Object],
		Name: e.Name, Kind: "record", Colour: "record", Words: e.Words, State: e.State, Sent: -1, From: -1, Post: e.Post, Where: e.Where}
	var clock uint64 // of the sender
	switch m, y, c := e.Message, e.Sync, e.Call; {
	case m != nil:
		p.Message, clock = messageFields(*m), m.Lamport
		p.Txn = fmt.Sprintf("leaf@%d.%d #%d", m.Txn.Leaf, m.Txn.Incarnation, m.Txn.Counter)
	case y != nil:
		p.Message, clock = messageFields(*y), y.Lamport
		party := y.From
		if party.Tag == addr.Root {
			party = y.To
		}
		p.Txn = transaction(party.Node, y.Party, y.Request)
	case c != nil:
		p.Txn = transaction(e.At.Node, c.Party, c.Request)
	}
	if e.Kind != trace.KindAction {
		return p
	}
	p.Kind, p.Colour = "local", "local"
	if e.From == nil {
		return p
	}
	if e.Message != nil {
		p.Kind = e.Message.Kind.String()
		p.Colour = p.Kind
	} else {
		kind := e.Sync.Kind
		p.Kind, p.Colour = kind.String(), ofMessage(kind).like[kind]
	}
	if i, ok := senders[act{*e.From, e.Object, clock}]; ok {
		p.Sent = i
	}
	if i, ok := lines[*e.From]; ok {
		p.From = i
	}
	return p
}

// transaction names a request of a process; what is about none has no name.
func transaction(node addr.NodeID, party, request uint64) string {
	if party == 0 || request == 0 {
		return ""
	}
	return fmt.Sprintf("party %d of node %d, request %d", party, node, request)
}

// messageFields is the fields of a message, a protocol.Message or protocol.Sync, that
// say something: those that are set, and those whose zero is a page, a place or a
// node. The transaction of a page's is the point's.
func messageFields(m any) (fields [][2]string) {
	v := reflect.ValueOf(m)
	for _, field := range reflect.VisibleFields(v.Type()) {
		f := v.FieldByIndex(field.Index)
		switch field.Name {
		case "Envelope", "Txn":
			continue
		case "Kind", "Code", "Page", "From", "To":
		case "Leaf":
			if m, ok := m.(protocol.Message); ok && (m.Kind == protocol.Ack || m.Kind == protocol.Data) {
				continue
			}
		default:
			if f.IsZero() {
				continue
			}
		}
		fields = append(fields, [2]string{field.Name, fmt.Sprint(f)})
	}
	return fields
}

// title is what run it is.
func title(run *trace.Run, f Filter) string {
	h := run.Files[0].Header
	text := fmt.Sprintf("Each %s of %s", strings.Join(f.kinds(), " and "), many(h.Nodes, "node"))
	if f.OfPages() {
		text = fmt.Sprintf("%s, fan-out %d", text, run.Conf.Fanout)
	}
	if h.Simulated {
		text += fmt.Sprintf(", simulated with seed %d", h.Seed)
	}
	return text
}

// facts is what is shown of it.
func (d *Diagram) facts(run *trace.Run, shown []*Event) string {
	arrows := 0
	for _, p := range d.Events {
		if p.Sent >= 0 {
			arrows++
		}
	}
	text := fmt.Sprintf("%s on %s at %s, %s", many(len(d.Events), "event"), many(len(d.Objects), d.Kind),
		many(len(d.Managers), "manager"), many(arrows, "message"))
	if n := len(shown); n > 0 {
		text += fmt.Sprintf("; clock %d to %d, %s to %s ms", shown[0].Lamport, shown[n-1].Lamport,
			milliseconds(shown[0].Age), milliseconds(shown[n-1].Age))
	}
	if build := run.Files[0].Header.Build; build != "" {
		text += "; build " + build
	}
	return text
}

func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Write writes the page.
func (d *Diagram) Write(w io.Writer) error {
	// json escapes what could end the page's script element.
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return diagramTemplate.Execute(w, struct{ Title, Data string }{template.HTMLEscapeString(d.Title), string(data)})
}
