package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/show"
)

type traceShowFlags struct {
	json     *bool
	pages    []uint
	allLocks bool
	locks    []string
	barriers []string
	nodes    []uint
	clock    string
	time     string
	all      bool
	html     string
}

func traceShowCommand(asJSON *bool) *cobra.Command {
	f := traceShowFlags{json: asJSON}
	cmd := &cobra.Command{
		Use:   "show DIR [--page P | --lock NAME] [--node N] [--clock A:B] [--time A:B] [--html FILE]",
		Short: "Print a run readably, or draw it as a space-time diagram",
		Long: `Show prints the actions of a run in their causal order, one a line: the Lamport
clock, the time in milliseconds since the run began, the manager, the page, what
it did, the message that it handled (from where) or sent (to where), and its
state after that.

Locks and barriers have clocks of their own, and are shown instead of pages by
--lock, --barrier or, all of them, --locks.

With --html it writes a space-time diagram instead: one file, which any browser
shows without a network. Each manager is a line from top to bottom, each event a
point, each message an arrow. A click on a point shows the message and the state,
and leaves only what the same fault has caused.

Where a log is truncated, what comes before its end is shown; the status is 1, and
so it is when nothing matches.`,
		Example: `  momenode trace show run --page 0 | less -S
  momenode trace show run --clock 100:200 --node 2
  momenode trace show run --lock queue
  momenode trace show run --page 0,1 --time 20ms:35ms --html run.html
  momenode trace show run --json | jq -r 'select(.action == "RecvRecall") | .manager'`,
		Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.OutOrStdout(), args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.UintSliceVar(&f.pages, "page", nil, "only these `PAGES` of the global space, with commas between")
	flags.StringSliceVar(&f.locks, "lock", nil, "only the locks of these `NAMES`")
	flags.StringSliceVar(&f.barriers, "barrier", nil, "only the barriers of these `NAMES`")
	flags.BoolVar(&f.allLocks, "locks", false, "all locks and barriers, instead of pages")
	flags.UintSliceVar(&f.nodes, "node", nil, "only the managers of these `NODES`")
	flags.StringVar(&f.clock, "clock", "", "only what happened at Lamport clocks `A:B`; either may be missing")
	flags.StringVar(&f.time, "time", "", "only what happened in the time `A:B` since the run began, for instance 1.5s:2s")
	flags.BoolVar(&f.all, "all", false, "show inputs, outputs, contents, steps on frames and configurations too")
	for _, name := range []string{"page", "node"} {
		flags.Lookup(name).DefValue = "" // none is no list to show
	}
	flags.StringVar(&f.html, "html", "", "write a space-time diagram to this `FILE`")
	return cmd
}

// filter is what the flags ask for.
func (f *traceShowFlags) filter() (show.Filter, error) {
	filter := show.Filter{All: f.all, Names: make(map[uint64]string)}
	for _, asked := range []struct {
		protocol *protocol.Protocol
		names    []string
	}{{protocol.Locks, f.locks}, {protocol.Barriers, f.barriers}} {
		if f.allLocks || len(asked.names) > 0 {
			filter.Protocols = append(filter.Protocols, asked.protocol)
		}
		for _, name := range asked.names {
			filter.Names[node.Object(asked.protocol.Object, name)] = asked.protocol.Object + " " + name
		}
	}
	switch {
	case !filter.OfPages() && len(f.pages) > 0:
		return filter, badUsage("--page with --lock, --barrier or --locks: pages and locks have different clocks; show them one after the other")
	case f.allLocks && len(filter.Names) > 0:
		return filter, badUsage("--locks with --lock or --barrier: give one of them")
	}
	for _, p := range f.pages {
		if p > math.MaxUint32 {
			return filter, badUsage("--page %d: pages are 0 to %d", p, uint32(math.MaxUint32))
		}
		filter.Pages = append(filter.Pages, addr.PageNum(p))
	}
	for _, n := range f.nodes {
		if n > math.MaxUint16 {
			return filter, badUsage("--node %d: nodes are 0 to %d", n, math.MaxUint16)
		}
		filter.Nodes = append(filter.Nodes, addr.NodeID(n))
	}
	var err error
	if filter.From, filter.To, err = span("--clock", f.clock, func(text string) (uint64, error) {
		return strconv.ParseUint(text, 10, 64)
	}); err != nil {
		return filter, err
	}
	filter.Since, filter.Until, err = span("--time", f.time, time.ParseDuration)
	return filter, err
}

// span reads A:B, of which either may be missing. B is not zero.
func span[T uint64 | time.Duration](flag, text string, parse func(string) (T, error)) (from, to T, err error) {
	if text == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(text, ":")
	if a != "" && ok {
		from, err = parse(a)
	}
	if b != "" && err == nil {
		to, err = parse(b)
	}
	if err != nil || !ok || from < 0 || b != "" && (to < from || to == 0) {
		return 0, 0, badUsage("%s %s: give A:B with A not above B, A: or :B", flag, text)
	}
	return from, to, nil
}

func (f *traceShowFlags) run(out io.Writer, dir string) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	if f.html != "" && *f.json {
		return badUsage("--html writes a file, --json prints: give one of them")
	}
	run, err := trace.OpenRun(dir)
	if err != nil {
		return err
	}
	if f.html != "" {
		return f.draw(out, run, filter)
	}
	lines := bufio.NewWriter(out)
	if *f.json {
		err = showJSON(lines, run, filter)
	} else {
		var n int
		if n, err = show.Text(lines, run, filter); err == nil && n == 0 {
			err = errNothingMatches
		}
	}
	if errors.Is(err, errNothingMatches) {
		return err // and no head of a table without lines
	}
	return errors.Join(lines.Flush(), err)
}

