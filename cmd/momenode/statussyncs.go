package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/internal/ranges"
	"github.com/mome-dsm/mome/internal/table"
)

// syncsFlags are the part of status that is about locks and barriers.
type syncsFlags struct {
	locks, barriers bool
}

func (f *syncsFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.locks, "locks", false, "show who has each lock, and who waits for it")
	flags.BoolVar(&f.barriers, "barriers", false, "show which parties of each barrier have come, and which have not")
}

// maxSyncs bounds the answer of a node, which has each party of each barrier.
const maxSyncs = 1 << 30

func (f *syncsFlags) run(ctx context.Context, socket string, asJSON bool, out io.Writer) error {
	var answer *controlpb.ClusterSyncsStatus
	err := askControl(ctx, socket, func(c controlpb.ControlClient) (err error) {
		answer, err = c.ClusterSyncs(ctx, &controlpb.SyncsRequest{Locks: f.locks, Barriers: f.barriers}, grpc.MaxCallRecvMsgSize(maxSyncs))
		return err
	})
	if err != nil {
		return err
	}
	s := newSyncsStatus(answer)
	if asJSON {
		err = printJSON(out, s)
	} else {
		err = s.print(out, f.locks, f.barriers)
	}
	if err != nil {
		return err
	}
	for _, n := range s.Nodes {
		if n.Error != "" {
			return errors.New(silence(n.Node, n.Address, n.Error))
		}
	}
	return nil
}

// syncsStatus is locks and barriers as they are printed. Of its JSON the same
// holds as of clusterStatus. A holder is null where nobody has the lock, and the
// number of a process where its node has not said it.
type syncsStatus struct {
	Cluster  string          `json:"cluster"`
	Expected uint32          `json:"nodes_expected"`
	Joined   int             `json:"nodes_joined"`
	Nodes    []syncsNode     `json:"nodes"`
	Locks    []lockStatus    `json:"locks"`
	Barriers []barrierStatus `json:"barriers"`
}

type syncsNode struct {
	Node    uint32 `json:"node"`
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
}

type lockStatus struct {
	Name      string    `json:"name"` // empty: no node that answered knows it
	Object    string    `json:"object"`
	Home      uint32    `json:"home"`
	Fence     uint64    `json:"fence"` // of the holder
	Holder    *turnOf   `json:"holder"`
	OwnerDied bool      `json:"owner_died"` // the next holder will be told
	Waiters   []*turnOf `json:"waiters"`    // in their order
}

type turnOf struct {
	processOf
	Seconds float64 `json:"seconds"` // for which it has the lock, or waits for it
}

type processOf struct {
	Node    uint32 `json:"node"`
	PID     *int64 `json:"pid"`
	Program string `json:"program"`
}

type barrierStatus struct {
	Name       string     `json:"name"`
	Object     string     `json:"object"`
	Home       uint32     `json:"home"`
	Generation uint64     `json:"generation"` // of the name
	Parties    uint32     `json:"parties"`
	Round      uint64     `json:"round"`  // that goes on, from 1
	Broken     bool       `json:"broken"` // a party died or left that the round needs
	Come       int        `json:"come"`   // how many parties have
	Joined     []*partyOf `json:"joined"`
	NotJoined  []uint32   `json:"not_joined"` // the first of them, up to most
	Left       []uint32   `json:"left"`       // parties that have left after they had come
}

type partyOf struct {
	Party uint32 `json:"party"`
	Come  bool   `json:"come"` // in the round
	processOf
}

func newProcessOf(p *controlpb.Process) processOf {
	one := processOf{Node: p.GetNode(), Program: p.GetProgram()}
	if pid := p.GetPid(); pid != 0 {
		one.PID = &pid
	}
	return one
}

func newSyncsStatus(c *controlpb.ClusterSyncsStatus) *syncsStatus {
	s := &syncsStatus{Cluster: c.Cluster, Expected: c.Expected, Joined: len(c.Nodes),
		Nodes: []syncsNode{}, Locks: []lockStatus{}, Barriers: []barrierStatus{}}
	for _, n := range c.Nodes {
		s.Nodes = append(s.Nodes, syncsNode{n.Node, n.Address, n.Error})
	}
	for _, l := range c.Locks {
		one := lockStatus{Name: l.Name, Object: fmt.Sprintf("%#x", l.Object), Home: l.Home, Fence: l.Fence, OwnerDied: l.OwnerDied, Waiters: []*turnOf{}}
		if l.Holder != nil {
			one.Holder = &turnOf{newProcessOf(l.Holder), l.Holder.Seconds}
		}
		for _, w := range l.Waiters {
			one.Waiters = append(one.Waiters, &turnOf{newProcessOf(w), w.Seconds})
		}
		s.Locks = append(s.Locks, one)
	}
	for _, b := range c.Barriers {
		s.Barriers = append(s.Barriers, newBarrierStatus(b))
	}
	return s
}

