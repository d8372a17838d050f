package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/internal/table"
)

// statusTime bounds how long the status of a cluster may take.
const statusTime = 10 * time.Second

// answerTime is how long the node that is asked waits for each of the others.
const answerTime = 2 * time.Second

type statusFlags struct {
	socket  string
	json    bool
	hottest uint32
	perNode bool
	syncsFlags
}

func statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [--socket PATH] [--hottest K] [--per-node] [--locks] [--barriers]",
		Short: "Show what the nodes of a cluster are doing",
		Long: `Status asks the node of this machine, which asks all others. The counters count
since a node began.

"Managers" are the messages that managers have handled, by level: a request that
is served within a subtree is counted below the root, and not at the root.

With --locks and --barriers it shows these instead: who has each lock, since when
and under which fence, and who waits for it, in order; which parties of each
barrier have come, which have not, and which have not joined.

A node that is away, of which nothing was heard for long, is not asked, and shown
with the time since when. The status is 1 if a node does not answer; the others are
shown.`,
		Example: `  momenode status
  momenode status --hottest 10
  momenode status --locks --barriers
  momenode status --json | jq '.segments[] | {name, write_faults}'`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addSocketFlag(flags, &f.socket)
	flags.Uint32Var(&f.hottest, "hottest", 5, "show up to `K` pages of each segment that left their nodes most often")
	flags.BoolVar(&f.perNode, "per-node", false, "show segments, managers and links of each node too")
	f.syncsFlags.add(flags)
	flags.BoolVar(&f.json, "json", false, "print everything as JSON, per node too")
	return cmd
}

func (f *statusFlags) run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	if f.locks || f.barriers {
		return f.syncsFlags.run(ctx, socketPath(f.socket), f.json, out)
	}
	// Of each node all that it counts: what is among the hottest of the cluster need
	// not be among those of a node.
	answer, err := askCluster(ctx, socketPath(f.socket), math.MaxUint16)
	if err != nil {
		return err
	}
	s := newClusterStatus(answer)
	s.keepHottest(int(f.hottest))
	if f.json {
		err = printJSON(out, s)
	} else {
		err = s.print(out, f.perNode)
	}
	if err != nil {
		return err
	}
	for _, n := range s.Nodes {
		if n.Error != "" {
			return errors.New(n.silence())
		}
	}
	return nil
}

// askCluster asks the node that has the attach socket how all are.
func askCluster(ctx context.Context, attach string, hottest uint32) (answer *controlpb.ClusterStatus, err error) {
	err = askControl(ctx, attach, func(c controlpb.ControlClient) (err error) {
		answer, err = c.Cluster(ctx, &controlpb.ClusterRequest{Hottest: hottest})
		return err
	})
	return answer, err
}

// askControl asks the node that has the attach socket something.
func askControl(ctx context.Context, attach string, ask func(controlpb.ControlClient) error) error {
	path := node.ControlSocket(attach)
	// The dialer's first failure says more than what grpc makes of it.
	var dialer net.Dialer
	probe, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = notServing(ctx, attach, err)
		}
		return socketError(attach, err)
	}
	probe.Close()
	conn, err := grpc.NewClient("passthrough:///"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ask(controlpb.NewControlClient(conn)); err != nil {
		return fmt.Errorf("the node at %s does not answer: %s", attach, status.Convert(err).Message())
	}
	return nil
}

// notServing is what a node says that has not joined its cluster yet, and so has no
// control socket; err if there is none.
func notServing(ctx context.Context, attach string, err error) error {
	if info, e := os.Stat(attach); e != nil || info.Mode().Type() != fs.ModeSocket {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	said := make(chan string, 1)
	c, e := client.Dial(ctx, attach, client.Config{
		Hello: &attachpb.Hello{Program: "momenode status", Pid: int64(os.Getpid())},
		Guard: func(int) error { return nil },
		Event: func(event *attachpb.Reply) {
			if waiting := event.GetWaiting(); waiting != nil {
				select {
				case said <- waiting.GetWaits():
				default:
				}
				cancel()
			}
		},
	})
	if e == nil {
		c.Close()
	}
	select {
	case waits := <-said:
		return errors.New(waits)
	default:
		return err
	}
}

// socketError says why a node cannot be asked, and what to do.
func socketError(attach string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no node at %s: start one, or name its socket with --socket or MOME_SOCKET", attach)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTSOCK):
		return fmt.Errorf("nobody listens on %s: the node has ended; start it again, or name another with --socket or MOME_SOCKET", attach)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is another user's: run this as the user of the node, or as root", attach)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s is no path of a socket: it is longer than %d bytes", attach, maxSocketPath)
	}
	return fmt.Errorf("the node at %s cannot be asked: %w", attach, err)
}

