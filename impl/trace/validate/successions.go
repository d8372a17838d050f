package validate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unique"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Successions are the pages over all lives of their segments: what nodes know of
// segments that go and come, and of which generation the messages are that they
// take. A page with one life, in the views of all nodes, is no object unless there
// was a message about another one: it has nothing to be mixed up with.
var Successions = Kind{Name: "successions", Protocol: protocol.Pages, Spec: "TraceSegment", Optional: true, Records: (*trace.Run).Events, Project: newSuccessions}

// moment is an event, and when it was among all records.
type moment struct {
	Event
	at int
}

// viewed is a view that the shard of a node has taken.
type viewed struct {
	moment
	trace.Change
}

// lives is one object: a page.
type lives struct {
	page   addr.PageNum
	shard  int
	events []moment
	mixed  bool // there was a message about another life than the node's
	// kept numbers the messages that were refused: each comes again.
	kept map[protocol.Message]int
}

// viewLog is what is known of a log while it is read.
type viewLog struct {
	conf  *protocol.Configuration
	views []viewed
	// input is the last one until it is known what became of it, and acted says
	// that an action has.
	input   string
	message *protocol.Message
	acted   bool
}

// successions is the projection of a run onto its pages, with all their lives.
type successions struct {
	run     *trace.Run
	logs    map[*trace.File]*viewLog
	pages   map[addr.PageNum]*lives
	records int
	back    bool // a view has gone back
}

func newSuccessions(run *trace.Run) (Projection, error) {
	p := &successions{run: run, logs: make(map[*trace.File]*viewLog), pages: make(map[addr.PageNum]*lives)}
	for _, f := range run.Files {
		p.logs[f] = &viewLog{conf: run.Conf}
	}
	return p, nil
}

// Add implements Projection.
func (p *successions) Add(ev *trace.Event) error {
	p.records++
	log := p.logs[ev.File]
	switch ev.Kind {
	case trace.KindConfigure:
		return p.configure(ev, log)
	case trace.KindInput:
		log.input, log.message, log.acted = ev.Act, ev.Message, false
	case trace.KindAction:
		return p.action(ev, log)
	case trace.KindOutput:
		p.output(ev, log)
	}
	return nil
}

func (p *successions) configure(ev *trace.Event, log *viewLog) error {
	change, err := ev.Change()
	if err != nil {
		return malformed(ev, "%w", err)
	}
	if log.conf, err = ev.Configure(log.conf); err != nil {
		return malformed(ev, "%w", err)
	}
	if n := len(log.views); n > 0 && change.Generation < log.views[n-1].Generation {
		p.back = true
	}
	log.views = append(log.views, viewed{p.moment(ev, "View", ""), change})
	return nil
}

func (p *successions) moment(ev *trace.Event, act, shape string) moment {
	return moment{Event{Shape: unique.Make(shape).Value(), Act: act, At: ev.At, Lamport: ev.Lamport, File: ev.File, Line: ev.Line}, p.records}
}

func (p *successions) page(ev *trace.Event) *lives {
	o := p.pages[ev.Page]
	if o == nil {
		o = &lives{page: ev.Page, shard: ev.File.Header.Shard, kept: make(map[protocol.Message]int)}
		p.pages[ev.Page] = o
	}
	return o
}

// generation is that of the page in the view of a log.
func (l *viewLog) generation(p addr.PageNum) uint64 {
	if s := l.conf.Segment(p); s != nil {
		return s.Generation
	}
	return 0
}

// message is one about the page in the words of TraceSegment: where it comes from,
// and whether it is the next one on a link.
func (o *lives) message(m *protocol.Message, at addr.NodeID, comes bool) string {
	link := comes && m.From.Node != at && m.Kind != protocol.Data
	return fmt.Sprintf("from|->%q,link|->%s,msg|->[kind|->%q,gen|->%d,number|->%d]", nodeName(m.From.Node), truth(link),
		m.Kind, m.Generation, o.kept[*m])
}

