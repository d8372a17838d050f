package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// InputKind is the type of an input.
type InputKind uint8

const (
	// InMessage: Msg came over a link.
	InMessage InputKind = iota
	// InReadFault, InWriteFault: a process of this node waits for the page. If
	// the node's right covers it the answer is a FrameGrant in this step, else
	// the answer to the request that is out, or now goes out, comes later: a
	// FrameGrant, of Read perhaps where Write was wanted, or Written.
	InReadFault
	InWriteFault
	// InWriteback asks to clean a page that this node owns; Written answers. If
	// there is nothing to clean, or a request is out, nothing happens.
	InWriteback
	// InEvict drops a read copy, if there is one and no request is out.
	InEvict
	// InResidenceOver answers Held.
	InResidenceOver
)

var inputNames = [...]string{"Message", "ReadFault", "WriteFault", "Writeback", "Evict", "ResidenceOver"}

func (k InputKind) String() string { return name(inputNames[:], uint8(k)) }

// Input is one thing that has happened.
type Input struct {
	Kind  InputKind
	Page  addr.PageNum // all but InMessage
	Stamp uint32       // the shell's own, given back by Held
	Cut   uint64       // of this node, which has one for all its shards, locks and barriers
	Msg   *Message     // InMessage
}

// Counters counts what the managers of a shard have done.
type Counters struct {
	// Handled[level][kind] counts the messages that managers of the level have
	// handled; level 0 is the leaf, RootLevel the root, whatever the depth.
	Handled [RootLevel + 1][Data + 1]uint64
	Dropped uint64 // by the receive rule
	Work
}

// Work is how often a core was given an input, and how many actions it has taken.
type Work struct{ Inputs, Actions uint64 }

// RootLevel is where Counters keeps the root: above any intermediate.
const RootLevel = 17

// Shard is the managers and leaves of those pages of one node that are
// protected by one lock. Its owner takes the lock around every call.
type Shard struct {
	endpoint

	directories  table[addr.ManagerID, Directory]
	transactions table[addr.ManagerID, *Transaction]
	views        table[addr.PageNum, View]
	asks         table[addr.PageNum, *Asking]
	// prepared is the cut under which the content of a leaf or of the home was
	// last prepared for a store, where that is not 0: empty while there are no cuts.
	prepared table[addr.ManagerID, uint64]

	generation uint64 // the newest of any configuration
	txns       uint64
	now        uint32 // the stamp of the input

	local  []Message // sent within this node in this step, in order
	within Message   // the one of them that is being handled
	waited Message   // the Grant or Recall that waited at the leaf and is being handled
	batch  *Batch    // of this step

	handling          manager // of this step, and its leaf
	handlingLeaf      leafManager
	spareTransactions []*Transaction
	spareAsking       []*Asking
	lastSegment       *Segment

	observer Observer
	counters Counters
	orders   orders // of the pages that a step has touched; under -tags invariants
}

// NewShard makes a shard. Of the shards of one node each takes transaction
// numbers of its own: index counts them from 0.
func NewShard(self addr.NodeID, incarnation addr.Incarnation, index int, conf *Configuration, o Observer) *Shard {
	return &Shard{
		endpoint: endpoint{self: self, incarnation: incarnation, conf: conf},
		observer: o, generation: conf.Generation,
		txns:         uint64(index) << 48,
		directories:  newTable[addr.ManagerID, Directory](32),
		transactions: newTable[addr.ManagerID, *Transaction](32),
		views:        newTable[addr.PageNum, View](0),
		asks:         newTable[addr.PageNum, *Asking](0),
		prepared:     newTable[addr.ManagerID, uint64](32),
	}
}

// Configure sets a newer configuration. Pages of segments that are gone, and of
// slots that have another term, are forgotten: whoever waits for them gets no answer
// from the core. The segments are the Gone of the configuration before, which the
// caller knows without comparing all.
func (s *Shard) Configure(conf *Configuration, segments []Segment) {
	moved := s.conf.moved(conf)
	s.conf, s.lastSegment = conf, nil
	s.generation = max(s.generation, conf.Generation)
	if len(segments) == 0 && moved == nil {
		return
	}
	var list segmentMap
	for i := range segments {
		list.Set(segments[i].First, &segments[i])
	}
	was := &Configuration{segments: &list}
	gone := func(p addr.PageNum) bool { return was.Segment(p) != nil || moved != nil && moved(p) }
	goneID := func(id addr.ManagerID) bool { return gone(id.Page()) }
	s.directories.forget(goneID)
	s.transactions.forget(goneID)
	s.views.forget(gone)
	s.asks.forget(gone)
	s.prepared.forget(goneID)
	s.orders.forget(gone)
}

