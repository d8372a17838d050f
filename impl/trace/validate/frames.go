package validate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Frames are the frames of pages, below the strong model: an object is a page of
// one node in one life of its segment. What happens to it is in one log.
var Frames = Kind{Name: "frames", Protocol: protocol.Pages, Spec: "TraceFrame", Records: (*trace.Run).Events, Project: newFrames, Real: true}

// unseen is TraceFrame's Unknown: of an event that has no content, and where none
// is given up any more.
const unseen = -4

// frame is one object.
type frame struct {
	node       addr.NodeID
	page       addr.PageNum
	generation uint64
	events     []Event
	contents   map[trace.Digest]int // numbered in the order of appearance
}

// frameSegment is one life of a segment, as one log tells of it.
type frameSegment struct {
	protocol.Segment
	frames   map[addr.PageNum]*frame
	attached []Event // of the processes that are attached
}

// frames is the projection of a run onto the frames of its nodes.
type frames struct {
	logs map[*trace.File]*frameLog
	all  []*frame
	// processes is how many mappings a segment has had on a node at most.
	processes uint64
}

type frameLog struct {
	conf     *protocol.Configuration
	segments map[uint64]*frameSegment // by generation
}

func newFrames(run *trace.Run) (Projection, error) {
	p := &frames{logs: make(map[*trace.File]*frameLog)}
	for _, f := range run.Files {
		p.logs[f] = &frameLog{conf: run.Conf, segments: make(map[uint64]*frameSegment)}
	}
	return p, nil
}

// Add implements Projection.
func (p *frames) Add(ev *trace.Event) error {
	log := p.logs[ev.File]
	switch ev.Kind {
	case trace.KindConfigure:
		conf, err := ev.Configure(log.conf)
		if err != nil {
			return malformed(ev, "%w", err)
		}
		log.conf = conf
		return nil
	case trace.KindAction, trace.KindContent, trace.KindStep:
	default:
		return nil
	}
	if ev.At.Tag != addr.Leaf {
		return nil
	}
	seg := log.segment(ev.Page)
	if seg == nil {
		return malformed(ev, "%v is in no segment of this node", ev.Page)
	}
	if s := ev.Step; s != nil {
		p.processes = max(p.processes, s.Process)
		if s.Step == trace.Attach || s.Step == trace.Exit {
			seg.change(ev, s)
			return nil
		}
	}
	shape, content, err := frameShape(ev)
	if err != nil || shape == "" {
		return err
	}
	o := seg.frames[ev.Page]
	if o == nil {
		o = &frame{node: ev.At.Node, page: ev.Page, generation: seg.Generation,
			events: slices.Clone(seg.attached), contents: map[trace.Digest]int{zeroDigest: 0}}
		seg.frames[ev.Page] = o
		p.all = append(p.all, o)
	}
	number := unseen
	if content {
		number = o.content(ev)
	}
	o.events = append(o.events, frameEvent(ev, shape, number))
	return nil
}

// segment is the life of the page's segment that the log is in.
func (l *frameLog) segment(p addr.PageNum) *frameSegment {
	s := l.conf.Segment(p)
	if s == nil {
		return nil
	}
	seg := l.segments[s.Generation]
	if seg == nil {
		seg = &frameSegment{Segment: *s, frames: make(map[addr.PageNum]*frame)}
		l.segments[s.Generation] = seg
	}
	return seg
}

// change adds the coming or going of a process to every page of the segment.
func (seg *frameSegment) change(ev *trace.Event, s *trace.Step) {
	shape := stepShape(s)
	e := frameEvent(ev, shape, unseen)
	for _, o := range seg.frames {
		o.events = append(o.events, e)
	}
	if s.Step == trace.Attach {
		seg.attached = append(seg.attached, e)
		return
	}
	attach := *s
	attach.Step = trace.Attach
	was := stepShape(&attach)
	seg.attached = slices.DeleteFunc(seg.attached, func(e Event) bool { return e.Shape == was })
}

// frameEvent is an event whose second number Objects finds.
func frameEvent(ev *trace.Event, shape string, content int) Event {
	act := ev.Act
	switch ev.Kind {
	case trace.KindStep:
		act = ev.Step.Step.String()
	case trace.KindContent:
		act = ev.Moment.String()
	}
	return Event{Shape: shape, Numbers: []int{content, unseen}, Act: act, At: ev.At, Lamport: ev.Lamport,
		File: ev.File, Line: ev.Line}
}

