//go:build invariants || race || mutants

package node

import (
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
)

// world is a cluster of real shells and cores. The kernel's memory is a model
// (shell_memory_test.go), and so are the links (shell_links_test.go) and the
// programs. Every thread is a task, and only one runs at a time. It yields before and
// after it takes a lock or gives one back, and before it touches memory or a link. So
// the order of everything that goes on at once is a list of choices, which a seed or
// an enumeration makes (shell_choices_test.go).
//
// The rules of the shell are looked at all the while (shell_rules_test.go).
type world struct {
	workload
	choices choices
	states  []*view // of the configuration, in their order
	members []*member
	tasks   []*task
	running *task
	last    *task
	owners  map[*shard]*task
	lives   map[uint64]*segmentLife // by generation
	steps   int
	over    bool // the threads are to end
	tell    bool // what happens is logged
	log     []string

	published  int    // the last of states that there is
	stores     uint64 // so many there were; each has a value of its own
	troubles   int    // answers of the kernel that it is busy, or short of memory, to come
	interrupts int    // of threads that sleep, to come
}

// workload is what a cluster is, and what goes on in it.
type workload struct {
	name      string
	nodes     int
	fanout    int
	residence time.Duration

	processes int            // of each node
	threads   int            // of each process
	accesses  int            // of each thread
	pages     []addr.PageNum // of each segment
	// How often each node fetches pages ahead, writes one back, drops copies, and
	// takes the one lock.
	prefetch, clean, evict, locks int

	views      int // that follow the first one
	exits      int // of processes
	troubles   int
	interrupts int

	script func(*world) // what goes on, if it is not that
}

// choices decide what is not determined.
type choices interface {
	// pick is one of n things; 0 is the ordinary one.
	pick(n int) int
	// trouble is one of n answers of the kernel, or none: 0. It is asked while there
	// are some to come.
	trouble(n int) int
	// next is one of the tasks that could go on. The last one is among them, and in
	// the middle of something, where it is not nil.
	next(ready []*task, last *task) *task
}

// task is what can go on: a thread of a node or of a program, or time.
type task struct {
	name   string
	number int
	member *member
	ready  func() bool // nil: always
	step   func()
	over   bool

	// Of a thread of a node.
	resting bool   // it has nothing to do
	ends    bool   // it is to end
	pause   func() // until it goes on
	stop    func()
}

// member is a node of the world.
type member struct {
	*Node
	w        *world
	links    []*modelLink            // to other nodes
	frames   map[uint64]*modelFrames // by generation
	pages    map[place]*ledger
	held     map[*shard][]*ledger // since the lock was taken
	busy     int                  // threads that are in the middle of something
	dirty    bool                 // something has gone on since the clock was looked at
	clock    timer
	arrived  map[origin][]modelMessage // and not given to the core
	programs []*process
	view     int    // the one of states that was applied
	fence    uint64 // of the lock that it was granted
	heard    uint64 // the highest cut of what its machines have taken
	cleaning int    // who has a page written back
}

// violation is a rule that was broken.
type violation struct{ rule, text string }

func (v *violation) Error() string { return v.rule + ": " + v.text }

// stopped unwinds a thread when the world is closed.
type stopped struct{}

// violate ends the simulation.
func (w *world) violate(rule, format string, args ...any) {
	panic(&violation{rule, fmt.Sprintf(format, args...)})
}

func (w *world) note(format string, args ...any) {
	if w.tell {
		who := "-"
		if w.running != nil {
			who = w.running.name
		}
		w.log = append(w.log, fmt.Sprintf("%-18s ", who)+fmt.Sprintf(format, args...))
	}
}

// simulate has a workload run until nothing can happen any more.
func simulate(p workload, c choices, views []*view, tell bool) (w *world, broken *violation) {
	w = &world{workload: p, choices: c, states: views, tell: tell, owners: make(map[*shard]*task), lives: make(map[uint64]*segmentLife),
		troubles: p.troubles, interrupts: p.interrupts}
	defer w.close()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *violation:
			broken = r
		default:
			broken = &violation{"panic", fmt.Sprint(r)}
		}
	}()
	w.setUp()
	if p.script != nil {
		p.script(w)
	} else {
		w.begin()
	}
	w.run()
	w.atRest()
	return w, nil
}

func (w *world) setUp() {
	first := w.states[0]
	conf := &protocol.Configuration{Epoch: first.Epoch, Fanout: w.fanout, Members: protocol.Founders(w.nodes)}
	conf.Slots = protocol.DealSlots(64, conf.Members)
	for i := range w.nodes {
		s := &member{w: w, frames: make(map[uint64]*modelFrames), pages: make(map[place]*ledger), held: make(map[*shard][]*ledger), arrived: make(map[origin][]modelMessage), view: -1}
		s.Node = newNode(Config{Residence: w.residence, NoReadAhead: true, Log: slog.New(slog.DiscardHandler)})
		s.id, s.incarnation = addr.NodeID(i), 1
		if err := s.prepare(conf); err != nil {
			w.violate("setup", "%v", err)
		}
		s.heard = uint64(i)
		s.cut.Store(s.heard) // as of who has begun so many
		s.beginCleaning()    // homes keep their promises
		s.schedule(w)
		s.syncs.core.Observe(s)
		w.members = append(w.members, s)
	}
	for _, s := range w.members {
		all := make(peers)
		s.links = make([]*modelLink, w.nodes)
		for _, to := range w.members {
			p := newPeer(coord.Member{Node: to.id, Incarnation: to.incarnation}, nil)
			if p.promises.left = 1 << 20; to != s {
				l := &modelLink{from: s, to: to}
				p.link, s.links[to.id] = l, l
			}
			all[to.id] = p
		}
		s.peers.Store(&all)
		close(s.connected)
	}
	for _, s := range w.members {
		w.residences(s)
		for _, from := range w.members {
			if from != s {
				from.links[s.id].read()
			}
		}
		s.apply(0)
	}
	w.clock()
}

