package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/internal/table"
)

// segmentTime bounds how long a segment command may take.
const segmentTime = 15 * time.Second

type segmentFlags struct {
	socket string
	json   bool
	home   string
}

// segmentInfo is a segment as it is printed.
type segmentInfo struct {
	Name       string `json:"name"`
	Size       uint64 `json:"size"` // bytes
	Pages      uint64 `json:"pages"`
	FirstPage  uint32 `json:"first_page"`
	Address    uint64 `json:"address"` // in every process
	Generation uint64 `json:"generation"`
	Home       string `json:"home"`
}

func segmentCommand() *cobra.Command {
	var f segmentFlags
	cmd := &cobra.Command{
		Use:   "segment",
		Short: "List, create and remove segments",
		Long: `Segments are the named ranges of the shared memory. Programs create their own;
these commands are for the operator.`,
		Example: `  momenode segment list
  momenode segment create heap 64GiB --home block
  momenode segment remove heap`,
	}
	flags := cmd.PersistentFlags()
	addSocketFlag(flags, &f.socket)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	list := &cobra.Command{
		Use:     "list",
		Short:   "List the segments of the cluster by name",
		Example: "  momenode segment list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.with(cmd, f.list) },
	}
	create := &cobra.Command{
		Use:   "create NAME SIZE [--home spread|block]",
		Short: "Create a segment, which is zero to begin with",
		Long: `Create makes a segment of SIZE bytes, in whole pages of 4 KiB: 4096, 64MiB, 16TiB
(the whole space), 1.5GiB; MB, GB and TB are powers of ten. A page costs nothing
until it is used.`,
		Example: `  momenode segment create table 64MiB
  momenode segment create matrix 16TiB --home block`,
		Args: exactly("NAME", "SIZE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.create(args[0], args[1])
			if err != nil {
				return err
			}
			return f.with(cmd, func(ctx context.Context, c *client.Client, out io.Writer) error {
				reply, _, err := c.Call(ctx, req)
				if err != nil {
					return segmentError(err, args[0])
				}
				return f.print(out, []segmentInfo{newSegmentInfo(base(c), reply.GetSegment())}, true)
			})
		},
	}
	create.Flags().StringVar(&f.home, "home", "spread", "where pages have their homes, `POLICY` spread or block; spread deals them out to the nodes, block gives each node one run of pages")
	remove := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a segment and what is in it",
		Long: `Remove takes a segment away, whoever has it mapped: programs that touch it from
then on get SIGBUS.`,
		Example: "  momenode segment remove table",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName(args[0]); err != nil {
				return err
			}
			return f.with(cmd, func(ctx context.Context, c *client.Client, out io.Writer) error {
				_, _, err := c.Call(ctx, &attachpb.Request{Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: args[0]}}})
				if err != nil {
					return segmentError(err, args[0])
				}
				if f.json {
					return printJSON(out, map[string]string{"removed": args[0]})
				}
				_, err = fmt.Fprintf(out, "segment %s is removed\n", args[0])
				return err
			})
		},
	}
	cmd.AddCommand(list, create, remove)
	return cmd
}

// exactly wants the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// with attaches to the node for the time of one command.
func (f *segmentFlags) with(cmd *cobra.Command, do func(context.Context, *client.Client, io.Writer) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), segmentTime)
	defer cancel()
	socket := socketPath(f.socket)
	if _, err := os.Stat(socket); err != nil {
		return socketError(socket, err)
	}
	notice := client.NewNotice(time.Second, func(waits string) { fmt.Fprintln(cmd.ErrOrStderr(), "momenode: waiting:", waits) })
	notice.Waits(client.NoAnswer(socket))
	c, err := client.Dial(ctx, socket, client.Config{
		Hello: &attachpb.Hello{Program: "momenode segment", Pid: int64(os.Getpid())},
		// This process maps nothing: it can outlive its node.
		Guard: func(int) error { return nil },
		Event: notice.Event,
	})
	notice.Stop()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c, cmd.OutOrStdout())
}

// create checks what the node would, where the command line knows the words.
func (f *segmentFlags) create(name, size string) (*attachpb.Request, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	bytes, err := parseSize(size)
	if err != nil {
		return nil, err
	}
	attrs := &attachpb.Attributes{}
	switch f.home {
	case "spread":
		attrs.Home = attachpb.Home_HOME_SPREAD
	case "block":
		attrs.Home = attachpb.Home_HOME_BLOCK
	default:
		return nil, badUsage("--home %q: it is spread or block", f.home)
	}
	return &attachpb.Request{Body: &attachpb.Request_Create{Create: &attachpb.Create{Name: name, Size: bytes, Attributes: attrs}}}, nil
}

