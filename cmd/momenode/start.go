package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// maxSocketPath is the longest path that the kernel binds a socket to.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// socketPath is the socket that a command means: the flag's, that of the
// environment, or the default.
func socketPath(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv(mome.EnvSocket); env != "" {
		return env
	}
	return mome.DefaultSocket
}

func addSocketFlag(flags *pflag.FlagSet, socket *string) {
	flags.StringVar(socket, "socket", "", "`PATH` of the node's socket (default $MOME_SOCKET, or "+mome.DefaultSocket+")")
}

// founding are the flags that the node which founds a cluster decides for all.
// Those of foundingNames are given to it alone. The two times may be given to the
// others too, who are refused if they differ.
type founding struct {
	fanout, slots   int
	transport, base string
	residence       time.Duration
	repair          time.Duration
}

var foundingNames = []string{"nodes", "fanout", "slots", "transport", "base"}

func (f *founding) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.fanout, "fanout", 0, fmt.Sprintf("most children of one manager, `N` from 2 to %d (default %[1]d)", protocol.MaxFanout))
	flags.IntVar(&f.slots, "slots", 0, "cut the pages in `N` shares, each of which has a home node (default 1024, or one per node if there are more)")
	flags.StringVar(&f.transport, "transport", "", "what the links run on, `TRANSPORT` tcp or grpc (default "+wire.TCP+")")
	flags.StringVar(&f.base, "base", "", fmt.Sprintf("the `ADDRESS` at which every program maps the shared memory; %v leaves room for %s, and suits programs built with -fsanitize=thread or memory as well (default %v: %s)",
		addr.NarrowBase, humanize.IBytes(spaceFrom(addr.NarrowBase)), addr.DefaultBase, humanize.IBytes(spaceFrom(addr.DefaultBase))))
	flags.DurationVar(&f.residence, "residence", node.DefaultResidence, "the `DURATION` that a page stays at least with the node that was granted it, up to 1s, the same at all nodes; 0: not at all")
	flags.DurationVar(&f.repair, "repair", node.DefaultRepair, "the `DURATION` that nothing may be heard of a node before it is given up, 100ms or more, the same at all nodes; they survive outages of five sixths of it")
}

// spaceFrom is how many bytes of segments there are from a base on.
func spaceFrom(b addr.Base) uint64 { return uint64(b.Pages()) << addr.PageShift }

// baseAddress is that of --base; zero where it is not given.
func (f *founding) baseAddress() (addr.Base, error) {
	if f.base == "" {
		return 0, nil
	}
	address, err := strconv.ParseUint(f.base, 0, 64)
	if err != nil {
		return 0, badUsage("--base %q is not an address; write it like %v", f.base, addr.NarrowBase)
	}
	if err := addr.Base(address).Check(); err != nil {
		return 0, badUsage("--%w", err)
	}
	return addr.Base(address), nil
}

func (f *founding) check(flags *pflag.FlagSet, nodes int) error {
	switch {
	case nodes < 1 || nodes > coord.MaxNodes:
		return badUsage("--nodes %d: a cluster has 1 to %d nodes", nodes, coord.MaxNodes)
	case flags.Changed("fanout") && (f.fanout < 2 || f.fanout > protocol.MaxFanout):
		return badUsage("--fanout %d: a manager has 2 to %d children", f.fanout, protocol.MaxFanout)
	case flags.Changed("slots") && (f.slots < 1 || f.slots > coord.MaxSlots):
		return badUsage("--slots %d: the pages have 1 to %d shares", f.slots, coord.MaxSlots)
	case flags.Changed("transport") && f.transport != wire.TCP && f.transport != wire.GRPC:
		return badUsage("--transport %q: it is %q or %q", f.transport, wire.TCP, wire.GRPC)
	case f.residence < 0 || f.residence > mostResidence:
		return badUsage("--residence %v: a page stays 0 to %v: whoever else wants it waits so long", f.residence, mostResidence)
	case f.repair < leastRepair:
		return badUsage("--repair %v: a link is repaired in %v or more", f.repair, leastRepair)
	}
	_, err := f.baseAddress()
	return err
}

// tuning are the flags that each node may have differently.
type tuning struct {
	memory      string
	roomWait    time.Duration
	noReadAhead bool
	trace       string
	logLevel    string
}

