package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

const (
	// magic is "MOME" again: gRPC streams have no first bytes of their own.
	magic = 0x454d4f4d
	// version is exact: both ends speak the same.
	version = 7
	// maxHandshake bounds one encoded Handshake.
	maxHandshake = 1 << 10
	// maxCluster bounds a cluster's name.
	maxCluster = 255
	nonceSize  = 32
)

// handshaker carries handshake messages, whole.
type handshaker interface {
	send([]byte) error
	receive() ([]byte, error)
}

type refusalMeaning struct {
	code wirepb.Refusal
	err  error
}

// refusals pairs what travels with what it means.
var refusals = [...]refusalMeaning{
	{wirepb.Refusal_MALFORMED, ErrHandshake},
	{wirepb.Refusal_VERSION, ErrVersion},
	{wirepb.Refusal_CLUSTER, ErrCluster},
	{wirepb.Refusal_TOKEN, ErrToken},
	{wirepb.Refusal_NODE, ErrNode},
	{wirepb.Refusal_INCARNATION, ErrIncarnation},
	{wirepb.Refusal_GONE, ErrGone},
	{wirepb.Refusal_NOT_ADMITTED, ErrNotAdmitted},
	{wirepb.Refusal_CLOSING, ErrClosed},
	{wirepb.Refusal_STALE, ErrStale},
}

// refusal is an error that ends a handshake: a sentence and what it means.
type refusal struct {
	code wirepb.Refusal
	text string
	// later says that another attempt may succeed.
	later bool
}

func refuse(code wirepb.Refusal, format string, args ...any) *refusal {
	return &refusal{code: code, text: fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return r.Unwrap().Error() + ": " + r.text }

func (r *refusal) Unwrap() error {
	for _, e := range refusals {
		if e.code == r.code {
			return e.err
		}
	}
	return ErrHandshake
}

// parseHandshake decodes and validates one message of the handshake by itself,
// for an end that speaks the given version.
func parseHandshake(b []byte, speaks uint32) (*wirepb.Handshake, error) {
	h := new(wirepb.Handshake)
	if len(b) > maxHandshake {
		return nil, fmt.Errorf("%w: %d bytes", ErrHandshake, len(b))
	}
	if err := proto.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHandshake, err)
	}
	switch {
	case h.Magic != magic:
		return nil, fmt.Errorf("%w: magic %#x", ErrHandshake, h.Magic)
	case h.Step <= wirepb.Step_STEP_INVALID || h.Step > wirepb.Step_REFUSED:
		return nil, fmt.Errorf("%w: step %d", ErrHandshake, h.Step)
	case h.Refusal < 0 || (h.Refusal != 0) != (h.Step == wirepb.Step_REFUSED):
		return nil, fmt.Errorf("%w: step %v with %v", ErrHandshake, h.Step, h.Refusal)
	case h.Node > math.MaxUint16 || h.ToNode > math.MaxUint16:
		return nil, fmt.Errorf("%w: nodes %d and %d", ErrHandshake, h.Node, h.ToNode)
	case len(h.Cluster) > maxCluster || len(h.Transport) > 16:
		return nil, fmt.Errorf("%w: names too long", ErrHandshake)
	}
	if h.Version != speaks {
		// Another version may mean anything by the other fields.
		return h, nil
	}
	nonce, proof := 0, 0
	switch h.Step {
	case wirepb.Step_HELLO, wirepb.Step_CHALLENGE:
		nonce = nonceSize
	case wirepb.Step_PROOF_STEP, wirepb.Step_WELCOME:
		proof = sha256.Size
	}
	if len(h.Nonce) != nonce || len(h.Proof) != proof {
		return nil, fmt.Errorf("%w: step %v with a nonce of %d bytes and a proof of %d",
			ErrHandshake, h.Step, len(h.Nonce), len(h.Proof))
	}
	if h.Step == wirepb.Step_HELLO && (h.Session == 0 || h.Incarnation == 0 || h.Attempt == 0) {
		return nil, fmt.Errorf("%w: no session, incarnation or attempt", ErrHandshake)
	}
	return h, nil
}

// handshake is one end of one handshake.
type handshake struct {
	m          *Mesh
	s          handshaker
	remote     string
	trust      func() // the acceptor's: told as soon as the dialer's proof is right
	transcript []byte // the HELLO and the CHALLENGE as they travelled
}

// message is a Handshake with what all of them say.
func (h *handshake) message(step wirepb.Step) *wirepb.Handshake {
	return &wirepb.Handshake{
		Magic: magic, Version: h.m.version, Step: step,
		Cluster: h.m.cfg.Cluster,
		Node:    uint32(h.m.cfg.Self), Incarnation: uint32(h.m.cfg.Incarnation),
	}
}

func (h *handshake) send(msg *wirepb.Handshake) error {
	b, err := proto.Marshal(msg)
	if err != nil {
		return fmt.Errorf("encode a handshake: %w", err)
	}
	if msg.Step == wirepb.Step_HELLO || msg.Step == wirepb.Step_CHALLENGE {
		h.record(b)
	}
	return h.s.send(b)
}

