package node

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/wire"
)

type syncs struct{}

func (n *Node) startSyncs()                                {}
func (n *Node) deliverSync(peer addr.NodeID, m *wire.Sync) {}
func (n *Node) processDied(party uint64)                   {}
func (a *application) syncRequest(r *attachpb.Request) bool {
	return a.conn.WriteError(r.Id, client.ErrUnsupported) == nil
}