func (t *tuning) add(flags *pflag.FlagSet) {
	flags.StringVar(&t.memory, "memory", "", "`SIZE` of the memory for pages, such as 8GiB, which a node never exceeds: it gives pages up, and accesses wait where no node has room (default: no limit)")
	flags.DurationVar(&t.roomWait, "room-wait", node.DefaultRoomWait, "the `DURATION` for which no node has had room under --memory, after which requests that wait for it (Prefault, WriteBack, Drop) fail")
	flags.BoolVar(&t.noReadAhead, "no-read-ahead", false, "fetch no page that nobody has asked for")
	flags.StringVar(&t.trace, "trace", "", "record every step of the protocol below this directory, `DIR`")
	flags.StringVar(&t.logLevel, "log-level", "info", "the least `LEVEL` that is logged: debug, info, warn or error")
}

func (t *tuning) level() (level slog.Level, err error) {
	switch t.logLevel {
	case "debug", "info", "warn", "error":
		return level, level.UnmarshalText([]byte(t.logLevel))
	}
	return level, badUsage("--log-level %q: it is debug, info, warn or error", t.logLevel)
}

func (t *tuning) check() error {
	if t.roomWait <= 0 {
		return badUsage("--room-wait %v: it is more than 0", t.roomWait)
	}
	if _, err := t.limit(); err != nil {
		return err
	}
	_, err := t.level()
	return err
}

// limit is the bytes of --memory.
func (t *tuning) limit() (int64, error) {
	if t.memory == "" {
		return 0, nil
	}
	size, err := humanize.ParseBigBytes(t.memory)
	switch {
	case err != nil:
		return 0, badUsage("--memory %q is not a number of bytes; write 512MiB or 8GiB", t.memory)
	case size.Cmp(big.NewInt(leastMemory)) < 0 || size.Cmp(spaceSize) > 0:
		return 0, badUsage("--memory %s: a node has %s to %s", t.memory, humanize.IBytes(leastMemory), humanize.IBytes(uint64(addr.Space)))
	}
	if err := node.CheckMemory(size.Int64()); err != nil {
		return 0, badUsage("--memory %s: %w", t.memory, err)
	}
	return size.Int64(), nil
}

// mostResidence is more than what any pattern of sharing is served by: each
// exchange of a page takes so long.
const mostResidence = time.Second

// leastRepair is a time in which busy machines on one network make a connection.
const leastRepair = 100 * time.Millisecond

// leastMemory is less than which no program gets on with.
const leastMemory = 1 << 20

type startFlags struct {
	founding
	tuning
	nodes             int
	listen, advertise string
	join, cluster     string
	wait              time.Duration
	nodeID            uint16
	etcd              []string
	socket, directory string
	tokenFile         string
	readyFd           int
	json              bool

	log, reports *logWriter // reports are those of --json
}

