package protocol

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
)

// The state of a page at a manager and at a leaf. The core works on these types,
// Manager and Leaf give them as values, AppendState writes them as JSON for a
// trace, and json.Unmarshal reads them again.

// Children is a set of a manager's children: indices of Tree.Child, as bits. Its
// JSON is a list of them.
type Children uint64

// UnmarshalJSON implements json.Unmarshaler.
func (c *Children) UnmarshalJSON(text []byte) error {
	var list []int
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*c = 0
	for _, n := range list {
		if n < 0 || n >= MaxFanout {
			return fmt.Errorf("there is no child %d", n)
		}
		*c |= 1 << n
	}
	return nil
}

// Owner is the child that is recorded Owned or Write, plus one; zero is nobody.
// Its JSON is the child, or -1.
type Owner int8

const nobody Owner = 0

// noChild is the child of an owner that is nobody.
const noChild = -1

func ownedBy(c int) Owner { return Owner(c + 1) }

// Child is the owner's index, or -1.
func (o Owner) Child() int { return int(o) - 1 }

// UnmarshalJSON implements json.Unmarshaler.
func (o *Owner) UnmarshalJSON(text []byte) error {
	var c int
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	if c < noChild || c >= MaxFanout {
		return fmt.Errorf("there is no child %d", c)
	}
	*o = ownedBy(c)
	return nil
}

// Home is the state of the root's own copy.
type Home uint8

const (
	Virgin Home = iota // never written: zeros
	Valid
	Stale // the owner has the content
)

var homeNames = [...]string{"virgin", "valid", "stale"}

func (h Home) String() string { return name(homeNames[:], uint8(h)) }

// Directory is all that a manager remembers of an idle page. The zero value is
// a page that was never asked for. It has no pointers: a table of them costs
// the garbage collector nothing.
type Directory struct {
	Marked     Children `json:"marked"`  // children with a recorded right
	Version    uint64   `json:"version"` // the master version last granted through this manager
	Owner      Owner    `json:"owner"`
	OwnerRight Right    `json:"ownerRight"` // what the owner is recorded with
	Right      Right    `json:"right"`      // what the parent granted; the root's is Write
	Home       Home     `json:"home"`       // of a root; absent: Virgin
}

// Recorded is the right that is recorded for a child.
func (d *Directory) Recorded(c int) Right {
	switch {
	case d.Owner.Child() == c:
		return d.OwnerRight
	case d.Marked&(1<<c) != 0:
		return Read
	}
	return None
}

func (d *Directory) record(c int, r Right) {
	if d.Owner.Child() == c {
		d.Owner, d.OwnerRight = nobody, None
	}
	if r == None {
		d.Marked &^= 1 << c
		return
	}
	d.Marked |= 1 << c
	if r >= Owned {
		d.Owner, d.OwnerRight = ownedBy(c), r
	}
}

// Collection is what a manager collects from its children, for the request that
// it serves or for its parent.
type Collection struct {
	Wait    Children    `json:"wait"`    // those that were recalled and have not answered
	HomeDue uint8       `json:"homeDue"` // how many Data the home still expects
	Keep    Right       `json:"keep"`    // what the children keep
	Dst     Dst         `json:"dst"`     // whom they send the page to
	Leaf    addr.NodeID `json:"leaf"`    // the leaf that wants it
	Hit     bool        `json:"hit"`     // somebody has sent it
	Txn     Txn         `json:"-"`
}

// collected says whether all that was asked for has come.
func (c *Collection) collected() bool { return c.Wait == 0 && c.HomeDue == 0 }

// Busy is the one request that a manager serves; Leaf is whom it is for.
type Busy struct {
	Op       Op     `json:"op"` // OpNone: not busy
	Child    int8   `json:"child"`
	Have     Right  `json:"have"`
	Source   Source `json:"source"` // SourceNone until the data is on its way, or known not to be needed
	Climbing bool   `json:"up"`     // waits for the parent (phase "up"), else serving
	Collection
}

// Collecting is the parent's recall that a manager collects.
type Collecting struct {
	Active bool `json:"active"`
	Collection
}

// Waiting is a request, or a recall (Op is OpNone), that came and was not taken yet.
type Waiting struct {
	Op    Op          `json:"op"`
	Child int8        `json:"child"` // of a request
	Have  Right       `json:"have"`
	Keep  Right       `json:"keep"` // of a recall
	Dst   Dst         `json:"dst"`
	Leaf  addr.NodeID `json:"leaf"`
	Txn   Txn         `json:"-"`
}

// IsRecall says what it is.
func (w *Waiting) IsRecall() bool { return w.Op == OpNone }

// Transaction is what a manager remembers of a page while it is not idle.
type Transaction struct {
	Busy   Busy       `json:"busy"`
	Recall Collecting `json:"recall"`
	Queue  []Waiting  `json:"queue"` // at most one request per child, and one recall, in the order of arrival
}