// Counters is what was counted so far.
func (s *Shard) Counters() Counters {
	c := s.counters
	c.Dropped = s.dropped
	return c
}

// RightTo is this node's right to the page.
func (s *Shard) RightTo(p addr.PageNum) Right { return s.views.get(p).Right }

// Asking says whether a request of this node for the page is out.
func (s *Shard) Asking(p addr.PageNum) bool {
	a := s.asks.get(p)
	return a != nil && a.Op != OpNone
}

// Expects says whether a request of this node for the right to read or write the
// page is out: the page comes with the Grant, if it is not here then.
func (s *Shard) Expects(p addr.PageNum) bool {
	a := s.asks.get(p)
	return a != nil && a.expects()
}

// Tables is how many pages the shard remembers: as leaf, and as root or
// intermediate manager.
func (s *Shard) Tables() (views, directories int) { return s.views.len(), s.directories.len() }

// Pending is how many pages have a request out or being served, or a message that
// waits, at a leaf or a manager: none where nothing is under way.
func (s *Shard) Pending() int { return s.transactions.len() + s.asks.len() }

// Held is how many recalls wait for the end of a residence.
func (s *Shard) Held() (held int) {
	for _, a := range s.asks.all {
		if a.Recall.Kind != KindInvalid && a.Grant.Kind == KindInvalid {
			held++
		}
	}
	return held
}

// Holds calls yield for each page that this node has a right to, in no order.
func (s *Shard) Holds(yield func(addr.PageNum) bool) {
	for p := range s.views.all {
		if !yield(p) {
			return
		}
	}
}

// receive is the receive rule, and what only a page message can be wrong about.
func (s *Shard) receive(m *Message) error {
	if err := m.wellFormed(); err != nil {
		return err
	}
	slot, generation := s.subject(m)
	if err := s.endpoint.receive(&m.Envelope, m.Kind, slot, generation); err != nil {
		return err
	}
	if in := slot.Members; !in.Has(m.From.Node) || !in.Has(m.To.Node) || m.namesLeaf() && !in.Has(m.Leaf) {
		if s.ahead(&m.Envelope) {
			return ErrEarly
		}
		return fmt.Errorf("%w: a node is not in the tree of its page: %+v", ErrForeign, *m)
	}
	return nil
}

// subject is the slot of a message's page, or why there is no segment of that
// generation: it is to come, or gone.
func (s *Shard) subject(m *Message) (*Slot, error) {
	seg := s.segment(m.Page)
	switch {
	case m.Generation > s.generation:
		return nil, ErrEarly
	case seg == nil || m.Generation != seg.Generation:
		return nil, errDropped
	}
	return &s.conf.Slots[seg.Slot(m.Page, len(s.conf.Slots))], nil
}

func (s *Shard) segment(p addr.PageNum) *Segment {
	if s.lastSegment == nil || !s.lastSegment.Contains(p) {
		s.lastSegment = s.conf.Segment(p)
	}
	return s.lastSegment
}

func (s *Shard) slot(p addr.PageNum) int { return s.segment(p).Slot(p, len(s.conf.Slots)) }

func (s *Shard) tree(p addr.PageNum) Tree { return s.conf.Tree(s.slot(p)) }

