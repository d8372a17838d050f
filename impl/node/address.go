package node

import (
	"cmp"
	"fmt"
	"net"
)

// ownAddress is where the other nodes find this one, or what is wrong with it: it
// must be one that they can reach, and what others can reach needs a token.
func (n *Node) ownAddress() (string, error) {
	listened := n.listener.Addr().String()
	address := cmp.Or(n.cfg.Advertise, listened)
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		return "", fmt.Errorf("mome: address %q: %w; write HOST:PORT", address, err)
	case ip != nil && ip.IsUnspecified():
		return "", fmt.Errorf("mome: other nodes cannot reach %s (%s); say with --advertise where they find this node", cmp.Or(n.cfg.Advertise, n.cfg.Listen), address)
	case !isLoopback(host) && len(n.cfg.Token) == 0:
		return "", fmt.Errorf("mome: %s is reachable from other machines: a cluster token is required; give one with --token-file", address)
	case !onThisMachine(listened) && len(n.cfg.Token) == 0:
		return "", fmt.Errorf("mome: the port %s takes connections from other machines: a cluster token is required; give one with --token-file, or --listen on 127.0.0.1", listened)
	}
	if join, _, err := net.SplitHostPort(n.cfg.Join); err == nil && isLoopback(host) && !isLoopback(join) {
		return "", fmt.Errorf("mome: the nodes of the cluster at %s cannot reach %s: give --listen or --advertise an address of this machine", n.cfg.Join, address)
	}
	return address, nil
}

// isLoopback says whether a host is this machine and no other can reach it.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip == nil && host == "localhost" || ip != nil && ip.IsLoopback()
}