// Idle says whether the manager has nothing to do.
func (t *Transaction) Idle() bool {
	return t.Busy.Op == OpNone && !t.Recall.Active && len(t.Queue) == 0
}

func (t *Transaction) phase() Phase {
	switch {
	case t.Recall.Active && t.Busy.Climbing:
		return RecalledClimbing
	case t.Recall.Active:
		return Recalled
	case t.Busy.Op == OpNone:
		return Idle
	case t.Busy.Climbing:
		return Climbing
	}
	return Serving
}

// ManagerState is the spec's mgr[m], with what the code adds to it: the version
// and the transactions.
type ManagerState struct {
	Directory
	Transaction
}

// View is what a leaf remembers of an idle page. It has no pointers.
type View struct {
	Version uint64 `json:"version"`
	Stamp   uint32 `json:"-"` // the shell's, of the last grant
	Right   Right  `json:"right"`
}

// Asking is what a leaf remembers of a page while a request is out or a message
// from its parent waits.
type Asking struct {
	Op      Op      `json:"req"`
	Have    Right   `json:"have"`    // what the request claims
	Arrived bool    `json:"arrived"` // Data is here, its Grant is not
	Grant   Message `json:"-"`       // waits for its Data where Kind is Grant
	Recall  Message `json:"-"`       // waits behind Grant, or for the end of the residence
	Over    bool    `json:"-"`       // the residence is over
	Txn     Txn     `json:"-"`
}

func (a *Asking) idle() bool {
	return a.Op == OpNone && !a.Arrived && a.Grant.Kind == KindInvalid && a.Recall.Kind == KindInvalid
}

// expects says whether a request is out that may bring the page.
func (a *Asking) expects() bool { return a.Op != OpNone && a.Op.row().supplies }

func (a *Asking) phase() Phase {
	switch {
	case a.Recall.Kind != KindInvalid && a.Op != OpNone:
		return RecalledClimbing
	case a.Recall.Kind != KindInvalid:
		return Recalled
	case a.Op != OpNone:
		return Climbing
	}
	return Idle
}

// LeafState is the spec's leaf[l] without the content. What waits at the leaf is
// the head of the channel from its parent.
type LeafState struct {
	View
	Asking
}

// AppendState appends the state of a manager of a page, or of its leaf, as JSON.
func (s *Shard) AppendState(b []byte, p addr.PageNum, at addr.Place) []byte {
	if at.Tag == addr.Leaf {
		l := s.Leaf(p)
		return l.AppendJSON(b)
	}
	m := s.managerState(p, at)
	return m.AppendJSON(b)
}

// writer appends the fields of JSON objects.
type writer struct {
	b     []byte
	comma bool
}

func (w *writer) open(key string) {
	w.key(key)
	w.b, w.comma = append(w.b, '{'), false
}

func (w *writer) close() { w.b, w.comma = append(w.b, '}'), true }

func (w *writer) key(key string) {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
	if key != "" {
		w.b = append(append(append(w.b, '"'), key...), `":`...)
	}
}

func (w *writer) text(key, value string) {
	w.key(key)
	w.b = append(append(append(w.b, '"'), value...), '"')
}

func (w *writer) number(key string, n int64) {
	w.key(key)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) truth(key string, v bool) {
	w.key(key)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) children(key string, set Children) {
	w.key(key)
	w.b = append(w.b, '[')
	for rest := set; rest != 0; rest &= rest - 1 {
		if rest != set {
			w.b = append(w.b, ',')
		}
		w.b = strconv.AppendInt(w.b, int64(bits.TrailingZeros64(uint64(rest))), 10)
	}
	w.b = append(w.b, ']')
}

// AppendJSON appends the state as JSON.
func (m *ManagerState) AppendJSON(b []byte) []byte {
	w := writer{b: b}
	w.open("")
	w.text("right", m.Right.String())
	w.children("marked", m.Marked)
	w.number("owner", int64(m.Owner.Child()))
	w.text("ownerRight", m.OwnerRight.String())
	if m.Home != Virgin {
		w.text("home", m.Home.String())
	}
	w.number("version", int64(m.Version))
	if b := &m.Busy; b.Op != OpNone {
		w.open("busy")
		w.text("op", b.Op.String())
		w.number("child", int64(b.Child))
		w.text("have", b.Have.String())
		w.text("source", b.Source.String())
		w.truth("up", b.Climbing)
		w.collection(&b.Collection)
		w.close()
	}
	if r := &m.Recall; r.Active {
		w.open("recall")
		w.truth("active", true)
		w.collection(&r.Collection)
		w.close()
	}
	if len(m.Queue) > 0 {
		w.key("queue")
		w.b, w.comma = append(w.b, '['), false
		for i := range m.Queue {
			q := &m.Queue[i]
			w.open("")
			if q.IsRecall() {
				w.text("keep", q.Keep.String())
				w.text("dst", q.Dst.String())
			} else {
				w.text("op", q.Op.String())
				w.number("child", int64(q.Child))
				w.text("have", q.Have.String())
			}
			w.number("leaf", int64(q.Leaf))
			w.close()
		}
		w.b = append(w.b, ']')
	}
	w.close()
	return w.b
}