// Step handles one input and all that it causes within this node, and appends
// the effects to the batch. After an error nothing has changed.
func (s *Shard) Step(in Input, b *Batch) error {
	s.batch, s.now = b, in.Stamp
	s.adopt(in.Cut)
	s.counters.Inputs++
	before := len(b.Effects)
	if in.Kind == InMessage {
		switch err := s.receive(in.Msg); err {
		case nil:
		case errDropped:
			s.dropped++
			return nil
		default:
			return err
		}
		if err := s.dispatch(in.Msg, false); err != nil {
			return err
		}
	} else {
		if s.segment(in.Page) == nil {
			return fmt.Errorf("%w: %v is in no segment", ErrEarly, in.Page)
		}
		s.localStep(in)
	}
	for i := 0; i < len(s.local); i++ {
		s.within = s.local[i] // local may move
		if err := s.dispatch(&s.within, true); err != nil {
			panic(fmt.Sprintf("mome: a message within node %d: %v", s.self, err))
		}
	}
	s.local = s.local[:0]
	s.checkOrder(b.Effects[before:])
	return nil
}

// localStep is the leaf's own steps.
func (s *Shard) localStep(in Input) {
	l := s.beginLeaf(in.Page)
	before := l.phase()
	act, took := ActReadFault, false
	switch in.Kind {
	case InReadFault:
		if l.access() >= Read {
			l.grantAccess()
		} else {
			took = l.ReadFault()
		}
	case InWriteFault:
		act = ActWriteFault
		if l.access() >= Write {
			l.grantAccess()
		} else {
			took = l.WriteFault()
		}
	case InWriteback:
		act = ActWriteback
		took = l.Writeback()
	case InEvict:
		act = ActEvict
		took = l.Evict()
	case InResidenceOver:
		l.Over = l.Recall.Kind != KindInvalid && l.Grant.Kind == KindInvalid
		s.drainLeaf(l)
		return
	}
	l.endLeaf()
	if !took {
		return
	}
	var sent *Message
	switch n := len(s.batch.Effects); {
	case act == ActEvict:
	case len(s.local) > 0:
		sent = &s.local[0]
	default:
		sent = &s.batch.Effects[n-1].Msg
	}
	s.observe(act, l.at, l.page, before, sent)
}

// dispatch hands a message that the receive rule has passed to its manager.
func (s *Shard) dispatch(msg *Message, local bool) error {
	if msg.To.Tag == addr.Leaf {
		return s.dispatchLeaf(msg, local)
	}
	if !s.tree(msg.Page).Has(msg.To) {
		return fmt.Errorf("%w: %v of %v: there is no manager %v in its tree", ErrForeign, msg.Kind, msg.Page, msg.To)
	}
	m := s.begin(msg.Page, msg.To)
	if err := m.admit(msg.From, msg); err != nil {
		if m.Idle() {
			s.freeTransaction(m.Transaction)
		}
		return err
	}
	s.learn(&msg.Envelope)
	before := m.phase()
	level := m.tree.level(m.at.Tag)
	if m.root {
		level = RootLevel
	}
	s.counters.Handled[level][msg.Kind]++
	child := noChild
	if msg.Kind == Req || msg.Kind == Ack {
		_, child = m.tree.Parent(msg.From)
	}
	var act Action
	switch msg.Kind {
	case Req:
		act = ActRecvReq
		m.RecvReq(child, msg)
	case Grant:
		act = ActRecvGrant
		m.RecvGrant(msg)
	case Recall:
		act = ActRecvRecall
		m.RecvRecall(msg)
	case Ack:
		act = ActRecvAck
		m.RecvAck(child, msg)
	case Data:
		act = ActHomeRecvData
		m.HomeRecvData(msg, local)
	}
	s.observe(act, msg.To, msg.Page, before, msg)
	return nil
}

// dispatchLeaf takes in a message to the leaf. What cannot be handled yet waits
// at the head of the channel from the parent, which is what the two slots of
// asking are.
func (s *Shard) dispatchLeaf(msg *Message, local bool) error {
	l := s.beginLeaf(msg.Page)
	if err := l.admitLeaf(msg.From, msg); err != nil {
		l.endLeaf()
		return err
	}
	s.learn(&msg.Envelope)
	s.counters.Handled[0][msg.Kind]++
	switch msg.Kind {
	case Data:
		before := l.phase()
		l.RecvData(msg, local)
		l.show()
		s.observe(ActRecvData, l.at, l.page, before, msg)
	case Grant:
		l.Grant = *msg
	case Recall:
		l.Recall = *msg
		// The time of residence counts from a Grant: without a right there is
		// nothing to reside.
		l.Over = l.Right == None && l.Grant.Kind == KindInvalid
		if !l.Over && l.Grant.Kind == KindInvalid {
			s.batch.add(Effect{Kind: Held, Page: l.page, Stamp: l.Stamp})
		}
	}
	s.drainLeaf(l)
	return nil
}