func (h *handshake) record(b []byte) {
	h.transcript = binary.LittleEndian.AppendUint32(h.transcript, uint32(len(b)))
	h.transcript = append(h.transcript, b...)
}

// receive takes the next message, which must be of the step (or a refusal).
func (h *handshake) receive(step wirepb.Step) (*wirepb.Handshake, error) {
	b, err := h.s.receive()
	if err != nil {
		return nil, err
	}
	msg, err := parseHandshake(b, h.m.version)
	if err != nil {
		return nil, refuse(wirepb.Refusal_MALFORMED, "%s: %s", h.remote, strings.TrimPrefix(err.Error(), ErrHandshake.Error()+": "))
	}
	if msg.Version != h.m.version {
		return nil, refuse(wirepb.Refusal_VERSION, "node %d at %s speaks version %d, node %d version %d",
			msg.Node, h.remote, msg.Version, h.m.cfg.Self, h.m.version)
	}
	if msg.Step != step && msg.Step != wirepb.Step_REFUSED {
		return nil, refuse(wirepb.Refusal_MALFORMED, "%s sent %v for %v", h.remote, msg.Step, step)
	}
	if step == wirepb.Step_HELLO || step == wirepb.Step_CHALLENGE {
		h.record(b)
	}
	return msg, nil
}

// proof is what proves knowledge of the token in this handshake, to one side.
// The acceptor's covers the session's position too.
func (h *handshake) proof(who string, lastReceived uint64) []byte {
	mac := hmac.New(sha256.New, h.m.cfg.Token)
	mac.Write([]byte("mome link " + who + "\x00"))
	mac.Write(binary.LittleEndian.AppendUint64(nil, lastReceived))
	mac.Write(h.transcript)
	return mac.Sum(nil)
}

func (h *handshake) nonce() []byte {
	n := make([]byte, nonceSize)
	rand.Read(n) // never fails
	return n
}

// checkPeer compares what the other end says of itself.
func (h *handshake) checkPeer(msg *wirepb.Handshake) error {
	if msg.Cluster != h.m.cfg.Cluster {
		return refuse(wirepb.Refusal_CLUSTER, "node %d at %s belongs to cluster %q, node %d to cluster %q",
			msg.Node, h.remote, msg.Cluster, h.m.cfg.Self, h.m.cfg.Cluster)
	}
	return h.m.checkToken(h.remote)
}

// dialer runs the dialer's side of an attempt. It returns what the peer received.
func (h *handshake) dialer(l *Link, a *attempt) (received uint64, err error) {
	hello := h.message(wirepb.Step_HELLO)
	hello.ToNode, hello.ToIncarnation = uint32(l.peer), uint32(l.incarnation)
	hello.Transport = h.m.cfg.Transport
	hello.Attempt = h.m.attempts.Add(1)
	l.mu.Lock()
	a.number = hello.Attempt
	hello.Session, hello.Resume = l.session, l.up
	l.mu.Unlock()
	hello.LastReceived = l.received.Load()
	hello.Nonce = h.nonce()
	began := time.Now()
	if err := h.send(hello); err != nil {
		return 0, err
	}
	msg, err := h.receive(wirepb.Step_CHALLENGE)
	if err != nil {
		return 0, err
	}
	if err := h.checkPeer(msg); err != nil {
		return 0, err
	}
	if msg.Step == wirepb.Step_REFUSED {
		return 0, h.refused(l, msg)
	}
	if err := h.checkIdentity(l, msg); err != nil {
		return 0, err
	}
	l.greet()
	if err := l.takeTurn(a, time.Since(began)); err != nil {
		return 0, err
	}
	p := h.message(wirepb.Step_PROOF_STEP)
	p.Proof = h.proof("dialer", 0)
	if err := h.send(p); err != nil {
		return 0, err
	}
	msg, err = h.receive(wirepb.Step_WELCOME)
	if err != nil {
		return 0, err
	}
	if msg.Step == wirepb.Step_REFUSED {
		return 0, h.refused(l, msg)
	}
	if !hmac.Equal(msg.Proof, h.proof("acceptor", msg.LastReceived)) {
		return 0, refuse(wirepb.Refusal_TOKEN, "node %d at %s does not know the token of node %d",
			l.peer, h.remote, h.m.cfg.Self)
	}
	return msg.LastReceived, nil
}

// checkIdentity says whether the acceptor is the peer that the link goes to.
func (h *handshake) checkIdentity(l *Link, msg *wirepb.Handshake) error {
	switch inc := addr.Incarnation(msg.Incarnation); {
	case addr.NodeID(msg.Node) != l.peer:
		return refuse(wirepb.Refusal_NODE, "node %d answers at %s, which was said to be node %d",
			msg.Node, h.remote, l.peer)
	case inc < l.incarnation:
		r := refuse(wirepb.Refusal_INCARNATION, "node %d at %s is still incarnation %d, not %d",
			l.peer, h.remote, inc, l.incarnation)
		r.later = true
		return r
	case inc > l.incarnation:
		return refuse(wirepb.Refusal_INCARNATION, "node %d at %s is incarnation %d by now, not %d",
			l.peer, h.remote, inc, l.incarnation)
	}
	return nil
}