func (w *writer) collection(c *Collection) {
	w.children("wait", c.Wait)
	w.number("homeDue", int64(c.HomeDue))
	w.text("keep", c.Keep.String())
	w.text("dst", c.Dst.String())
	w.number("leaf", int64(c.Leaf))
	w.truth("hit", c.Hit)
}

// AppendJSON appends the state as JSON.
func (l *LeafState) AppendJSON(b []byte) []byte {
	w := writer{b: b}
	w.open("")
	w.text("right", l.Right.String())
	w.number("version", int64(l.Version))
	if !l.Asking.idle() {
		w.text("req", l.Op.String())
		w.text("have", l.Have.String())
		w.truth("arrived", l.Arrived)
	}
	w.close()
	return w.b
}

// UnmarshalText implementations read what String writes.

func (r *Right) UnmarshalText(text []byte) error  { return named(rightNames[:], text, (*uint8)(r)) }
func (o *Op) UnmarshalText(text []byte) error     { return named(opNames[:], text, (*uint8)(o)) }
func (s *Source) UnmarshalText(text []byte) error { return named(sourceNames[:], text, (*uint8)(s)) }
func (d *Dst) UnmarshalText(text []byte) error    { return named(dstNames[:], text, (*uint8)(d)) }
func (h *Home) UnmarshalText(text []byte) error   { return named(homeNames[:], text, (*uint8)(h)) }
func (k *Kind) UnmarshalText(text []byte) error   { return named(kindNames[:], text, (*uint8)(k)) }
func (p *Phase) UnmarshalText(text []byte) error  { return named(phaseNames[:], text, (*uint8)(p)) }

func (k *InputKind) UnmarshalText(text []byte) error { return named(inputNames[:], text, (*uint8)(k)) }

func (k *SyncKind) UnmarshalText(text []byte) error { return named(syncNames[:], text, (*uint8)(k)) }
func (c *SyncCode) UnmarshalText(text []byte) error { return named(codeNames[:], text, (*uint8)(c)) }
func (k *SyncInputKind) UnmarshalText(text []byte) error {
	return named(syncInputNames[:], text, (*uint8)(k))
}

func named(names []string, text []byte, to *uint8) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is none of %v", text, names)
	}
	*to = uint8(i)
	return nil
}

// managerState is the state of a manager, with the queue that the manager has.
func (s *Shard) managerState(p addr.PageNum, at addr.Place) ManagerState {
	id := addr.ID(p, at)
	m := ManagerState{Directory: s.directories.get(id)}
	if at.Tag == addr.Root {
		m.Right = Write
	}
	if t := s.transactions.get(id); t != nil {
		m.Transaction = *t
	}
	return m
}

// Manager is the state of the root or an intermediate of a page at this node.
func (s *Shard) Manager(p addr.PageNum, at addr.Place) ManagerState {
	m := s.managerState(p, at)
	m.Queue = slices.Clone(m.Queue)
	return m
}

// SetManager puts a manager into a state that Manager gave.
func (s *Shard) SetManager(p addr.PageNum, at addr.Place, m *ManagerState) {
	to := s.begin(p, at)
	to.dir = m.Directory
	to.Busy, to.Recall, to.Queue = m.Busy, m.Recall, append(to.Queue[:0], m.Queue...)
	to.store()
	s.placed(p)
}

// Leaf is the state of the leaf of a page.
func (s *Shard) Leaf(p addr.PageNum) LeafState {
	l := LeafState{View: s.views.get(p)}
	if a := s.asks.get(p); a != nil {
		l.Asking = *a
	}
	return l
}

// SetLeaf puts the leaf of a page into a state that Leaf gave.
func (s *Shard) SetLeaf(p addr.PageNum, l *LeafState) {
	to := s.beginLeaf(p)
	to.View, *to.Asking = l.View, l.Asking
	to.endLeaf()
	s.placed(p)
}

// Unanswered are the children whose requests a manager has and has not granted.
func (s *Shard) Unanswered(p addr.PageNum, at addr.Place) Children {
	t := s.transactions.get(addr.ID(p, at))
	if t == nil {
		return 0
	}
	var children Children
	if t.Busy.Op != OpNone {
		children |= 1 << t.Busy.Child
	}
	for i := range t.Queue {
		if !t.Queue[i].IsRecall() {
			children |= 1 << t.Queue[i].Child
		}
	}
	return children
}

// RecallWaits says whether a Recall of the parent waits at the manager and was
// not taken yet.
func (s *Shard) RecallWaits(p addr.PageNum, at addr.Place) bool {
	t := s.transactions.get(addr.ID(p, at))
	return t != nil && slices.ContainsFunc(t.Queue, func(w Waiting) bool { return w.IsRecall() })
}

// Tree is the tree of the page's slot.
// Preconditions: the page is in a segment.
func (s *Shard) Tree(p addr.PageNum) Tree { return s.tree(p) }