func (w *world) close() {
	w.over = true
	for _, a := range w.tasks {
		if a.stop != nil {
			a.stop()
		}
	}
	for _, s := range w.members {
		s.Node.stop()
		if s.Node.residences != nil {
			unix.Close(s.Node.residences.wake)
		}
		for i := range s.shards {
			_ = s.shards[i].pool.Close()
		}
	}
}

// maxSteps is far more than any workload takes that comes to rest.
const maxSteps = 200_000

// run has the tasks go on until none can.
func (w *world) run() {
	var ready []*task
	for {
		ready = ready[:0]
		for _, a := range w.tasks {
			if !a.over && (a.ready == nil || a.ready()) {
				ready = append(ready, a)
			}
		}
		if len(ready) == 0 {
			return
		}
		if w.steps++; w.steps > maxSteps {
			w.violate("rest", "the cluster does not come to rest; ready are %v", names(ready))
		}
		last := w.last
		if last != nil && (last.over || last.resting || last.pause == nil || !slices.Contains(ready, last)) {
			last = nil
		}
		w.resume(w.choices.next(ready, last))
	}
}

func names(tasks []*task) string {
	var list []string
	for _, a := range tasks {
		list = append(list, a.name)
	}
	return strings.Join(list, ", ")
}

// resume has a task go on until it yields.
func (w *world) resume(a *task) {
	w.running, w.last = a, a
	a.step()
	w.running = nil
	if a.member == nil {
		return
	}
	a.member.dirty = true
	a.member.lives()
	if a.member.busy == 0 {
		a.member.idle()
	}
}

// thread makes a thread of a node. Its body rests where it has nothing to do.
func (w *world) thread(s *member, name string, body func(a *task)) *task {
	a := &task{name: fmt.Sprintf("%d/%s", s.id, name), member: s, resting: true}
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		a.pause = func() {
			if !yield(struct{}{}) {
				panic(stopped{})
			}
		}
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(stopped); !ok {
					panic(r)
				}
			}
		}()
		body(a)
		a.over = true
		s.busy--
	})
	a.stop = stop
	a.step = func() {
		if a.resting {
			a.resting = false
			s.busy++
		}
		next()
	}
	w.enter(a)
	return a
}

// rest ends what the thread does until there is something to do.
func (a *task) rest(ready func() bool) {
	a.ready, a.resting = ready, true
	a.member.busy--
	a.pause()
	a.ready = nil
}

// yield implements scheduler.
func (w *world) yield() {
	switch {
	case w.over:
		panic(stopped{})
	case w.running != nil:
		w.running.pause()
	}
}

// await implements scheduler.
func (w *world) await(s *shard) {
	if w.over || w.running == nil {
		return
	}
	a := w.running
	for w.owners[s] != nil {
		if w.owners[s] == a {
			w.violate("locks", "%s locks shard %d a second time", a.name, s.index)
		}
		a.ready = func() bool { return w.owners[s] == nil }
		a.pause()
		a.ready = nil
	}
}

// locked implements scheduler.
func (w *world) locked(s *shard) {
	if !w.over && w.running != nil {
		w.owners[s] = w.running
	}
}

// unlocking implements scheduler.
func (w *world) unlocking(s *shard) {
	if w.over {
		return
	}
	at := w.members[s.node.id]
	at.settled(s)
	delete(w.owners, s)
}

// spawn implements scheduler.
func (w *world) spawn(n *Node, f func()) {
	if w.over {
		return
	}
	s := w.members[n.id]
	a := w.thread(s, "spawned", func(*task) { f() })
	a.resting = false
	s.busy++ // it is part of what is under way
}

// frames implements scheduler.
func (w *world) frames(n *Node, seg *segment) frames { return w.members[n.id].newFrames(seg) }

// enter adds a task.
func (w *world) enter(a *task) {
	a.number = len(w.tasks)
	w.tasks = append(w.tasks, a)
}

const timeName = "time"

// clock is what lets time pass, as far as somebody waits for it: when nothing else
// happens, and now and then before.
func (w *world) clock() {
	until := func() (next time.Time, ok bool) {
		for _, s := range w.members {
			if at, waits := s.waits(); waits && (!ok || at.Before(next)) {
				next, ok = at, true
			}
		}
		return next, ok
	}
	a := &task{name: timeName}
	a.ready = func() bool { _, ok := until(); return ok }
	a.step = func() {
		if at, ok := until(); ok {
			left := time.Until(at)
			if w.choices.pick(2) == 1 {
				left = max(left/2, time.Microsecond).Truncate(time.Microsecond)
			}
			time.Sleep(left) // of the bubble's clock
		}
	}
	w.enter(a)
}
