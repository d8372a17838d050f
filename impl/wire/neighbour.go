package wire

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// neighbours makes the kernel look for the hardware address of a peer, or of the
// router on the way to it, as soon as the network may be there again.
//
// Where a network goes and comes back, the kernel has often forgotten that
// address (it does so when an interface loses its carrier), and whatever was sent
// meanwhile made it ask for it, in vain. It asks again once in a second, and a
// network that is never there at those moments stays away for ever, whatever is
// dialed. An entry that is not resolved and is deleted is asked for anew with the
// next packet. That takes CAP_NET_ADMIN: without it up to a second of the repair
// time is lost in such a case.
type neighbours struct {
	want chan netip.Addr // nil where nobody serves it
}

// maxNeighbours are looked after at a time. Others come a tick later.
const maxNeighbours = 64

// renew asks for the peer at the address of a connection. It does not wait.
func (n *neighbours) renew(remote string) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil || ap.Addr().IsLoopback() {
		return
	}
	select {
	case n.want <- ap.Addr().Unmap():
	default:
	}
}

// serve does what renew asks for, until the mesh ends.
func (m *Mesh) serveNeighbours() {
	defer m.wg.Done()
	for permitted := true; ; {
		select {
		case ip := <-m.neighbours.want:
			if permitted {
				permitted = !errors.Is(forgetUnresolved(ip.AsSlice()), unix.EPERM)
			}
		case <-m.ctx.Done():
			return
		}
	}
}

// forgetUnresolved deletes the neighbour on the way to an address, if the kernel
// has asked for it and had no answer yet.
func forgetUnresolved(ip net.IP) error {
	routes, err := netlink.RouteGet(ip)
	if err != nil {
		return err // there is no way: the next one that there is begins anew
	}
	for _, r := range routes {
		hop := ip
		if r.Gw != nil {
			hop = r.Gw
		}
		neighbour, err := neighbourOf(r.LinkIndex, hop)
		if err != nil {
			return err
		}
		if neighbour.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) != 0 {
			if err := netlink.NeighDel(neighbour); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return nil
}

// neighbourOf is the kernel's entry of a neighbour; an error if there is none.
func neighbourOf(link int, ip net.IP) (*netlink.Neigh, error) {
	family := nl.GetIPFamily(ip)
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.AddData(&netlink.Ndmsg{Family: uint8(family), Index: uint32(link)})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, ip))
	answers, err := req.Execute(syscall.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, err
	}
	if len(answers) == 0 {
		return nil, unix.ENOENT
	}
	return netlink.NeighDeserialize(answers[0])
}