// errNothingMatches says that a filter leaves nothing.
var errNothingMatches = errors.New("nothing matches: the run has no such event; leave out some of --page, --lock, --barrier, --locks, --node, --clock and --time")

// shownEvent is the JSON of an event, one a line.
type shownEvent struct {
	Clock        uint64          `json:"clock"`
	Milliseconds float64         `json:"ms"`
	Manager      string          `json:"manager"`
	Page         *uint32         `json:"page,omitempty"`
	Object       string          `json:"object,omitempty"` // a lock or a barrier
	Action       string          `json:"action"`
	Message      string          `json:"message,omitempty"`
	State        string          `json:"state,omitempty"`
	Post         json.RawMessage `json:"post,omitempty"`
	Log          string          `json:"log"`
}

func showJSON(out io.Writer, run *trace.Run, filter show.Filter) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	n := 0
	for e, err := range show.Events(run, filter) {
		if err != nil {
			return err
		}
		n++
		line := shownEvent{Clock: e.Lamport, Milliseconds: float64(e.Age.Microseconds()) / 1000, Manager: e.At.String(),
			Action: e.Name, Message: e.Words, State: e.State, Post: e.Post, Log: e.Where}
		switch {
		case !filter.OfPages():
			line.Object = e.Object
		case e.Kind != trace.KindConfigure:
			p := uint32(e.Page)
			line.Page = &p
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	if n == 0 {
		return errNothingMatches
	}
	return nil
}

// draw writes the diagram. One of a log that is truncated is written, and an
// error all the same.
func (f *traceShowFlags) draw(out io.Writer, run *trace.Run, filter show.Filter) error {
	d, failed := show.NewDiagram(run, filter)
	if errors.Is(failed, show.ErrTooMany) {
		return fmt.Errorf("%w, with --page, --node, --clock or --time", failed)
	}
	if failed == nil && len(d.Events) == 0 {
		return errNothingMatches
	}
	file, err := os.Create(f.html)
	if err != nil {
		return fmt.Errorf("--html: %w; name another file", err)
	}
	if err := errors.Join(d.Write(file), file.Close()); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("%w; %s shows what comes before", failed, f.html)
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", f.html, d.Facts)
	return err
}