func startCommand() *cobra.Command {
	f := startFlags{log: &logWriter{out: os.Stderr}, reports: &logWriter{out: os.Stdout}}
	cmd := &cobra.Command{
		Use:   "start --listen ADDR [--join ADDR | --etcd URLS]",
		Short: "Run one node of a cluster in the foreground",
		Long: `Start runs one node until SIGINT or SIGTERM. The first node founds the cluster and
decides how many nodes it has; the others --join it. They may be started in any
order: a node waits for the one that it is to join, up to --wait, and then all wait
for the last of them; the log says for whom. Numbers are given out in the order of
joining, or chosen by --node-id. When a node is lost, the run is over: every other node says
so and ends with status 1. Start them all again for another run.

With --etcd, nobody joins anybody: all nodes have the same command line but for
their addresses, and whichever comes first founds the cluster, or founds it again
when it has ended. So --nodes and what else the founder decides are said to all
of them; one that is told something else is refused. One etcd serves clusters of
different --cluster names. If all nodes of one were killed, so that none could
say in the store that it has ended, start says how to remove it. While the etcd
does not answer, memory goes on, and no segment can be created or removed.

A node that other machines reach needs a token, a secret that all nodes share:

  mkdir -p /etc/mome && (umask 077; head -c 32 /dev/urandom | base64 > /etc/mome/token)

The log goes to standard error. The founder's configuration needs 4 MiB of disk in
--dir to begin with, and 1.5 MiB free for each change. On a full disk no segment
can be created or removed, and the log says what to free; memory goes on. A trace
or a log that cannot be written makes the status 1 at the end.`,
		Example: `  # three machines
  momenode start --listen 10.0.0.1:7070 --nodes 3 --token-file /etc/mome/token
  momenode start --listen 10.0.0.2:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token
  momenode start --listen 10.0.0.3:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token

  # the others, where a launcher gives out the numbers
  momenode start --listen $ADDRESS:7070 --join 10.0.0.1:7070 --node-id $SLURM_NODEID --token-file /etc/mome/token

  # the configuration in an etcd that is there already: the same on all machines
  momenode start --listen $ADDRESS:7070 --nodes 3 --etcd http://10.0.0.9:2379 --token-file /etc/mome/token`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Flags()) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`ADDR` of the node's port, HOST:PORT; port 0 takes a free one")
	flags.StringVar(&f.advertise, "advertise", "", "`ADDR` at which the other nodes find this one, if it is another")
	flags.StringVar(&f.join, "join", "", "`ADDR` of the node that founded the cluster (default: found one)")
	flags.DurationVar(&f.wait, "wait", node.DefaultWait, "the `DURATION` that the node to join, or the etcd, may take to be there")
	flags.Uint16Var(&f.nodeID, "node-id", 0, "`N` is this node's number, from 0 to --nodes - 1, and so the rank of its program (default: the lowest that is free)")
	flags.StringSliceVar(&f.etcd, "etcd", nil, "`URLS` of an external etcd for the cluster's configuration, with commas between")
	flags.StringVar(&f.cluster, "cluster", coord.DefaultName, "`NAME` of the cluster, the same at all its nodes; in an etcd its keys are below "+coord.PrefixOf("NAME"))
	flags.IntVar(&f.nodes, "nodes", 1, "the cluster has `N` nodes")
	f.founding.add(flags)
	addSocketFlag(flags, &f.socket)
	flags.StringVar(&f.directory, "dir", "", "`DIR` of the founder's configuration store, whose content is replaced (default: a temporary one)")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the cluster's token, readable by its owner only")
	f.tuning.add(flags)
	flags.BoolVar(&f.json, "json", false, "print a line of JSON for whom the node waits, when it has joined, when it is ready, and if it fails or leaves something incomplete")
	flags.IntVar(&f.readyFd, "ready-fd", 0, "descriptor that takes reports, one line of JSON each")
	_ = flags.MarkHidden("ready-fd")
	return cmd
}

// config checks the command line and makes a node's configuration of it.
func (f *startFlags) config(flags *pflag.FlagSet) (node.Config, error) {
	var none node.Config
	if flags.Changed("join") {
		for _, name := range append(foundingNames, "etcd", "dir") {
			if flags.Changed(name) {
				return none, badUsage("--%s does not go with --join: it is decided where the cluster is founded", name)
			}
		}
		if f.join == "" {
			return none, badUsage("--join needs the address of a node")
		}
	}
	if flags.Changed("etcd") && flags.Changed("dir") {
		return none, badUsage("--dir does not go with --etcd, which keeps the configuration itself")
	}
	if err := coord.CheckName(f.cluster); err != nil {
		return none, badUsage("--cluster: %w", err)
	}
	if err := f.founding.check(flags, f.nodes); err != nil {
		return none, err
	}
	switch {
	case f.wait <= 0:
		return none, badUsage("--wait %v: give a time, such as 10m", f.wait)
	case flags.Changed("wait") && f.join == "" && len(f.etcd) == 0:
		return none, badUsage("--wait does not go without --join or --etcd: for the other nodes, a node that founds a cluster waits until they come")
	case int(f.nodeID) >= f.nodes && (flags.Changed("nodes") || f.join == "" && len(f.etcd) == 0):
		return none, badUsage("--node-id %d: a cluster of %s has the numbers from 0 to %d", f.nodeID, plural(f.nodes, "node"), f.nodes-1)
	}
	if err := f.tuning.check(); err != nil {
		return none, err
	}
	for _, endpoint := range f.etcd {
		u, err := url.Parse(endpoint)
		isURL := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Port() != ""
		if _, _, err := net.SplitHostPort(endpoint); err != nil && !isURL {
			return none, badUsage("--etcd %s: write HOST:PORT, http://HOST:PORT or https://HOST:PORT, with commas between", endpoint)
		}
	}
	for name, value := range map[string]string{"listen": f.listen, "advertise": f.advertise, "join": f.join} {
		if err := checkAddress(name, value); err != nil {
			return none, err
		}
	}
	level, err := f.level()
	if err != nil {
		return none, err
	}
	memory, err := f.limit()
	if err != nil {
		return none, err
	}
	base, err := f.baseAddress()
	if err != nil {
		return none, err
	}
	cfg := node.Config{
		Listen: f.listen, Advertise: f.advertise, Join: f.join, Wait: f.wait, Cluster: f.cluster, Store: f.etcd, Directory: f.directory,
		Nodes: f.nodes, Fanout: f.fanout, Slots: f.slots, Transport: f.transport, Base: base,
		Socket: socketPath(f.socket), Memory: memory, RoomWait: f.roomWait, NoReadAhead: f.noReadAhead, Trace: f.trace,
		Version: version(), Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: level})),
	}
	// A cluster that is there already has what it has, where nothing is said.
	if !flags.Changed("nodes") {
		cfg.Nodes = 0
	}
	if flags.Changed("residence") {
		if cfg.Residence = f.residence; cfg.Residence == 0 {
			cfg.Residence = -1
		}
	}
	if flags.Changed("repair") {
		cfg.Repair = f.repair
	}
	if flags.Changed("node-id") {
		id := addr.NodeID(f.nodeID)
		cfg.NodeID = &id
	}
	if longest := node.ControlSocket(cfg.Socket); len(longest) > maxSocketPath {
		return none, badUsage("--socket %s: the path is too long by %d bytes; choose a shorter one", cfg.Socket, len(longest)-maxSocketPath)
	}
	if f.tokenFile != "" {
		if cfg.Token, err = readToken(f.tokenFile); err != nil {
			return none, err
		}
	}
	return cfg, nil
}

