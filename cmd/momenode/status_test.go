package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// sharing is a cluster on which programs have shared a page and stay.
func sharing(t *testing.T, nodes int, flags ...string) (p *process, dir string) {
	t.Helper()
	needNode(t)
	dir = shortTemp(t)
	args := append([]string{"cluster", "--nodes", fmt.Sprint(nodes), "--dir", dir}, flags...)
	p = momenode(t, append(args, "--", childProgram(t, "share"))...)
	for range nodes {
		p.expect(fmt.Sprintf("| sum %d", nodes*(nodes+1)/2))
	}
	return p, dir
}

func TestStatusJSON(t *testing.T) {
	const nodes = 4
	_, dir := sharing(t, nodes, "--fanout", "2", "--no-read-ahead")
	for i := range nodes {
		status, stdout, stderr := run(t, "status", "--json", "--hottest", "3", "--socket", filepath.Join(dir, fmt.Sprintf("node%d.sock", i)))
		if status != 0 || stderr != "" {
			t.Fatalf("status %d, %q", status, stderr)
		}
		var s clusterStatus
		decoder := json.NewDecoder(strings.NewReader(stdout))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&s); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		if s.Cluster == "" || s.Expected != nodes || s.Joined != nodes || s.Fanout != 2 || s.Transport != "tcp" || len(s.Nodes) != nodes {
			t.Fatalf("the cluster: %+v", s)
		}
		var sum segmentStatus
		var in, out uint64 // messages
		for j, n := range s.Nodes {
			if int(n.Node) != j || n.Address == "" || n.Error != "" || n.Uptime <= 0 || len(n.Links) != nodes-1 || n.Memory.Heap == 0 {
				t.Errorf("node %d: %+v", j, n)
			}
			if len(n.Applications) != 1 || len(n.Segments) != 1 {
				t.Fatalf("node %d: applications %q, segments %+v", j, n.Applications, n.Segments)
			}
			sum.add(n.Segments[0])
			for _, l := range n.Links {
				if l.Connections != 1 || l.MessagesIn > l.BytesIn || l.MessagesOut > l.BytesOut {
					t.Errorf("node %d: link %+v", j, l)
				}
				in, out = in+l.MessagesIn, out+l.MessagesOut
			}
		}
		if in == 0 || out == 0 {
			t.Errorf("no messages: %+v", s.Nodes)
		}
		g := s.Segments[0]
		if len(s.Segments) != 1 || g.Name != "shared" || g.Pages != 256 || g.Mappings != nodes {
			t.Errorf("segments: %+v", s.Segments)
		}
		if g.WriteFaults+g.Upgrades < nodes || g.PagesIn < nodes-1 || g.PagesIn != g.PagesOut || g.BytesIn != g.PagesIn*4096 ||
			g.Recalls == 0 || g.ReadFaults != sum.ReadFaults || g.WriteFaults != sum.WriteFaults || g.BytesOut != sum.BytesOut {
			t.Errorf("the sums: %+v, of the nodes %+v", g, sum)
		}
		if len(g.Hottest) != 1 || g.Hottest[0].Address != 0x4000_0000_0000 || g.Hottest[0].Recalls == 0 {
			t.Errorf("hottest: %+v", g.Hottest)
		}
		levels := ""
		for _, m := range s.Managers {
			levels += m.Level + ", "
		}
		if levels != "leaf, intermediate 1, root, " {
			t.Errorf("managers: %+v", s.Managers)
		}
	}
	// Every field is there, zero or not.
	_, stdout, _ := run(t, "status", "--json", "--socket", filepath.Join(dir, "node0.sock"))
	for _, name := range []string{"epoch", "incarnation", "downgrades", "prefetched", "retained_bytes", "held_pages", "managed_pages", "heap_bytes_per_held_page", "hottest"} {
		if !strings.Contains(stdout, `"`+name+`":`) {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestKeepHottest(t *testing.T) {
	s := clusterStatus{
		Segments: []segmentStatus{{Hottest: make([]hotPage, 3)}},
		Nodes:    []nodeStatus{{Segments: []segmentStatus{{Hottest: make([]hotPage, 1)}}}},
	}
	s.keepHottest(2)
	if all, one := len(s.Segments[0].Hottest), len(s.Nodes[0].Segments[0].Hottest); all != 2 || one != 1 {
		t.Errorf("of two %d of the cluster's are kept, and %d of a node's", all, one)
	}
}

func TestStatusTable(t *testing.T) {
	_, dir := sharing(t, 2)
	socket := filepath.Join(dir, "node1.sock")
	status, stdout, stderr := run(t, "status", "--socket", socket, "--hottest", "2")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	for _, want := range []string{": 2 of 2 nodes, fan-out 64, transport tcp", "Nodes", "127.0.0.1:", "Segments, sums over 2 nodes", "shared", "1.0 MiB",
		"Hottest pages", "0x400000000000", "Managers", "root", "Links"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "Node 1: links") {
		t.Errorf("tables of single nodes without --per-node:\n%s", stdout)
	}
	_, stdout, _ = run(t, "status", "--socket", socket, "--per-node")
	for _, want := range []string{"Node 0: segments", "Node 1: managers", "Node 1: links"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
}

// TestStatusOfAwayNode: a node that was stopped for a while is away, which the
// status counts and the log of the other says once, and then is back.
func TestStatusOfAwayNode(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 2, "--repair", "10s")
	look := func() (s clusterStatus) {
		t.Helper()
		_, stdout, _ := run(t, "status", "--json", "--socket", nodes[0].last.Socket)
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || len(s.Nodes) != 2 {
			t.Fatalf("%v: %s", err, stdout)
		}
		return s
	}
	if s := look(); s.Answering != 2 || s.Repair != 10 || s.Nodes[1].Away != 0 || s.Nodes[1].AwaySince != nil {
		t.Errorf("before: %+v", s)
	}
	nodes[1].signal(syscall.SIGSTOP)
	s := look()
	for s.Nodes[1].Away == 0 {
		s = look()
	}
	n := s.Nodes[1]
	if s.Answering != 1 || n.Away < 4 || n.AwaySince == nil || s.Nodes[0].Away != 0 {
		t.Errorf("away: %+v", s)
	}
	status, stdout, stderr := run(t, "status", "--socket", nodes[0].last.Socket)
	nodes[1].signal(syscall.SIGCONT)
	failure(t, status, stderr, 1, "node 1 at "+n.Address+" does not answer: it is away: nothing heard for ", "the run ends if it is not back in ")
	for _, want := range []string{": 2 of 2 nodes, of them 1 answer, ", "away since ", "repair 10s"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	for s.Answering != 2 {
		s = look()
	}
	if s.Nodes[1].Away != 0 {
		t.Errorf("back: %+v", s)
	}
	for _, n := range nodes {
		n.signal(syscall.SIGTERM)
	}
	for i, n := range nodes {
		_, stderr := n.end()
		// Node 1 was stopped: that it has heard nothing is its own doing.
		if away, back := strings.Count(stderr, " is away: nothing heard for "), strings.Count(stderr, " is back: "); away != 1-i || back != 1-i {
			t.Errorf("node %d says %d times that the other is away, and %d times that it is back: %s", i, away, back, stderr)
		}
	}
}

// TestStatusOfSilentNode: the others are shown, and the status says it.
func TestStatusOfSilentNode(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 2, "--repair", "1h")
	nodes[1].signal(syscall.SIGSTOP)
	defer nodes[1].signal(syscall.SIGCONT)
	// The signal alone leaves its threads the time for an answer.
	if err := unix.Waitid(unix.P_PID, nodes[1].cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "status", "--json", "--socket", nodes[0].last.Socket)
	failure(t, status, stderr, 1, "node 1 at "+nodes[1].last.Address+" does not answer within 2s")
	var s clusterStatus
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || len(s.Nodes) != 2 || s.Nodes[0].Error != "" || s.Nodes[1].Error == "" {
		t.Errorf("%v: %+v", err, s)
	}
	status, stdout, stderr = run(t, "status", "--socket", nodes[0].last.Socket)
	failure(t, status, stderr, 1, "does not answer within 2s")
	if !strings.Contains(stdout, "\nnode 1 at "+nodes[1].last.Address+" does not answer within 2s\n") || strings.Contains(stdout, "rpc error") {
		t.Errorf("a line of its own is missing in\n%s", stdout)
	}
}

func TestSilence(t *testing.T) {
	for from, want := range map[string]string{
		"rpc error: code = DeadlineExceeded desc = context deadline exceeded":     "within 2s",
		`rpc error: code = Unavailable desc = connection error: desc = "refused"`: `: connection error: desc = "refused"`,
		"no such host": ": no such host",
	} {
		n := nodeStatus{Node: 3, Address: "10.0.0.4:7070", Error: from}
		if got := n.silence(); !strings.HasPrefix(got, "node 3 at 10.0.0.4:7070 does not answer") || !strings.HasSuffix(got, want) {
			t.Errorf("%q: %q", from, got)
		}
	}
}

func TestSizeText(t *testing.T) {
	for size, want := range map[uint64]string{
		4096: "4.0 KiB", 12288: "12 KiB", 14336: "14 KiB", 14848: "14.5 KiB", 1 << 20: "1.0 MiB", 3 << 19: "1.5 MiB", 64 << 20: "64 MiB",
		1<<44 - 4096: "15.9 TiB", 366211 << 12: "1.4 GiB", 1 << 44: "16 TiB", 1<<40 - 1: "1023.9 GiB",
	} {
		if got := sizeText(size); got != want {
			t.Errorf("%d: %q, not %q", size, got, want)
		}
	}
}

func TestSegmentError(t *testing.T) {
	failed := &client.Error{Code: attachpb.Code_CODE_INTERNAL, Message: "create segment x: configuration store unavailable; check that it runs"}
	if got := segmentError(fmt.Errorf("%w", failed), "x"); got.Error() != failed.Message {
		t.Errorf("what a node could not do is %q", got)
	}
}

func TestSegments(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 2)
	at := func(i int, args ...string) []string {
		return append([]string{"segment"}, append(args, "--socket", nodes[i].last.Socket)...)
	}
	if status, stdout, stderr := run(t, at(0, "list")...); status != 0 || stdout != "there are no segments" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr := run(t, at(0, "create", "a", "64MiB", "--home", "block", "--json")...)
	var a segmentInfo
	if err := json.Unmarshal([]byte(stdout), &a); status != 0 || err != nil || a.Name != "a" || a.Size != 64<<20 || a.Pages != 16384 ||
		a.Home != "block" || a.Address != 0x4000_0000_0000 || a.Generation == 0 {
		t.Errorf("status %d, %v, %q, %q", status, err, stdout, stderr)
	}
	// Whatever node is asked.
	status, _, stderr = run(t, at(1, "create", "a", "1")...)
	failure(t, status, stderr, 1, `"a" exists already`, "another name")
	status, _, stderr = run(t, at(1, "create", "b", "16TiB")...)
	failure(t, status, stderr, 1, "no room", "global space", "remove segments")
	status, _, stderr = run(t, at(1, "create", "no/slash", "1")...)
	failure(t, status, stderr, 2, "no/slash", "letters, digits")
	status, stdout, stderr = run(t, at(1, "create", "b", "1.5GB")...)
	if status != 0 || !strings.Contains(stdout, "1.4 GiB") || !strings.Contains(stdout, "spread") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, _ = run(t, at(1, "list", "--json")...)
	var list []segmentInfo
	if err := json.Unmarshal([]byte(stdout), &list); status != 0 || err != nil || len(list) != 2 || list[0] != a || list[1].Name != "b" {
		t.Errorf("status %d, %v, %q", status, err, stdout)
	}
	for _, name := range []string{"a", "b"} {
		if status, stdout, stderr := run(t, at(1, "remove", name)...); status != 0 || stdout != "segment "+name+" is removed" {
			t.Errorf("status %d, %q, %q", status, stdout, stderr)
		}
	}
	status, _, stderr = run(t, at(1, "remove", "a")...)
	failure(t, status, stderr, 1, `"a" does not exist`, "momenode segment list")
	// The whole space.
	status, stdout, stderr = run(t, at(1, "create", "all", "16TiB")...)
	if status != 0 || !strings.Contains(stdout, "4,294,967,296") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

func TestDoctor(t *testing.T) {
	decode := func(stdout string) (*diagnosis, map[string]finding) {
		t.Helper()
		d := new(diagnosis)
		if err := json.Unmarshal([]byte(stdout), d); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		byName := make(map[string]finding)
		for _, f := range d.Checks {
			byName[f.Name] = f
			if f.OK != (f.Why == "") || f.OK != (f.Remedy == "") {
				t.Errorf("%+v", f)
			}
		}
		return d, byName
	}
	status, stdout, stderr := run(t, "doctor", "--json")
	d, checks := decode(stdout)
	if d.OK != (status == 0) || d.Kernel == "" || !d.OK && len(ownLines(stderr)) != 1 {
		t.Errorf("status %d, %q: %s", status, stderr, stdout)
	}
	for _, name := range []string{"kernel", "userfaultfd", "address space", "open files", "threads", "ports", "network namespaces", "Java", "Maven"} {
		if _, ok := checks[name]; !ok {
			t.Errorf("%s was not looked at", name)
		}
	}
	needNode(t)
	if status != 0 {
		t.Errorf("a node runs here, and doctor says %s", stderr)
	}

	// What only development needs is optional.
	p := start(t, "env", "-i", "PATH=/nope", momenodePath, "doctor", "--json")
	status, stderr = p.end()
	d, checks = decode(strings.Join(p.seen, "\n"))
	if java := checks["Java"]; status != 0 || stderr != "" || !d.OK || java.OK || java.Required || !strings.Contains(java.Remedy, "apt-get install") {
		t.Errorf("without tools: status %d, %q, %+v", status, stderr, java)
	}
	p = start(t, "env", "-i", "PATH=/nope", momenodePath, "doctor")
	p.end()
	if text := strings.Join(p.seen, "\n"); !strings.Contains(text, "optional") || !strings.Contains(text, "apt-get install maven") {
		t.Errorf("without tools: %s", text)
	}

	// What a node needs is not.
	p = start(t, "sh", "-c", "ulimit -v 8000000; exec "+momenodePath+" doctor --json")
	status, stderr = p.end()
	failure(t, status, stderr, 1, "a node cannot run here: address space", "ulimit -v unlimited")
	if d, checks := decode(strings.Join(p.seen, "\n")); d.OK || checks["address space"].OK || !checks["address space"].Required {
		t.Errorf("with too few addresses: %+v", checks["address space"])
	}
	if f := checks["open files"]; !strings.Contains(f.Found, "segments that a program maps") {
		t.Errorf("open files: %+v", f)
	}
	if f := checks["threads"]; !strings.Contains(f.Found, "room for ") {
		t.Errorf("threads: %+v", f)
	}
	p = start(t, "sh", "-c", "ulimit -n 100; exec "+momenodePath+" doctor")
	if status, stderr := p.end(); status != 0 || stderr != "" || !strings.Contains(strings.Join(p.seen, "\n"), "ulimit -Hn 4096") {
		t.Errorf("with few files: status %d, %q, %q", status, stderr, p.seen)
	}
}

// TestStatusOfWaiting: a node that waits for the others says how many there are,
// and who is missing.
func TestStatusOfWaiting(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	founder := startNode(t, "--nodes", "3", "--socket", filepath.Join(dir, "0"))
	second := startNode(t, "--join", founder.await(stateJoined).Address, "--socket", filepath.Join(dir, "1"))
	second.await(stateJoined)
	for _, socket := range []string{"0", "1"} {
		var s clusterStatus
		status, stdout, stderr := run(t, "status", "--json", "--socket", filepath.Join(dir, socket))
		if err := json.Unmarshal([]byte(stdout), &s); status != 0 || err != nil || s.Joined != 2 || s.Expected != 3 ||
			s.Waits != "node "+socket+" has joined, waits for 1 of 3 nodes: 2 has not joined" {
			t.Errorf("status %d, %v: %s%s", status, err, stdout, stderr)
		}
	}
}