// drainLeaf handles what waits at the leaf, in order, as far as it can be.
func (s *Shard) drainLeaf(l *leafManager) {
	if l.Grant.Kind != KindInvalid && (l.Grant.Source != Sent || l.Arrived) {
		before, g := l.phase(), &s.waited
		*g, l.Grant = l.Grant, Message{}
		s.lamport++
		l.LeafRecvGrant(g)
		l.show()
		s.observe(ActLeafRecvGrant, l.at, l.page, before, g)
		if l.Recall.Kind != KindInvalid {
			s.batch.add(Effect{Kind: Held, Page: l.page, Stamp: l.Stamp})
		}
	}
	if l.Recall.Kind != KindInvalid && l.Over && l.Grant.Kind == KindInvalid {
		before, r := l.phase(), &s.waited
		*r, l.Recall, l.Over = l.Recall, Message{}, false
		s.lamport++
		l.LeafRecvRecall(r)
		l.show()
		s.observe(ActLeafRecvRecall, l.at, l.page, before, r)
	}
	l.endLeaf()
}

// send fills what every message carries and passes it on: to a manager of this
// node within this step, to another as an effect.
func (s *Shard) send(from, to addr.Place, p addr.PageNum, msg Message) {
	seg := s.segment(p)
	s.seal(&msg.Envelope, from, to, &s.conf.Slots[seg.Slot(p, len(s.conf.Slots))])
	msg.Page, msg.Generation = p, seg.Generation
	if to.Node == s.self {
		s.local = append(s.local, msg)
		return
	}
	s.batch.add(Effect{Kind: Send, Page: p, Msg: msg})
}

// sendData sends the page from a leaf's frame or from the home.
func (s *Shard) sendData(from, to addr.Place, p addr.PageNum, msg Message) {
	msg.Kind, msg.Prepared = Data, s.preparedAt(from, p)
	if to.Node == s.self {
		kind := FrameToHome
		if from.Tag == addr.Root {
			kind = HomeToFrame
		}
		s.batch.add(Effect{Kind: kind, Page: p})
	}
	s.send(from, to, p, msg)
}

// preparedAt is the cut under which the content of a leaf or of the home was last
// prepared for a store.
func (s *Shard) preparedAt(at addr.Place, p addr.PageNum) uint64 {
	if s.prepared.len() == 0 {
		return 0
	}
	return s.prepared.get(addr.ID(p, at))
}

// prepare says under which cut the content of a leaf or of the home is prepared;
// of no content it is 0.
func (s *Shard) prepare(at addr.Place, p addr.PageNum, cut uint64) {
	if cut != 0 || s.prepared.len() > 0 {
		s.prepared.set(addr.ID(p, at), cut)
	}
}

func (s *Shard) observe(a Action, at addr.Place, p addr.PageNum, before Phase, msg *Message) {
	s.counters.Actions++
	if s.observer == nil {
		return
	}
	t := s.tree(p)
	s.observer.Observe(&Event{Action: a, At: at, Page: p, Level: t.level(at.Tag), Depth: t.depth,
		Before: before, Message: msg, Lamport: s.lamport})
}

func (s *Shard) newTransaction() *Transaction {
	if n := len(s.spareTransactions); n > 0 {
		t := s.spareTransactions[n-1]
		s.spareTransactions = s.spareTransactions[:n-1]
		return t
	}
	return &Transaction{}
}

func (s *Shard) freeTransaction(t *Transaction) {
	*t = Transaction{Queue: t.Queue[:0]}
	s.spareTransactions = append(s.spareTransactions, t)
}

func (s *Shard) newAsking() *Asking {
	if n := len(s.spareAsking); n > 0 {
		a := s.spareAsking[n-1]
		s.spareAsking = s.spareAsking[:n-1]
		return a
	}
	return &Asking{}
}

func (s *Shard) freeAsking(a *Asking) {
	*a = Asking{}
	s.spareAsking = append(s.spareAsking, a)
}
