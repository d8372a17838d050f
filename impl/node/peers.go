package node

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/wire"
)

// peer is a member of the cluster in one of its lives, and all that this node keeps
// of it. This node is one too. Another life of the same node is another peer, which
// inherits nothing.
type peer struct {
	id          addr.NodeID
	incarnation addr.Incarnation
	address     string

	link     sender // nil: it is this node
	promises promises
	promised promised
	taker    taker
	callsMu  sync.Mutex // guards calls; a leaf
	calls    *grpc.ClientConn
	reader   reader // apart from link: each frame writes to it
}

func newPeer(m coord.Member, link sender) *peer {
	return &peer{id: m.Node, incarnation: m.Incarnation, address: m.Address, link: link,
		promises: promises{asking: make(chan struct{}, 1)}}
}

// wireLink is the link with the peer, also one that has ended; nil for this node.
func (p *peer) wireLink() *wire.Link {
	l, _ := p.link.(*wire.Link)
	return l
}

// rooms is the peer's room service, over a connection that is made when it is
// needed first.
func (p *peer) rooms(token []byte) (controlpb.RoomClient, error) {
	p.callsMu.Lock()
	defer p.callsMu.Unlock()
	if p.calls == nil {
		var err error
		if p.calls, err = grpc.NewClient(p.address, withToken(token)...); err != nil {
			return nil, err
		}
	}
	return controlpb.NewRoomClient(p.calls), nil
}

// peers are the members by their numbers. A map that is in force does not change:
// another one takes its place.
type peers map[addr.NodeID]*peer

// peer is the member with this number; nil if there is none, or none yet.
func (n *Node) peer(id addr.NodeID) *peer { return (*n.peers.Load())[id] }

// link is the link with a peer; nil if nothing is to be sent to it any more.
func (n *Node) link(to addr.NodeID) sender {
	p := n.peer(to)
	if p == nil || n.halted.Load() {
		return nil
	}
	return p.link
}

// sortedPeers is the members in the order of their numbers.
func (n *Node) sortedPeers() []*peer {
	return slices.SortedFunc(maps.Values(*n.peers.Load()), func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
}
