package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// Config says what a node is. The zero value of a field is its default.
type Config struct {
	// Listen is the address of the node's one port, HOST:PORT. Default
	// 127.0.0.1:0. Beyond this machine a Token is required.
	Listen string
	// Advertise is the address at which the other nodes find this one, if it is
	// not Listen.
	Advertise string
	// Join is the address of a node of the cluster. Empty: this node founds one,
	// or finds it in the store that Store names.
	Join string
	// Wait is how long the node tries to reach the node that Join names, or the
	// etcd that Store names. Default DefaultWait.
	Wait time.Duration
	// NodeID is the number that this node is to have. Nil: the lowest that is free.
	NodeID *addr.NodeID
	// Cluster is the name of the cluster, which coord.CheckName accepts. In the
	// store its keys are below it. Default coord.DefaultName.
	Cluster string
	// Store are the URLs of an external etcd. Empty: the founding node embeds one.
	Store []string
	// Directory is where the embedded store keeps its data. What an earlier run
	// has left there is replaced. Empty: a temporary one, which goes with the node.
	Directory string
	// Token is the cluster's secret.
	Token []byte

	// Nodes is how many nodes the cluster is founded for. Default 1. Of a
	// founding node: one that finds a cluster in Store must agree with it in what
	// it gives of Nodes, Fanout, Slots, Transport, Base, Residence and Repair. One
	// that joins agrees too, and has the founder's where it gives nothing.
	Nodes int
	// Fanout is the most children a manager has, 2 to protocol.MaxFanout, which
	// is the default. Of a founding node.
	Fanout int
	// Slots is how many shares the pages have; each has a home. Default 1024,
	// or the number of nodes if there are more. Of a founding node.
	Slots int
	// Transport is what the links run on: wire.TCP (default) or wire.GRPC. Of a
	// founding node.
	Transport string
	// Base is where programs have the global space. Default addr.DefaultBase. Of a
	// founding node.
	Base addr.Base
	// Residence is how long a page stays at least with who was granted it.
	// Default DefaultResidence; negative: not at all. The same at all nodes.
	Residence time.Duration
	// Repair is how long nothing may be heard of a peer before it is lost. Default
	// DefaultRepair. The same at all nodes.
	Repair time.Duration

	// Socket is the path of the attach socket. Required.
	Socket string
	// Memory is how many bytes of pages the node keeps at most, frames and master
	// copies. To stay below, it drops copies and has other nodes take pages over;
	// where none has room, accesses wait. Zero: no limit.
	Memory int64
	// RoomWait is how long no node has had room before a request that waits for it
	// fails. Accesses wait for as long as it takes. Default DefaultRoomWait.
	RoomWait time.Duration
	// NoReadAhead turns off the fetching of pages that nobody asked for.
	NoReadAhead bool
	// Trace is the directory in which the node records every step of its core,
	// in files of its own. Empty: nothing is recorded.
	Trace string
	// Joined is told the node's number and address once it has joined, while
	// others may be missing. Default: nobody is told.
	Joined func(id addr.NodeID, address string)
	// Waiting is told for whom the node waits before it serves, in words, whenever
	// that changes. It must not wait itself. Default: nobody is told.
	Waiting func(waits string)
	// Sleepers is told how many of the node's threads sleep in the kernel most
	// of their time, whenever there are more. Default: nobody is told.
	Sleepers func(threads int)
	// Log takes what an operator should know. Default: nothing.
	Log *slog.Logger
	// Version of the program, for the cluster's record.
	Version string

	given coord.Cluster // of it, what was given, without defaults; Residence -1: not given
}

// DefaultResidence lets a thread that was woken for a page run and use it.
const DefaultResidence = 50 * time.Microsecond

// DefaultRepair lets a switch or a cable be changed.
const DefaultRepair = 3 * time.Second

// DefaultRoomWait gives programs the time to give pages up.
const DefaultRoomWait = 5 * time.Second

func (c *Config) complete() error {
	if c.Socket == "" {
		return errors.New("mome: no path for the attach socket; give one with --socket")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Cluster == "" {
		c.Cluster = coord.DefaultName
	}
	if err := coord.CheckName(c.Cluster); err != nil {
		return err
	}
	c.given = coord.Cluster{Nodes: c.Nodes, Fanout: c.Fanout, Slots: c.Slots, Transport: c.Transport, Base: c.Base,
		Residence: max(c.Residence, 0), Repair: c.Repair}
	if c.Residence == 0 {
		c.given.Residence = -1
	}
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Nodes < 1 || c.Nodes > coord.MaxNodes {
		return fmt.Errorf("mome: a cluster has 1 to %d nodes, not %d", coord.MaxNodes, c.Nodes)
	}
	if c.Fanout == 0 {
		c.Fanout = protocol.MaxFanout
	}
	if c.Fanout < 2 || c.Fanout > protocol.MaxFanout {
		return fmt.Errorf("mome: a manager has 2 to %d children, not %d", protocol.MaxFanout, c.Fanout)
	}
	if c.Slots == 0 {
		c.Slots = protocol.DefaultSlots(c.Nodes)
	}
	if c.Transport == "" {
		c.Transport = wire.TCP
	}
	if c.Transport != wire.TCP && c.Transport != wire.GRPC {
		return fmt.Errorf("mome: transport %q is neither %q nor %q", c.Transport, wire.TCP, wire.GRPC)
	}
	if c.Base == 0 {
		c.Base = addr.DefaultBase
	}
	if err := c.Base.Check(); err != nil {
		return fmt.Errorf("mome: %w", err)
	}
	if err := CheckMemory(c.Memory); err != nil {
		return fmt.Errorf("mome: %w", err)
	}
	if c.Residence == 0 {
		c.Residence = DefaultResidence
	}
	c.Residence = max(c.Residence, 0)
	if c.RoomWait == 0 {
		c.RoomWait = DefaultRoomWait
	}
	if c.Repair == 0 {
		c.Repair = DefaultRepair
	}
	if c.Repair < 0 {
		return fmt.Errorf("mome: a repair time of %v", c.Repair)
	}
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	if c.Waiting == nil {
		c.Waiting = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