var segmentName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}$`)

// checkName wants a name that a segment can have.
func checkName(name string) error {
	if !segmentName.MatchString(name) {
		return badUsage("segment name %s: give up to 128 letters, digits and . _ @ -, beginning with a letter, a digit or _", client.Quote(name))
	}
	return nil
}

// parseSize reads a size of a segment, such as 64MiB.
func parseSize(text string) (uint64, error) {
	big, err := humanize.ParseBigBytes(text)
	switch {
	case err != nil:
		return 0, badUsage("size %q is not a number of bytes; write 4096, 64MiB or 16TiB", text)
	case big.Sign() <= 0:
		return 0, badUsage("size %s: a segment has at least 1 byte", text)
	case big.Cmp(spaceSize) > 0:
		return 0, badUsage("size %s: the whole space has %s (2^32 pages)", text, humanize.IBytes(uint64(addr.Space)))
	}
	return big.Uint64(), nil
}

var spaceSize = big.NewInt(addr.Space)

// segmentError says what to do where the node's words do not.
func segmentError(err error, name string) error {
	var failed *client.Error
	switch {
	case errors.Is(err, client.ErrInternal) && errors.As(err, &failed) && failed.Message != "":
		// The node is well: it could not do this one thing.
		return errors.New(failed.Message)
	case errors.Is(err, client.ErrExists):
		return fmt.Errorf("segment %q exists already; remove it first, or take another name", name)
	case errors.Is(err, client.ErrNotFound):
		return fmt.Errorf("segment %q does not exist; \"momenode segment list\" shows those that do", name)
	}
	return err
}

// base is where programs have page 0.
func base(c *client.Client) addr.Base { return addr.Base(c.Welcome().Base) }

func newSegmentInfo(base addr.Base, s *attachpb.Segment) segmentInfo {
	a := s.GetAttributes()
	return segmentInfo{
		Name: s.GetRef().GetName(), Size: s.GetSize(), Pages: s.GetPages(), FirstPage: s.GetFirstPage(),
		Address: uint64(base.Addr(addr.PageNum(s.GetFirstPage()))), Generation: s.GetRef().GetGeneration(),
		Home: enumName(a.GetHome().String(), "HOME_"),
	}
}

// sizeText is a size to a tenth of its unit, never rounded up to the next whole
// one: 16 TiB is the whole space.
func sizeText(bytes uint64) string {
	text := humanize.IBytes(bytes)
	if bytes < 10<<10 {
		return text
	}
	unit, name := uint64(1)<<10, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if bytes>>10 < unit {
			break
		}
		unit, name = unit<<10, next
	}
	if whole := bytes / unit; bytes%unit != 0 {
		return fmt.Sprintf("%d.%d %s", whole, min(9, (bytes%unit*20/unit+1)/2), name)
	}
	return text
}

// enumName is the name of a value as people write it.
func enumName(name, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
}

func (f *segmentFlags) list(ctx context.Context, c *client.Client, out io.Writer) error {
	all := []segmentInfo{}
	after := ""
	for {
		reply, _, err := c.Call(ctx, &attachpb.Request{Body: &attachpb.Request_List{List: &attachpb.List{After: after}}})
		if err != nil {
			return err
		}
		part := reply.GetSegments()
		for _, s := range part.GetSegments() {
			after = s.GetRef().GetName()
			all = append(all, newSegmentInfo(base(c), s))
		}
		if !part.GetMore() || len(part.GetSegments()) == 0 {
			return f.print(out, all, false)
		}
	}
}

func (f *segmentFlags) print(w io.Writer, list []segmentInfo, one bool) error {
	switch {
	case f.json && one:
		return printJSON(w, list[0])
	case f.json:
		return printJSON(w, list)
	case len(list) == 0:
		_, err := fmt.Fprintln(w, "there are no segments")
		return err
	}
	out := &errorWriter{w: w}
	var rows [][]any
	for _, s := range list {
		rows = append(rows, []any{s.Name, sizeText(s.Size), count(s.Pages), fmt.Sprintf("%#x", s.Address), s.Generation, s.Home})
	}
	table.Print(out, "", []string{"segment ", "size", "pages", "address ", "generation", "home "}, rows)
	return out.err
}