// checkAddress wants an address to be HOST:PORT, or not given.
func checkAddress(name, value string) error {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return badUsage("--%s %s: write HOST:PORT", name, value)
	}
	number, err := net.LookupPort("tcp", port)
	switch {
	case err != nil:
		return badUsage("--%s %s: %q is not a port: give a number up to 65535", name, value, port)
	case name == "join" && number == 0:
		return badUsage("--join %s: give the port that the founder listens on", value)
	}
	return nil
}

// readToken reads the secret in a file, which nobody but its owner may read.
func readToken(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w; name the file with the cluster's token, a copy of which each machine has", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	const limit = 4 << 10
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("token file %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("token file %s can be read by others than its owner; run: chmod 600 %s", path, path)
	case info.Size() > limit:
		return nil, fmt.Errorf("token file %s has %d bytes, and a token at most %d", path, info.Size(), limit)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) == 0 {
		return nil, fmt.Errorf("token file %s is empty; fill it: head -c 32 /dev/urandom | base64 > %s", path, path)
	}
	return token, nil
}

// prepareSocket finds out whether the socket can be made, before the cluster
// counts on this node. It makes the directory of the default socket, for this
// user alone; others are their owners' business.
func prepareSocket(socket string) error {
	dir := filepath.Dir(socket)
	if socket == mome.DefaultSocket {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("directory of the socket: %w; run as root, or name another path with --socket", err)
		}
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("directory of the socket: %w; make it, or name another path with --socket", err)
	} else if !info.IsDir() {
		return fmt.Errorf("socket %s: %s is not a directory; name another path with --socket", socket, dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("directory of the socket: %s cannot be written to: %w; name another path with --socket", dir, err)
	}
	info, err := os.Lstat(socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("socket %s: there is a file, and not a socket; remove it, or name another path with --socket", socket)
	}
	// One that waits for its cluster has the first of them already.
	for path, network := range map[string]string{socket: "unixpacket", node.ControlSocket(socket): "unix"} {
		if probe, err := net.Dial(network, path); err == nil {
			probe.Close()
			return fmt.Errorf("socket %s: another node listens on it; stop that, or name another path with --socket", socket)
		}
	}
	return nil
}

// report is a line that "momenode start" writes with --json, and to its ready
// descriptor.
type report struct {
	State   string `json:"state"` // waiting, joined, ready, failed or incomplete
	Node    int    `json:"node"`
	Address string `json:"address,omitempty"`
	Socket  string `json:"socket,omitempty"`
	Error   string `json:"error,omitempty"` // of failed and incomplete
	Waits   string `json:"waits,omitempty"` // of waiting: for whom, in words
}

