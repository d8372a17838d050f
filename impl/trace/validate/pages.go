package validate

import (
	"cmp"
	"fmt"
	"slices"
	"unique"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Pages are the pages of the strong model: an object is a page in one life of
// its segment.
var Pages = Kind{Name: "pages", Protocol: protocol.Pages, Spec: "TraceStrong", Records: (*trace.Run).Events, Project: newPages}

// Contents are numbered for each page, in the order in which they appear.
const (
	unknown = 0 // of an event that has none
	zero    = 1 // that of a page which was never written
)

// page is one object.
type page struct {
	number     addr.PageNum
	generation uint64
	names      *names
	events     []Event
	rights     map[addr.NodeID]protocol.Right // of the leaves, after the last event
	contents   map[trace.Digest]int
}

type pageKey struct {
	generation uint64
	page       addr.PageNum
}

// contentKey names the records of contents that come one after another.
type contentKey struct {
	at     addr.Place
	page   addr.PageNum
	moment trace.Moment
}

// underWay counts messages about a page: Data, those to a parent, and those to a
// child.
type underWay struct{ data, up, down int }

// earlyKey is a message in a log.
type earlyKey struct {
	file *trace.File
	msg  protocol.Message
}

// awaited is an event whose content is recorded later in the same log.
type awaited struct {
	page  *page
	event int
}

// pages is the projection of a run onto its pages.
type pages struct {
	rest    bool // the run had come to rest when it ended
	confs   map[*trace.File]*protocol.Configuration
	names   []*names // by slot
	objects map[pageKey]*page
	// dropped are the messages that came for a page when its segment was gone, and
	// arriving the last input of each log, if it is one.
	dropped  map[pageKey]*underWay
	arriving map[*trace.File]*protocol.Message
	// early are the messages that came ahead of a log's configuration and have not
	// come again.
	early map[earlyKey]struct{}
	// awaiting are the events whose contents have not been read yet, in the
	// order in which they will be.
	awaiting map[contentKey][]awaited
}

func newPages(run *trace.Run) (Projection, error) {
	p := &pages{
		rest:     run.UnderWay() == "",
		confs:    make(map[*trace.File]*protocol.Configuration),
		objects:  make(map[pageKey]*page),
		dropped:  make(map[pageKey]*underWay),
		arriving: make(map[*trace.File]*protocol.Message),
		early:    make(map[earlyKey]struct{}),
		awaiting: make(map[contentKey][]awaited),
	}
	for _, f := range run.Files {
		p.confs[f] = run.Conf
	}
	byHome := make(map[addr.NodeID]*names)
	for slot, s := range run.Conf.Slots {
		if byHome[s.Home] == nil {
			byHome[s.Home] = &names{run.Conf.Tree(slot)}
		}
		p.names = append(p.names, byHome[s.Home])
	}
	return p, nil
}

func malformed(ev *trace.Event, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ndjson.ErrMalformed, ev.Where(), fmt.Errorf(format, args...))
}

// Add implements Projection.
func (p *pages) Add(ev *trace.Event) error {
	switch ev.Kind {
	case trace.KindConfigure:
		conf, err := ev.Configure(p.confs[ev.File])
		if err != nil {
			return malformed(ev, "%w", err)
		}
		p.confs[ev.File] = conf
	case trace.KindAction:
		return p.action(ev)
	case trace.KindContent:
		return p.content(ev)
	case trace.KindInput:
		p.arriving[ev.File] = ev.Message
	case trace.KindOutput:
		p.output(ev)
	}
	return nil
}

// there says whether a page is in a segment of the configuration, in that life.
func there(conf *protocol.Configuration, p addr.PageNum, generation uint64) bool {
	seg := conf.Segment(p)
	return seg != nil && seg.Generation == generation
}

// output says what came of a message: what is too early is refused, and comes again.
func (p *pages) output(ev *trace.Event) {
	m := p.arriving[ev.File]
	if m == nil {
		return
	}
	p.arriving[ev.File] = nil
	k := earlyKey{ev.File, *m}
	if ev.Out.Refused != "" {
		p.early[k] = struct{}{}
		return
	}
	delete(p.early, k)
	if !there(p.confs[ev.File], m.Page, m.Generation) {
		p.drop(m)
	}
}

func (p *pages) drop(m *protocol.Message) {
	k := pageKey{m.Generation, m.Page}
	d := p.dropped[k]
	if d == nil {
		d = new(underWay)
		p.dropped[k] = d
	}
	switch m.Kind {
	case protocol.Data:
		d.data++
	case protocol.Req, protocol.Ack:
		d.up++
	default:
		d.down++
	}
}