// clusterStatus is the status as it is printed. Its JSON is for programs: names
// stay, numbers are numbers, and zeros are there.
type clusterStatus struct {
	Cluster   string          `json:"cluster"`
	Epoch     uint64          `json:"epoch"`
	Expected  uint32          `json:"nodes_expected"`
	Joined    int             `json:"nodes_joined"`
	Waits     string          `json:"waits"`           // for whom the node that was asked waits before it serves
	Answering int             `json:"nodes_answering"` // of those that have joined
	Fanout    uint32          `json:"fanout"`
	Transport string          `json:"transport"`
	Repair    float64         `json:"repair_seconds"`
	Residence float64         `json:"residence_seconds"`
	Nodes     []nodeStatus    `json:"nodes"`
	Segments  []segmentStatus `json:"segments"` // sums over the nodes
	Managers  []managerStatus `json:"managers"` // sums over the nodes, from the leaves up
}

type nodeStatus struct {
	Node         uint32          `json:"node"`
	Incarnation  uint32          `json:"incarnation"`
	Address      string          `json:"address"`
	Error        string          `json:"error,omitempty"`
	Away         float64         `json:"away_seconds"` // nothing was heard of it for so long
	AwaySince    *time.Time      `json:"away_since,omitempty"`
	Uptime       float64         `json:"uptime_seconds"`
	Applications []string        `json:"applications"`
	Segments     []segmentStatus `json:"segments"`
	Managers     []managerStatus `json:"managers"`
	Links        []linkStatus    `json:"links"`
	Memory       memoryStatus    `json:"memory"`
}

type segmentStatus struct {
	Name        string    `json:"name"`
	Generation  uint64    `json:"generation"`
	FirstPage   uint32    `json:"first_page"`
	Pages       uint64    `json:"pages"`
	Home        string    `json:"home"`
	Mappings    uint32    `json:"mappings"`
	ReadFaults  uint64    `json:"read_faults"`
	WriteFaults uint64    `json:"write_faults"`
	Upgrades    uint64    `json:"upgrades"`
	Recalls     uint64    `json:"recalls"`
	Downgrades  uint64    `json:"downgrades"`
	PagesIn     uint64    `json:"pages_in"`
	PagesOut    uint64    `json:"pages_out"`
	BytesIn     uint64    `json:"bytes_in"`
	BytesOut    uint64    `json:"bytes_out"`
	Prefetched  uint64    `json:"prefetched"`
	Hottest     []hotPage `json:"hottest"`
}

type hotPage struct {
	Page    uint32 `json:"page"`
	Address uint64 `json:"address"`
	Recalls uint64 `json:"recalls"`
}

type managerStatus struct {
	Level    string `json:"level"`
	Requests uint64 `json:"requests"`
	Grants   uint64 `json:"grants"`
	Recalls  uint64 `json:"recalls"`
	Acks     uint64 `json:"acks"`
	Data     uint64 `json:"data"`
}

type linkStatus struct {
	Peer        uint32  `json:"peer"`
	MessagesIn  uint64  `json:"messages_in"`
	MessagesOut uint64  `json:"messages_out"`
	BytesIn     uint64  `json:"bytes_in"`
	BytesOut    uint64  `json:"bytes_out"`
	Connections uint64  `json:"connections"`
	Retained    uint64  `json:"retained_bytes"`
	Away        float64 `json:"away_seconds"`
}

type memoryStatus struct {
	Held    uint64  `json:"held_pages"`
	Managed uint64  `json:"managed_pages"`
	Heap    uint64  `json:"heap_bytes"`
	Pages   uint64  `json:"page_bytes"`
	Limit   uint64  `json:"limit_bytes"`              // of page_bytes; 0: none
	Charged uint64  `json:"charged_bytes"`            // of the limit: page_bytes, and pages that were asked for
	Waiting uint64  `json:"waiting"`                  // accesses and requests that wait for room
	PerHeld float64 `json:"heap_bytes_per_held_page"` // zero if none is held
}