func (p *successions) action(ev *trace.Event, log *viewLog) error {
	o := p.page(ev)
	comes := !log.acted && log.message != nil && ev.Message != nil && *ev.Message == *log.message
	log.acted = true
	m := ev.Message
	if m == nil { // of an eviction
		m = &protocol.Message{Envelope: protocol.Envelope{From: ev.At, Generation: log.generation(ev.Page)}}
	}
	o.mixed = o.mixed || m.Generation != log.generation(ev.Page)
	var w writer
	w.printf("[act|->%q,at|->%q,%s", ev.Act, nodeName(ev.At.Node), o.message(m, ev.At.Node, comes))
	if ev.At.Tag == addr.Leaf {
		var s protocol.LeafState
		if err := ev.State(&s); err != nil {
			return malformed(ev, "%w", err)
		}
		w.printf(",manager|->%q,op|->%q,right|->%q,asks|->%q]", "leaf", m.Op, rightHere(s.Right), s.Op)
	} else {
		alone, err := alone(ev, m, log.conf)
		if err != nil {
			return malformed(ev, "%w", err)
		}
		w.printf(",manager|->%q,idle|->%s,alone|->%s]", fmt.Sprintf("m%d", ev.At.Tag), truth(ev.Before == protocol.Idle), truth(alone))
	}
	o.events = append(o.events, p.moment(ev, ev.Act, w.String()))
	return nil
}

// rightHere is a leaf's right as Segment has it: who owns a page may read it.
func rightHere(r protocol.Right) protocol.Right {
	if r == protocol.Owned {
		return protocol.Read
	}
	return r
}

// alone says whether a manager that has received a request knows of nobody else
// than the child that has sent it.
func alone(ev *trace.Event, m *protocol.Message, conf *protocol.Configuration) (bool, error) {
	seg := conf.Segment(ev.Page)
	if ev.Act != protocol.ActRecvReq.String() || seg == nil {
		return true, nil
	}
	tree := conf.Tree(seg.Slot(ev.Page, len(conf.Slots)))
	if !tree.Has(m.From) || m.From.Tag == addr.Root {
		return false, nil
	}
	_, child := tree.Parent(m.From)
	var s protocol.ManagerState
	if err := ev.State(&s); err != nil {
		return false, err
	}
	owner, busy := s.Owner.Child(), &s.Busy
	return s.Marked&^(1<<child) == 0 && (owner < 0 || owner == child) &&
		(busy.Op == protocol.OpNone || int(busy.Child) == child && busy.Wait == 0) && !s.Recall.Active && len(s.Queue) == 0, nil
}

// output is what became of an input that no action shows.
func (p *successions) output(ev *trace.Event, log *viewLog) {
	input, m, acted := log.input, log.message, log.acted
	log.input, log.message, log.acted = "", nil, false
	refused := ev.Out.Refused != ""
	switch {
	case acted && !refused:
	case m != nil:
		o := p.page(ev)
		act := "Nothing"
		if refused {
			act = "Refused"
			if o.kept[*m] == 0 {
				o.kept[*m] = len(o.kept) + 1
			}
		} else if len(ev.Out.Effects) > 0 {
			act = "Waits"
		}
		o.mixed = o.mixed || refused || m.Generation != log.generation(ev.Page)
		waits := m.To.Tag == addr.Leaf && (m.Kind == protocol.Grant || m.Kind == protocol.Recall)
		o.events = append(o.events, p.moment(ev, act, fmt.Sprintf("[act|->%q,at|->%q,%s,leaf|->%s,early|->%s]", act, nodeName(ev.At.Node),
			o.message(m, ev.At.Node, true), truth(waits), truth(ev.Out.Refused == protocol.ErrEarly.Error()))))
	case input == protocol.InReadFault.String() || input == protocol.InWriteFault.String():
		answer, op := "nothing", protocol.OpRead
		if input == protocol.InWriteFault.String() {
			op = protocol.OpWrite
		}
		if refused {
			answer = "refused"
		} else if len(ev.Out.Effects) > 0 {
			answer = "granted"
		}
		o := p.page(ev)
		o.events = append(o.events, p.moment(ev, "Fault", fmt.Sprintf("[act|->%q,at|->%q,op|->%q,answer|->%q]", "Fault",
			nodeName(ev.At.Node), op, answer)))
	}
}