// refused makes an error of the acceptor's refusal. Its words are our own:
// nothing that a stranger wrote reaches a log.
func (h *handshake) refused(l *Link, msg *wirepb.Handshake) error {
	self := h.m.cfg.Self
	if msg.Refusal == wirepb.Refusal_INCARNATION || msg.Refusal == wirepb.Refusal_NODE {
		if err := h.checkIdentity(l, msg); err != nil {
			return err
		}
	}
	text := "it says so"
	switch msg.Refusal {
	case wirepb.Refusal_TOKEN:
		text = fmt.Sprintf("the token of node %d is not the cluster's", self)
	case wirepb.Refusal_INCARNATION:
		text = fmt.Sprintf("it knows a later incarnation of node %d than %d", self, h.m.cfg.Incarnation)
	case wirepb.Refusal_GONE:
		text = fmt.Sprintf("it counts incarnation %d of node %d as dead; start a new incarnation", h.m.cfg.Incarnation, self)
	case wirepb.Refusal_NOT_ADMITTED:
		text = fmt.Sprintf("it does not know incarnation %d of node %d as a member", h.m.cfg.Incarnation, self)
	case wirepb.Refusal_CLOSING:
		text = "it is closing"
	case wirepb.Refusal_STALE:
		text = "a later connection came first"
	}
	r := refuse(msg.Refusal, "node %d at %s refused node %d: %s", l.peer, h.remote, self, text)
	r.later = msg.Refusal == wirepb.Refusal_NOT_ADMITTED || msg.Refusal == wirepb.Refusal_STALE
	return r
}

// acceptor runs the acceptor's side up to the dialer's proof. It returns the
// HELLO; a failure was already told to the dialer.
func (h *handshake) acceptor(transport string) (*wirepb.Handshake, error) {
	hello, err := h.receive(wirepb.Step_HELLO)
	if err == nil {
		err = h.acceptHello(hello, transport)
	}
	if err != nil {
		return nil, h.sendRefusal(err)
	}
	if l := h.m.Link(addr.NodeID(hello.Node)); l != nil && l.incarnation == addr.Incarnation(hello.Incarnation) {
		l.greet()
	}
	challenge := h.message(wirepb.Step_CHALLENGE)
	challenge.Nonce = h.nonce()
	if err := h.send(challenge); err != nil {
		return nil, err
	}
	msg, err := h.receive(wirepb.Step_PROOF_STEP)
	if err != nil {
		return nil, h.sendRefusal(err)
	}
	if !hmac.Equal(msg.Proof, h.proof("dialer", 0)) {
		return nil, h.sendRefusal(refuse(wirepb.Refusal_TOKEN, "node %d at %s does not know the token of node %d",
			hello.Node, h.remote, h.m.cfg.Self))
	}
	h.trust()
	return hello, nil
}

func (h *handshake) acceptHello(hello *wirepb.Handshake, transport string) error {
	if hello.Step != wirepb.Step_HELLO {
		return refuse(wirepb.Refusal_MALFORMED, "%s begins with %v", h.remote, hello.Step)
	}
	if err := h.checkPeer(hello); err != nil {
		return err
	}
	self, inc := h.m.cfg.Self, h.m.cfg.Incarnation
	switch {
	case hello.Transport != transport:
		return refuse(wirepb.Refusal_MALFORMED, "node %d at %s says %q on %s", hello.Node, h.remote, hello.Transport, transport)
	case addr.NodeID(hello.ToNode) != self:
		return refuse(wirepb.Refusal_NODE, "node %d at %s looks for node %d and found node %d",
			hello.Node, h.remote, hello.ToNode, self)
	case addr.NodeID(hello.Node) <= self:
		return refuse(wirepb.Refusal_NODE, "node %d at %s dials node %d: the higher id dials", hello.Node, h.remote, self)
	case addr.Incarnation(hello.ToIncarnation) != inc:
		return refuse(wirepb.Refusal_INCARNATION, "node %d at %s looks for incarnation %d of node %d, which is %d",
			hello.Node, h.remote, hello.ToIncarnation, self, inc)
	}
	return nil
}

// sendRefusal tells the dialer why, where it is a refusal.
func (h *handshake) sendRefusal(err error) error {
	if r, ok := err.(*refusal); ok {
		msg := h.message(wirepb.Step_REFUSED)
		msg.Refusal = r.code
		_ = h.send(msg) // the reason matters here, not whether it arrived
	}
	return err
}

// welcome ends the acceptor's side.
func (h *handshake) welcome(received uint64) error {
	msg := h.message(wirepb.Step_WELCOME)
	msg.LastReceived = received
	msg.Proof = h.proof("acceptor", received)
	return h.send(msg)
}