func newClusterStatus(c *controlpb.ClusterStatus) *clusterStatus {
	s := &clusterStatus{Cluster: c.Cluster, Epoch: c.Epoch, Expected: c.Expected, Joined: len(c.Nodes), Waits: c.Waits, Fanout: c.Fanout,
		Transport: c.Transport, Repair: c.RepairSeconds, Residence: c.ResidenceSeconds, Nodes: []nodeStatus{}, Segments: []segmentStatus{}, Managers: []managerStatus{}}
	for _, n := range c.Nodes {
		one := newNodeStatus(n)
		s.Nodes = append(s.Nodes, one)
		if one.Error == "" {
			s.Answering++
		}
		for _, seg := range one.Segments {
			i := slices.IndexFunc(s.Segments, func(t segmentStatus) bool { return t.Generation == seg.Generation })
			if i < 0 {
				seg.Hottest = slices.Clone(seg.Hottest)
				s.Segments = append(s.Segments, seg)
			} else {
				s.Segments[i].add(seg)
			}
		}
		for _, m := range one.Managers {
			i := slices.IndexFunc(s.Managers, func(t managerStatus) bool { return t.Level == m.Level })
			if i < 0 {
				s.Managers = append(s.Managers, m)
			} else {
				s.Managers[i].add(m)
			}
		}
	}
	slices.SortFunc(s.Segments, func(a, b segmentStatus) int { return cmp.Compare(a.FirstPage, b.FirstPage) })
	slices.SortStableFunc(s.Managers, func(a, b managerStatus) int { return cmp.Compare(height(a.Level), height(b.Level)) })
	for i := range s.Segments {
		hot := s.Segments[i].Hottest
		slices.SortFunc(hot, func(a, b hotPage) int { return cmp.Or(cmp.Compare(b.Recalls, a.Recalls), cmp.Compare(a.Page, b.Page)) })
	}
	return s
}

// duration is a number of seconds as the flags take it.
func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

// silence says why there is nothing of a node but its address.
func (n *nodeStatus) silence() string { return silence(n.Node, n.Address, n.Error) }

func silence(node uint32, address, err string) string {
	if strings.Contains(err, codes.DeadlineExceeded.String()) {
		return fmt.Sprintf("node %d at %s does not answer within %v", node, address, answerTime)
	}
	_, words, ok := strings.Cut(err, " desc = ") // of an error of gRPC
	if !ok {
		words = err
	}
	return fmt.Sprintf("node %d at %s does not answer: %s", node, address, words)
}

// keepHottest leaves the first k of the hottest pages of each segment.
func (s *clusterStatus) keepHottest(k int) {
	keep := func(segments []segmentStatus) {
		for i := range segments {
			hot := &segments[i].Hottest
			*hot = (*hot)[:min(k, len(*hot))]
		}
	}
	keep(s.Segments)
	for i := range s.Nodes {
		keep(s.Nodes[i].Segments)
	}
}

// height orders the levels of managers from the leaves up.
func height(level string) int {
	switch level {
	case "leaf":
		return 0
	case "root":
		return 1 << 20
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(level, "intermediate "))
	return n
}