func (p *pages) action(ev *trace.Event) error {
	conf := p.confs[ev.File]
	seg := conf.Segment(ev.Page)
	if seg == nil {
		return malformed(ev, "%v is in no segment of this node", ev.Page)
	}
	key := pageKey{seg.Generation, ev.Page}
	o := p.objects[key]
	if o == nil {
		o = &page{number: ev.Page, generation: seg.Generation, names: p.names[seg.Slot(ev.Page, len(conf.Slots))],
			rights: make(map[addr.NodeID]protocol.Right), contents: map[trace.Digest]int{zeroDigest: zero}}
		p.objects[key] = o
	}
	if !o.names.tree.Has(ev.At) {
		return malformed(ev, "there is no manager %v in the tree of %v (%v)", ev.At, ev.Page, o.names.tree)
	}
	if m := ev.Message; m != nil && !o.names.tree.Has(m.From) {
		return malformed(ev, "a message from %v, which is not in the tree of %v (%v)", m.From, ev.Page, o.names.tree)
	}
	shape, moment, err := shape(ev, o)
	if err != nil {
		return malformed(ev, "%w", err)
	}
	if moment != 0 {
		k := contentKey{ev.At, ev.Page, moment}
		p.awaiting[k] = append(p.awaiting[k], awaited{o, len(o.events)})
	}
	o.events = append(o.events, Event{Shape: unique.Make(shape).Value(), Numbers: []int{unknown},
		Act: ev.Act, At: ev.At, Lamport: ev.Lamport, File: ev.File, Line: ev.Line})
	return nil
}

// shape is the event in the words of TraceStrong, and which content the log
// will have of it, if any.
func shape(ev *trace.Event, o *page) (string, trace.Moment, error) {
	var w writer
	w.printf("[act|->%q,at|->%q,from|->", ev.Act, o.names.of(ev.At))
	if ev.From == nil {
		w.WriteString("Nobody")
	} else {
		w.printf("%q", o.names.of(*ev.From))
	}
	w.WriteString(",msg|->")
	switch m := ev.Message; {
	case m == nil:
		w.WriteString("<<>>")
	case m.Generation != o.generation || m.Page != o.number:
		// No page of this object has sent it.
		w.printf(`[kind|->"foreign",to|->"foreign",page|->%d,generation|->%d]`, m.Page, m.Generation)
	default:
		w.message(m, o.names)
	}
	w.WriteString(",post|->")
	var moment trace.Moment
	if ev.At.Tag == addr.Leaf {
		var s protocol.LeafState
		if err := ev.State(&s); err != nil {
			return "", 0, err
		}
		w.leaf(&s)
		local := ev.From != nil && ev.From.Node == ev.At.Node
		switch had := o.rights[ev.At.Node]; {
		case ev.Act == "LeafRecvRecall" && had == protocol.Write:
			moment = trace.Give
		case ev.Act == "RecvData" && (local || had == protocol.None):
			moment = trace.Take
		}
		o.rights[ev.At.Node] = s.Right
	} else {
		var s protocol.ManagerState
		if err := ev.State(&s); err != nil {
			return "", 0, err
		}
		w.manager(&s, o.names, ev.At)
		if ev.Act == "HomeRecvData" {
			moment = trace.Take
		}
	}
	w.WriteByte(']')
	return w.String(), moment, w.err
}

var zeroDigest = trace.DigestOf(make([]byte, addr.PageSize))

// content gives the oldest event that waits for this content its number.
func (p *pages) content(ev *trace.Event) error {
	k := contentKey{ev.At, ev.Page, ev.Moment}
	list := p.awaiting[k]
	if len(list) == 0 {
		return malformed(ev, "no action explains that content of %v was recorded (%v) at %v", ev.Page, ev.Moment, ev.At)
	}
	if len(list) == 1 {
		delete(p.awaiting, k)
	} else {
		p.awaiting[k] = list[1:]
	}
	o := list[0].page
	n, ok := o.contents[ev.Digest]
	if !ok {
		n = zero + len(o.contents)
		o.contents[ev.Digest] = n
	}
	o.events[list[0].event].Numbers[0] = n
	return nil
}

// Objects implements Projection.
func (p *pages) Objects() ([]*Object, error) {
	var lost *Event
	for _, list := range p.awaiting {
		e := &list[0].page.events[list[0].event]
		if lost == nil || e.Where() < lost.Where() {
			lost = e
		}
	}
	if lost != nil {
		return nil, fmt.Errorf("%w: %s: the content of the page is not recorded with this %s", ndjson.ErrMalformed, lost.Where(), lost.Act)
	}
	var all []*page
	for _, o := range p.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *page) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.generation, b.generation))
	})
	var objects []*Object
	for k := range p.early { // and it is kept no more, where the run came to rest
		p.drop(&k.msg)
	}
	for _, o := range all {
		if p.rest {
			o.events = append(o.events, p.end(o))
		}
		objects = append(objects, &Object{
			Name:   fmt.Sprintf("%v (generation %d, %v)", o.number, o.generation, o.names.tree),
			Events: o.events, Place: o.names.place})
	}
	return objects, nil
}

// end is the last event of a page in a run that came to rest: which messages were
// dropped because its segment was gone.
func (p *pages) end(o *page) Event {
	removed := false
	for _, conf := range p.confs {
		removed = removed || !there(conf, o.number, o.generation)
	}
	var d underWay
	if lost := p.dropped[pageKey{o.generation, o.number}]; lost != nil {
		d = *lost
	}
	end := ending(o.events)
	end.Shape = fmt.Sprintf("[act|->%q,removed|->%s,data|->%d,up|->%d,down|->%d]", endAct, truth(removed), d.data, d.up, d.down)
	end.Numbers = []int{unknown}
	return end
}

// Constants implements Projection.
func (p *pages) Constants() []Constant { return p.names[0].constants() }
