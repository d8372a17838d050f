package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/internal/limits"
	"github.com/mome-dsm/mome/internal/table"
)

// The descriptors of a node: one for each segment that programs of this node have
// used, one for each mapping of a program, four for each program, and its own: those
// of the store, the log, and two for each other node.
const (
	wantFiles = 4096 // on a machine with much to do
	ownFiles  = 100
)

// diagnosis is what doctor has found out.
type diagnosis struct {
	Kernel string    `json:"kernel"`
	OK     bool      `json:"ok"` // nothing that is required is missing
	Checks []finding `json:"checks"`
}

// finding is one thing that was looked at.
type finding struct {
	memory.Check
	Required bool   `json:"required"`
	For      string `json:"for,omitempty"` // what an optional thing is good for
	Found    string `json:"found,omitempty"`
}

func doctorCommand() *cobra.Command {
	var asJSON bool
	var dir string
	cmd := &cobra.Command{
		Use:   "doctor [--dir DIR] [--json]",
		Short: "Say what this machine lacks, and what mends it",
		Long: `Doctor looks at what a node and its programs need of this machine: the kernel's
features, the address space, limits, disk space, ports; and at what only the development of
Mome needs. The status is 1 if something is missing that a node needs.`,
		Example: `  momenode doctor
  momenode doctor --json | jq '.checks[] | select(.ok | not)'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := diagnose(dir)
			var err error
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), d)
			} else {
				err = d.print(cmd.OutOrStdout())
			}
			if err == nil && !d.OK {
				err = d.err()
			}
			return err
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&dir, "dir", "", "look for disk space in the `DIR` that start --dir or cluster --dir will have (default: where temporary ones are)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// diagnose looks at this machine.
func diagnose(dir string) *diagnosis {
	report := memory.Probe()
	d := &diagnosis{Kernel: report.Kernel}
	for _, c := range report.Checks {
		d.Checks = append(d.Checks, finding{Check: c, Required: true})
	}
	d.add(checkSpace())
	d.add(checkFiles())
	d.add(checkDisk(dir))
	d.add(checkThreads())
	d.add(checkPort())
	d.add(checkSocketDirectory())
	d.add(checkTool("network namespaces", "ip", "tests with several hosts on one machine", "apt-get install iproute2"))
	d.add(checkNamespaces())
	d.add(checkTool("Java", "java", "checking the specifications", "apt-get install default-jre-headless"))
	d.add(checkTool("Maven", "mvn", "checking the specifications: it brings TLC", "apt-get install maven"))
	d.OK = true
	for _, f := range d.Checks {
		d.OK = d.OK && (f.OK || !f.Required)
	}
	return d
}

func (d *diagnosis) add(f finding) {
	f.OK = f.Why == ""
	if f.OK {
		f.Remedy = ""
	}
	d.Checks = append(d.Checks, f)
}

// checkSpace looks whether programs can map the global space where it belongs.
func checkSpace() finding {
	f := finding{Required: true}
	f.Name = "address space"
	f.Remedy = "lift the limit on address space: ulimit -v unlimited (and run a kernel with 47-bit addresses)"
	start := addr.DefaultBase.Addr(0)
	f.Found = fmt.Sprintf("%s at %#x", humanize.IBytes(uint64(addr.Space)), start)
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		f.Why = "this is " + runtime.GOARCH
		f.Remedy = "run on amd64 or arm64"
		return f
	}
	if err := reserve(start, uintptr(addr.Space)); err != nil {
		f.Why = fmt.Sprintf("%s at %#x cannot be mapped: %v", humanize.IBytes(uint64(addr.Space)), start, err)
	}
	return f
}

func checkFiles() finding {
	f := finding{For: "many segments, programs and nodes"}
	f.Name = "open files"
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		f.Why = err.Error()
		return f
	}
	most := min(limit.Max, 1<<30)
	f.Found = fmt.Sprintf("%d, at most %d: room for %d segments that a program maps, or for %d programs that map one", limit.Cur, limit.Max,
		(most-min(most, ownFiles))/2, (most-min(most, ownFiles))/5)
	// Go raises the soft limit to the hard one.
	if limit.Max < wantFiles {
		f.Why = fmt.Sprintf("%d may be open, and a large node needs %d", limit.Max, wantFiles)
		f.Remedy = fmt.Sprintf("ulimit -Hn %d, or LimitNOFILE=%[1]d in the unit", wantFiles)
	}
	const least = 64
	f.Required = limit.Max < least
	return f
}

// checkDisk looks for the space that the configuration store of a founding node
// needs, in the directory that --dir names or where temporary ones are.
func checkDisk(dir string) finding {
	f := finding{Required: true}
	f.Name = "disk space"
	f.Remedy = "delete files there, or let --dir or TMPDIR name a directory on another file system"
	if dir == "" {
		dir = os.TempDir()
	}
	if free, err := coord.FreeSpace(dir); err == nil {
		f.Found = fmt.Sprintf("%s free in %s; the store of a founding node needs %s", humanize.IBytes(free), dir, humanize.IBytes(coord.SpaceToBegin))
	}
	if err := coord.CheckSpace(dir); err != nil {
		f.Why = strings.TrimSuffix(oneLine(err), ": delete files there") // the remedy says it
	}
	return f
}

// checkThreads looks whether programs find a thread that serves them.
func checkThreads() finding {
	f := finding{For: "many programs and mappings, which have a thread of the node each"}
	f.Name = "threads"
	room := limits.Threads()
	f.Found = fmt.Sprintf("room for %d more (%s): as many programs and mappings, up to %d for a node", room.Threads, room.Limit, node.MaxServed)
	if room.Threads < wantThreads {
		f.Why = fmt.Sprintf("there is room for %d more (%s), and a node with some programs needs %d", room.Threads, room.Limit, wantThreads)
		f.Remedy = room.Remedy
	}
	f.Required = room.Threads < leastThreads
	return f
}

const (
	wantThreads  = 256
	leastThreads = 48 // a node serves its first program
)

func checkPort() finding {
	f := finding{Required: true}
	f.Name = "ports"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Why = err.Error()
		f.Remedy = "ip link set lo up"
		return f
	}
	f.Found = "loopback listens"
	l.Close()
	return f
}

func checkSocketDirectory() finding {
	f := finding{For: "the default socket"}
	f.Name = "socket directory"
	f.Found = mome.DefaultSocket
	dir := "/run"
	if _, err := os.Stat("/run/mome"); err == nil {
		dir = "/run/mome"
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		f.Why = fmt.Sprintf("%s cannot be written to: %v", dir, err)
		f.Remedy = "sudo install -d -m 0700 -o $USER /run/mome, or start with --socket"
	}
	return f
}

func checkTool(name, tool, purpose, remedy string) finding {
	f := finding{For: purpose}
	f.Name, f.Remedy = name, remedy
	path, err := exec.LookPath(tool)
	if err != nil {
		f.Why = tool + " is not there"
	}
	f.Found = path
	return f
}

func checkNamespaces() finding {
	f := finding{For: "tests with several hosts on one machine"}
	f.Name = "CAP_NET_ADMIN and CAP_SYS_ADMIN"
	f.Remedy = "run those tests as root"
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		f.Why = err.Error()
		return f
	}
	for _, c := range [...]struct {
		bit  uint
		name string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			f.Why = "this process has no " + c.name
			return f
		}
	}
	f.Found = "effective"
	return f
}

// err names the first required thing that is missing.
func (d *diagnosis) err() error {
	for _, f := range d.Checks {
		if f.Required && !f.OK {
			return fmt.Errorf("a node cannot run here: %s: %s; %s", f.Name, f.Why, f.Remedy)
		}
	}
	return nil
}

func (d *diagnosis) print(w io.Writer) error {
	out := &errorWriter{w: w}
	fmt.Fprintf(out, "Linux %s\n\n", d.Kernel)
	var rows [][]any
	for _, f := range d.Checks {
		state, what := "ok", f.Found
		if !f.OK {
			state, what = "missing", f.Why
			if !f.Required {
				state = "optional"
			}
		} else if what == "" && f.Since != "" {
			what = "since Linux " + f.Since
		}
		rows = append(rows, []any{state, f.Name, what})
	}
	table.Print(out, "", []string{"state ", "what ", "found "}, rows)
	mended := false
	for _, f := range d.Checks {
		if f.OK {
			continue
		}
		if !mended {
			fmt.Fprintln(out)
			mended = true
		}
		purpose := "required"
		if !f.Required {
			purpose = "optional: for " + f.For
		}
		fmt.Fprintf(out, "%s (%s)\n    %s\n", f.Name, purpose, f.Remedy)
	}
	return out.err
}