func newNodeStatus(n *controlpb.NodeStatus) nodeStatus {
	one := nodeStatus{Node: n.Node, Incarnation: n.Incarnation, Address: n.Address, Error: n.Error, Away: n.AwaySeconds, Uptime: n.UptimeSeconds,
		Applications: append([]string{}, n.Applications...), Segments: []segmentStatus{}, Managers: []managerStatus{}, Links: []linkStatus{}}
	if n.AwaySeconds > 0 {
		since := time.Now().Add(-duration(n.AwaySeconds))
		one.AwaySince = &since
	}
	for _, g := range n.Segments {
		seg := segmentStatus{Name: g.Name, Generation: g.Generation, FirstPage: g.FirstPage, Pages: g.Pages, Home: g.Home,
			Mappings: g.Mappings, ReadFaults: g.ReadFaults, WriteFaults: g.WriteFaults, Upgrades: g.Upgrades, Recalls: g.Recalls,
			Downgrades: g.Downgrades, PagesIn: g.PagesIn, PagesOut: g.PagesOut, BytesIn: g.BytesIn, BytesOut: g.BytesOut,
			Prefetched: g.Prefetched, Hottest: []hotPage{}}
		for _, h := range g.Hottest {
			seg.Hottest = append(seg.Hottest, hotPage{h.Page, h.Address, h.Recalls})
		}
		one.Segments = append(one.Segments, seg)
	}
	for _, m := range n.Managers {
		one.Managers = append(one.Managers, managerStatus{m.Level, m.Requests, m.Grants, m.Recalls, m.Acks, m.Data})
	}
	for _, l := range n.Links {
		one.Links = append(one.Links, linkStatus{l.Peer, l.MessagesIn, l.MessagesOut, l.BytesIn, l.BytesOut, l.Connections, l.RetainedBytes, l.AwaySeconds})
	}
	if m := n.Memory; m != nil {
		one.Memory = memoryStatus{Held: m.HeldPages, Managed: m.ManagedPages, Heap: m.HeapBytes,
			Pages: m.PageBytes, Limit: m.LimitBytes, Charged: m.ChargedBytes, Waiting: m.Waiting}
		if m.HeldPages > 0 {
			one.Memory.PerHeld = float64(m.HeapBytes) / float64(m.HeldPages)
		}
	}
	return one
}

// add adds what another node has of the same segment.
func (s *segmentStatus) add(o segmentStatus) {
	s.Mappings += o.Mappings
	s.ReadFaults += o.ReadFaults
	s.WriteFaults += o.WriteFaults
	s.Upgrades += o.Upgrades
	s.Recalls += o.Recalls
	s.Downgrades += o.Downgrades
	s.PagesIn += o.PagesIn
	s.PagesOut += o.PagesOut
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.Prefetched += o.Prefetched
	for _, h := range o.Hottest {
		if i := slices.IndexFunc(s.Hottest, func(t hotPage) bool { return t.Page == h.Page }); i >= 0 {
			s.Hottest[i].Recalls += h.Recalls
		} else {
			s.Hottest = append(s.Hottest, h)
		}
	}
}

func (m *managerStatus) add(o managerStatus) {
	m.Requests += o.Requests
	m.Grants += o.Grants
	m.Recalls += o.Recalls
	m.Acks += o.Acks
	m.Data += o.Data
}

func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// pageMemory is how much memory pages have, and may have, and how many accesses
// wait for some.
func pageMemory(m memoryStatus) string {
	text := humanize.IBytes(m.Pages)
	if m.Limit > 0 {
		text += " of " + humanize.IBytes(m.Limit)
	}
	if m.Waiting > 0 {
		text += ", " + count(m.Waiting) + " waiting"
	}
	return text
}

// count is a number with commas.
func count(n uint64) string { return humanize.BigComma(new(big.Int).SetUint64(n)) }