const (
	stateWaiting = "waiting" // for others, before it is ready
	stateJoined  = "joined"  // the number is known; others may be missing
	stateReady   = "ready"   // applications may attach
	stateFailed  = "failed"  // the node is about to end
	// the node has ended as it should, and what it leaves behind lacks something
	stateIncomplete = "incomplete"
)

func (f *startFlags) run(flags *pflag.FlagSet) error {
	// A log or a reader of --json that is gone (a pipe that is closed) ends no node.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	var out []io.Writer
	if f.json {
		out = append(out, f.reports)
	}
	if flags.Changed("ready-fd") {
		unix.CloseOnExec(f.readyFd)
		pipe := os.NewFile(uintptr(f.readyFd), "ready")
		defer pipe.Close()
		out = append(out, pipe)
	}
	send := func(r report) {
		for _, w := range out {
			// Of --json the status says it at the end; at the other end of a ready
			// descriptor nobody listens any more.
			_ = json.NewEncoder(w).Encode(r)
		}
	}
	err := f.serve(flags, send)
	switch {
	case errors.As(err, new(incomplete)):
		send(report{State: stateIncomplete, Error: oneLine(err)})
	case err != nil:
		send(report{State: stateFailed, Error: oneLine(err)})
	}
	return err
}

func (f *startFlags) serve(flags *pflag.FlagSet, send func(report)) error {
	cfg, err := f.config(flags)
	if err != nil {
		return err
	}
	if err := prepareSocket(cfg.Socket); err != nil {
		return err
	}
	if cfg.Trace != "" {
		if err := os.MkdirAll(cfg.Trace, 0o777); err != nil {
			return fmt.Errorf("--trace: %w; name another directory", err)
		}
	}
	now := report{Socket: cfg.Socket}
	cfg.Waiting = func(waits string) {
		send(report{State: stateWaiting, Node: now.Node, Socket: cfg.Socket, Waits: waits})
	}
	cfg.Joined = func(id addr.NodeID, address string) {
		now.State, now.Node, now.Address = stateJoined, int(id), address
		send(now)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	tuneThreads()
	cfg.Sleepers = makePlaces
	n, err := node.Start(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before the cluster was complete
		}
		return explainStart(err, cfg)
	}
	now.State = stateReady
	send(now)
	select {
	case <-ctx.Done():
		cfg.Log.Info("stopping", "node", n.ID())
		stop() // a second signal ends the process at once
	case <-n.Ended():
	}
	err = n.Err()
	left := byproducts(n.Close(), f.log.lost("the log has"), f.reports.lost("--json has"))
	if err != nil && left != nil {
		cfg.Log.Error(oneLine(left))
	}
	if err != nil {
		return err
	}
	return left
}

// explainStart adds the remedy where only the command line knows it.
func explainStart(err error, cfg node.Config) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, coord.ErrComplete):
		return fmt.Errorf("cannot join the cluster at %s: it has all its nodes already; found one for more (--nodes N), or --join another", founder(cfg))
	case cfg.Directory != "" && errors.Is(err, coord.ErrDiskFull):
		return fmt.Errorf("%w, or let --dir name a directory on another", err)
	case cfg.Directory != "" && errors.As(err, &path) && within(path.Path, cfg.Directory):
		return fmt.Errorf("--dir %s: %w; name a directory that this user can write to", cfg.Directory, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w; another process has the port: choose another --listen", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w; %s is not an address of this machine: choose another --listen", err, cfg.Listen)
	case cfg.Join != "" && status.Code(err) == codes.Unimplemented:
		return fmt.Errorf("cannot join the cluster at %s: that node does not keep its configuration; --join the node that founded it", cfg.Join)
	case errors.As(err, new(*net.AddrError)), errors.As(err, new(*net.DNSError)):
		return fmt.Errorf("%w; --listen is HOST:PORT, HOST an address of this machine, PORT a number", err)
	}
	return err
}

// founder is where a node looks for its cluster.
func founder(cfg node.Config) string {
	if cfg.Join != "" {
		return cfg.Join
	}
	return strings.Join(cfg.Store, ",")
}

// within says whether a path is a directory, or below it, or on the way to it.
func within(path, dir string) bool {
	path, dir = filepath.Clean(path), filepath.Clean(dir)
	return path == dir || strings.HasPrefix(path, dir+"/") || strings.HasPrefix(dir, path+"/")
}