// content is the number of the content that the record has.
func (o *frame) content(ev *trace.Event) int {
	d := ev.Digest
	if ev.Step != nil {
		d = ev.Step.Digest
	}
	n, ok := o.contents[d]
	if !ok {
		n = len(o.contents)
		o.contents[d] = n
	}
	return n
}

// frameShape is the record in the words of TraceFrame, and whether it has a
// content; empty if it is not about the frame.
func frameShape(ev *trace.Event) (shape string, content bool, err error) {
	switch ev.Kind {
	case trace.KindStep:
		s := ev.Step
		return stepShape(s), s.Step == trace.Fill || s.Step == trace.Copy || s.Step == trace.SendData, nil
	case trace.KindContent:
		if ev.Moment == trace.Take {
			return `[act|->"Take"]`, true, nil
		}
		return `[act|->"Give"]`, true, nil
	}
	switch m := ev.Message; ev.Act {
	case "ReadFault", "WriteFault", "Evict":
		return fmt.Sprintf("[act|->%q]", ev.Act), false, nil
	case "LeafRecvGrant", "LeafRecvRecall":
		if m == nil {
			return "", false, malformed(ev, "%s without a message", ev.Act)
		}
		if ev.Act == "LeafRecvGrant" {
			if m.Op == protocol.OpWriteback {
				return "", false, nil // the recall before it was the frame's matter
			}
			return fmt.Sprintf("[act|->%q,op|->%q,source|->%q]", ev.Act, m.Op, m.Source), false, nil
		}
		return fmt.Sprintf("[act|->%q,keep|->%q,send|->%s,local|->%s]", ev.Act, m.Keep,
			truth(m.Dst != protocol.ToNobody), truth(m.From.Node == ev.At.Node)), false, nil
	}
	return "", false, nil
}

// stepShape is a step in the words of TraceFrame.
func stepShape(s *trace.Step) string {
	return fmt.Sprintf("[act|->%q,process|->%q,write|->%s,answer|->%q]", s.Step, process(s.Process), truth(s.Write), s.Answer)
}

// process is the name of a process.
func process(number uint64) string { return fmt.Sprintf("p%d", number) }

func truth(b bool) string { return strings.ToUpper(fmt.Sprint(b)) }

// Objects implements Projection.
func (p *frames) Objects() ([]*Object, error) {
	slices.SortFunc(p.all, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(a.page, b.page), cmp.Compare(a.generation, b.generation), cmp.Compare(a.node, b.node))
	})
	var objects []*Object
	for _, o := range p.all {
		end := ending(o.events)
		end.Numbers = []int{unseen, unseen}
		events := append(o.events, end)
		// What is seen next of a content.
		seen := unseen
		for i := len(events) - 1; i >= 0; i-- {
			e := &events[i]
			if e.Act == trace.SendData.String() || e.Act == trace.Give.String() {
				seen = e.Numbers[0]
			}
			e.Numbers = []int{e.Numbers[0], seen}
		}
		objects = append(objects, &Object{
			Name:   fmt.Sprintf("the frame of %v (generation %d) at node %d", o.page, o.generation, o.node),
			Events: events,
			Place:  func(string) (addr.Place, bool) { return addr.Place{}, false },
		})
	}
	return objects, nil
}

// Constants implements Projection.
func (p *frames) Constants() []Constant {
	var all []string
	for i := range p.processes {
		all = append(all, fmt.Sprintf("%q", process(i+1)))
	}
	set := "{" + strings.Join(all, ",") + "}"
	return []Constant{
		{Name: "Process", Value: set},
		{Name: "Thread", Value: set},
		{Name: "Owner", Operator: "Itself"},
		{Name: "Late", Value: set},
		{Name: "Reclaimed", Value: set},
		{Name: "Ahead", Value: set},
		{Name: "Op", Value: "{}"},
		{Name: "Value", Value: "{}"},
		{Name: "Zero", Value: "0"},
		{Name: "Hole", Value: "-1"},
		{Name: "Torn", Value: "-2"},
		{Name: "NoContent", Value: "-3"},
	}
}