func (s *clusterStatus) print(w io.Writer, perNode bool) error {
	out := &errorWriter{w: w}
	answering := ""
	if s.Answering < s.Joined {
		answering = fmt.Sprintf(", of them %d answer", s.Answering)
	}
	fmt.Fprintf(out, "Cluster %s: %d of %s%s, fan-out %d, transport %s, epoch %d, repair %v, residence %v\n",
		s.Cluster, s.Joined, plural(int(s.Expected), "node"), answering, s.Fanout, s.Transport, s.Epoch, duration(s.Repair), duration(s.Residence))
	if s.Waits != "" {
		fmt.Fprintln(out, s.Waits)
	}

	var rows [][]any
	for _, n := range s.Nodes {
		if n.Error != "" {
			since := ""
			if n.AwaySince != nil {
				since = "away since " + n.AwaySince.Format(time.TimeOnly)
			}
			rows = append(rows, []any{n.Node, n.Address, since, "", "", "", "", "", ""})
			continue
		}
		per := ""
		if n.Memory.Held > 0 {
			per = humanize.IBytes(uint64(n.Memory.PerHeld))
		}
		rows = append(rows, []any{n.Node, n.Address, (time.Duration(n.Uptime) * time.Second).String(),
			pageMemory(n.Memory), count(n.Memory.Held), count(n.Memory.Managed), humanize.IBytes(n.Memory.Heap), per, strings.Join(n.Applications, ", ")})
	}
	table.Print(out, "Nodes", []string{"node", "address ", "up", "memory", "pages held", "managed", "live heap", "per held page", "applications "}, rows)
	for _, n := range s.Nodes {
		if n.Error != "" {
			fmt.Fprintln(out, n.silence())
		}
	}

	printSegments(out, fmt.Sprintf("Segments, sums over %s", plural(s.Joined, "node")), s.Segments)
	rows = nil
	for _, g := range s.Segments {
		for _, h := range g.Hottest {
			rows = append(rows, []any{g.Name, h.Page, fmt.Sprintf("%#x", h.Address), count(h.Recalls)})
		}
	}
	if len(rows) > 0 {
		table.Print(out, "Hottest pages, by how often they left a node (about)", []string{"segment ", "page", "address ", "recalls"}, rows)
	}
	printManagers(out, fmt.Sprintf("Managers, messages handled, sums over %s", plural(s.Joined, "node")), s.Managers)

	rows = nil
	for _, n := range s.Nodes {
		var t linkStatus
		var repairs uint64
		for _, l := range n.Links {
			t.MessagesIn += l.MessagesIn
			t.MessagesOut += l.MessagesOut
			t.BytesIn += l.BytesIn
			t.BytesOut += l.BytesOut
			t.Retained += l.Retained
			repairs += max(l.Connections, 1) - 1
		}
		if len(n.Links) > 0 {
			rows = append(rows, []any{n.Node, len(n.Links), count(t.MessagesIn), count(t.MessagesOut),
				humanize.IBytes(t.BytesIn), humanize.IBytes(t.BytesOut), count(repairs), humanize.IBytes(t.Retained)})
		}
	}
	if len(rows) > 0 {
		table.Print(out, "Links", []string{"node", "links", "messages in", "out", "bytes in", "out", "repairs", "retained"}, rows)
	}
	if perNode {
		for _, n := range s.Nodes {
			if n.Error != "" {
				continue
			}
			printSegments(out, fmt.Sprintf("Node %d: segments", n.Node), n.Segments)
			printManagers(out, fmt.Sprintf("Node %d: managers", n.Node), n.Managers)
			rows = nil
			for _, l := range n.Links {
				rows = append(rows, []any{l.Peer, count(l.MessagesIn), count(l.MessagesOut), humanize.IBytes(l.BytesIn),
					humanize.IBytes(l.BytesOut), count(max(l.Connections, 1) - 1), humanize.IBytes(l.Retained)})
			}
			if len(rows) > 0 {
				table.Print(out, fmt.Sprintf("Node %d: links", n.Node), []string{"peer", "messages in", "out", "bytes in", "out", "repairs", "retained"}, rows)
			}
		}
	}
	return out.err
}

func printSegments(out io.Writer, title string, list []segmentStatus) {
	if len(list) == 0 {
		return
	}
	var rows [][]any
	for _, g := range list {
		rows = append(rows, []any{g.Name, sizeText(g.Pages << addr.PageShift), g.Home, g.Mappings, count(g.ReadFaults), count(g.WriteFaults),
			count(g.Upgrades), count(g.Recalls), count(g.Downgrades), count(g.PagesIn), count(g.PagesOut),
			humanize.IBytes(g.BytesIn), humanize.IBytes(g.BytesOut), count(g.Prefetched)})
	}
	table.Print(out, title, []string{"segment ", "size", "home ", "mapped", "read faults", "write faults", "upgrades", "recalls",
		"downgrades", "pages in", "out", "bytes in", "out", "prefetched"}, rows)
}

func printManagers(out io.Writer, title string, list []managerStatus) {
	if len(list) == 0 {
		return
	}
	var rows [][]any
	for _, m := range list {
		rows = append(rows, []any{m.Level, count(m.Requests), count(m.Grants), count(m.Recalls), count(m.Acks), count(m.Data)})
	}
	table.Print(out, title, []string{"level ", "requests", "grants", "recalls", "acks", "data"}, rows)
}

// errorWriter keeps the first error, so that prints need not be checked each.
type errorWriter struct {
	w   io.Writer
	err error
}

func (e *errorWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return len(p), nil
	}
	_, e.err = e.w.Write(p)
	return len(p), nil
}