// Objects implements Projection.
func (p *successions) Objects() ([]*Object, error) {
	var objects []*Object
	doubtful := p.doubtful()
	for _, page := range slices.Sorted(maps.Keys(p.pages)) {
		o := p.pages[page]
		views := p.views(o)
		generations, comes := generationsOf(page, views)
		if !(o.mixed || comes || len(generations) > 1 || p.back || doubtful[page]) {
			continue
		}
		store, taken := told(page, views, generations)
		events := append(taken, o.events...)
		slices.SortStableFunc(events, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
		all := store
		for _, e := range events {
			all = append(all, e.Event)
		}
		if p.ended() {
			all = append(all, ending(all))
		}
		var lifes []string
		for _, g := range slices.Sorted(maps.Keys(generations)) {
			lifes = append(lifes, fmt.Sprint(g))
		}
		objects = append(objects, &Object{
			Name:   fmt.Sprintf("%v in all lives (generations %s)", page, strings.Join(lifes, ", ")),
			Events: all,
			Place:  func(string) (addr.Place, bool) { return addr.Place{}, false },
		})
	}
	return objects, nil
}

// ended says whether all nodes have done to the end what they had begun.
func (p *successions) ended() bool {
	return !slices.ContainsFunc(p.run.Manifests, func(m *trace.Manifest) bool { return m == nil || m.Failed != "" })
}

// views are those of the page's shard, at all nodes.
func (p *successions) views(o *lives) (all []*viewed) {
	for _, f := range p.run.Files {
		if f.Header.Shard == o.shard {
			for i := range p.logs[f].views {
				all = append(all, &p.logs[f].views[i])
			}
		}
	}
	return all
}

// generationsOf are those that some view gives the page; comes says that a node has
// had one that went and came again.
func generationsOf(page addr.PageNum, views []*viewed) (all map[uint64]bool, comes bool) {
	all = make(map[uint64]bool)
	times := make(map[addr.NodeID]int)
	last := make(map[addr.NodeID]uint64)
	for _, v := range views {
		now := uint64(0)
		for i := range v.Segments {
			if s := &v.Segments[i]; s.Contains(page) {
				all[s.Generation], now = true, s.Generation
			}
		}
		if now != 0 && now != last[v.At.Node] {
			times[v.At.Node]++
			comes = comes || times[v.At.Node] > 1
		}
		last[v.At.Node] = now
	}
	return all, comes
}

// doubtful are the first pages of segments that have a generation which another
// segment has too, in some view. They are objects whatever happened there.
func (p *successions) doubtful() map[addr.PageNum]bool {
	all := make(map[addr.PageNum]bool)
	had := make(map[uint64]protocol.Segment)
	for _, log := range p.logs {
		for i := range log.views {
			for _, s := range log.views[i].Segments {
				was, ok := had[s.Generation]
				if !ok {
					had[s.Generation] = s
				} else if was != s {
					all[was.First], all[s.First] = true, true
				}
			}
		}
	}
	for page := range all {
		if p.pages[page] == nil {
			p.pages[page] = &lives{page: page}
		}
	}
	return all
}

// told is what the views say of the page: of the store, each once and in the order
// in which it has had them, and of the nodes.
func told(page addr.PageNum, views []*viewed, generations map[uint64]bool) (store []Event, taken []moment) {
	type saying struct {
		has    string
		newest uint64
		first  *viewed
	}
	var all []saying
	seen := make(map[string]bool)
	for _, v := range views {
		var has, elsewhere []string
		for i := range v.Segments {
			switch s := &v.Segments[i]; {
			case s.Contains(page):
				has = append(has, fmt.Sprintf(`[name|->"%d+%d",gen|->%d]`, s.First, s.Pages, s.Generation))
			case generations[s.Generation]:
				elsewhere = append(elsewhere, fmt.Sprint(s.Generation))
			}
		}
		said := fmt.Sprintf("has|->{%s},newest|->%d", strings.Join(has, ","), v.Generation)
		if !seen[said] {
			seen[said] = true
			all = append(all, saying{strings.Join(has, ","), v.Generation, v})
		}
		e := v.moment
		e.Shape = fmt.Sprintf("[act|->%q,at|->%q,%s,elsewhere|->{%s}]", e.Act, nodeName(e.At.Node), said, strings.Join(elsewhere, ","))
		taken = append(taken, e)
	}
	slices.SortStableFunc(all, func(a, b saying) int {
		free := func(s saying) int {
			if s.has == "" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.newest, b.newest), cmp.Compare(free(a), free(b)), cmp.Compare(a.first.at, b.first.at))
	})
	for _, s := range all {
		e := s.first.Event
		e.Act, e.Shape = "Store", fmt.Sprintf("[act|->%q,has|->{%s},newest|->%d]", "Store", s.has, s.newest)
		store = append(store, e)
	}
	return store, taken
}

// Constants implements Projection.
func (p *successions) Constants() []Constant {
	var nodes []string
	for node := range p.run.Conf.Members.All {
		nodes = append(nodes, fmt.Sprintf("%q", nodeName(node)))
	}
	return []Constant{
		{Name: "Nodes", Value: "{" + strings.Join(nodes, ",") + "}"},
		{Name: "Names", Value: "{}"},
		{Name: "HomeOf", Value: "<<>>"},
	}
}