// mostNotJoined is how many parties that have not joined are listed one by one: of
// a barrier of a million those are what is wanted least.
const mostNotJoined = 1000

func newBarrierStatus(b *controlpb.BarrierStatus) barrierStatus {
	one := barrierStatus{Name: b.Name, Object: fmt.Sprintf("%#x", b.Object), Home: b.Home, Generation: b.Generation, Parties: b.Parties, Round: b.Round,
		Broken: b.Broken, Come: len(b.Left), Joined: []*partyOf{}, NotJoined: []uint32{}, Left: append([]uint32{}, b.Left...)}
	there := make(map[uint32]bool)
	for _, party := range b.Left {
		there[party] = true
	}
	for _, s := range b.Seats {
		there[s.Party] = true
		if s.Come {
			one.Come++
		}
		one.Joined = append(one.Joined, &partyOf{s.Party, s.Come, newProcessOf(s.Process)})
	}
	for party := uint32(0); party < b.Parties && len(one.NotJoined) < mostNotJoined; party++ {
		if !there[party] {
			one.NotJoined = append(one.NotJoined, party)
		}
	}
	return one
}

func (p processOf) columns() []any {
	if p.PID == nil {
		return []any{p.Node, "", p.Program}
	}
	return []any{p.Node, *p.PID, p.Program}
}

// mostRows is how many processes of one lock or barrier are printed.
const mostRows = 100

func (s *syncsStatus) print(w io.Writer, locks, barriers bool) error {
	out := &errorWriter{w: w}
	fmt.Fprintf(out, "Cluster %s: %d of %s\n", s.Cluster, s.Joined, plural(int(s.Expected), "node"))
	for _, n := range s.Nodes {
		if n.Error != "" {
			fmt.Fprintln(out, silence(n.Node, n.Address, n.Error))
		}
	}
	if locks {
		s.printLocks(out)
	}
	if barriers {
		s.printBarriers(out)
	}
	return out.err
}

// nameOf is the name of a lock or a barrier, or its number if nobody has said it.
func nameOf(name, object string) string {
	if name == "" {
		return object
	}
	return name
}

func (s *syncsStatus) printLocks(out io.Writer) {
	if len(s.Locks) == 0 {
		fmt.Fprintln(out, "\nNobody has a lock.")
		return
	}
	duration := func(seconds float64) string {
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
	}
	var rows [][]any
	for _, l := range s.Locks {
		head := []any{nameOf(l.Name, l.Object), l.Home}
		switch {
		case l.Holder != nil:
			row := append(append(head, l.Fence, "has it"), l.Holder.columns()...)
			rows = append(rows, append(row, duration(l.Holder.Seconds)))
		default:
			rows = append(rows, append(head, "", "last holder died", "", "", "", ""))
		}
		for i, w := range l.Waiters {
			if i == mostRows {
				rows = append(rows, []any{"", "", "", fmt.Sprintf("and %d more wait", len(l.Waiters)-i), "", "", "", ""})
				break
			}
			row := append([]any{"", "", "", fmt.Sprintf("waits, %d.", i+1)}, w.columns()...)
			rows = append(rows, append(row, duration(w.Seconds)))
		}
	}
	table.Print(out, "Locks", []string{"lock ", "home", "fence", "turn ", "node", "process", "program ", "for"}, rows)
}

func (s *syncsStatus) printBarriers(out io.Writer) {
	if len(s.Barriers) == 0 {
		fmt.Fprintln(out, "\nNobody has joined a barrier.")
		return
	}
	var rows, parties [][]any
	for _, b := range s.Barriers {
		name, state := nameOf(b.Name, b.Object), "waits"
		switch {
		case b.Broken:
			state = "broken"
		case b.Come == 0:
			state = "nobody has come"
		}
		rows = append(rows, []any{name, b.Home, b.Parties, len(b.Joined), b.Round, b.Come, state})
		left := mostRows
		row := func(party any, p []any, state string) {
			if left--; left >= 0 {
				parties = append(parties, append(append([]any{name, party}, p...), state))
			}
		}
		// Those that are waited for come first.
		for _, p := range b.Joined {
			if !p.Come {
				row(p.Party, p.columns(), "has not come")
			}
		}
		if n := int(b.Parties) - len(b.Joined) - len(b.Left); n > 0 {
			row(ranges.Text(b.NotJoined), []any{"", "", ""}, fmt.Sprintf("%d not joined", n))
		}
		for _, party := range b.Left {
			row(party, []any{"", "", ""}, "has come, and left")
		}
		for _, p := range b.Joined {
			if p.Come {
				row(p.Party, p.columns(), "has come")
			}
		}
		if left < 0 {
			parties = append(parties, []any{name, "", "", "", "", fmt.Sprintf("and %d more", -left)})
		}
	}
	table.Print(out, "Barriers", []string{"barrier ", "home", "parties", "joined", "round", "come", "state "}, rows)
	table.Print(out, "Parties of barriers", []string{"barrier ", "party", "node", "process", "program ", "state "}, parties)
}
