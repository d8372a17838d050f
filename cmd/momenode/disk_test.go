package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/coord/coordtest"
)

// Where the disk is full already, nothing starts, and one line says what to free.
func TestDiskFullAtStart(t *testing.T) {
	needNode(t)
	disk := coordtest.MountDisk(t, "8m")
	disk.Fill(0)
	dir := filepath.Join(disk.Path, "d")
	socket := filepath.Join(shortTemp(t), "s")
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"start", []string{"start", "--socket", socket}, "TMPDIR"},
		{"start --dir", []string{"start", "--socket", socket, "--dir", dir}, dir},
		{"cluster", []string{"cluster", "--nodes", "2", "--", "true"}, "TMPDIR"},
		{"cluster --dir", []string{"cluster", "--nodes", "2", "--dir", dir, "--", "true"}, dir},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TMPDIR", disk.Path)
			status, stdout, stderr := run(t, c.args...)
			failure(t, status, stderr, 1, "no disk space for the configuration store", disk.Path, "0 KiB are free", "needs 4096 KiB", "delete files there", c.says)
			if stdout != "" {
				t.Errorf("it prints %q", stdout)
			}
		})
	}
	for name, args := range map[string][]string{"TMPDIR": {"doctor"}, "--dir": {"doctor", "--dir", dir}} {
		t.Run("doctor: "+name, func(t *testing.T) {
			if name == "TMPDIR" {
				t.Setenv("TMPDIR", disk.Path)
			}
			status, stdout, stderr := run(t, args...)
			failure(t, status, stderr, 1, "disk space", "0 KiB are free")
			if !strings.Contains(stdout, "disk space (required)\n    delete files there") {
				t.Errorf("it does not say what to do: %s", stdout)
			}
		})
	}
	disk.Free()
	status, stdout, _ := run(t, "doctor", "--dir", dir)
	if status != 0 || !strings.Contains(stdout, "8.0 MiB free in "+dir) {
		t.Errorf("with room: status %d, %s", status, stdout)
	}
}

// A disk that fills up under a trace: the run goes on, and its status and one
// line for each node say that the trace lacks something.
func TestTraceDiskFull(t *testing.T) {
	needNode(t)
	t.Run("at the start", func(t *testing.T) {
		disk := coordtest.MountDisk(t, "1m")
		disk.Fill(0)
		status, _, stderr := run(t, "cluster", "--nodes", "2", "--trace", filepath.Join(disk.Path, "run"), "--", "true")
		failure(t, status, stderr, 1, "trace", "no space left on device", "free some space")
	})
	t.Run("cluster", func(t *testing.T) {
		disk := coordtest.MountDisk(t, "8m")
		dir := filepath.Join(disk.Path, "run")
		p := momenode(t, "cluster", "--nodes", "2", "--json", "--trace", dir)
		var got struct{ Nodes []described }
		if err := json.Unmarshal([]byte(p.expect("{")), &got); err != nil {
			t.Fatal(err)
		}
		disk.Fill(0)
		program := childProgram(t, "tickets")
		var copies []*process
		for _, n := range got.Nodes {
			copies = append(copies, startCmd(t, withEnv(exec.Command(program), n.Env)))
		}
		for _, c := range copies {
			if status, stderr := c.end(); status != 0 {
				t.Errorf("the program fails with status %d, %q", status, stderr)
			}
		}
		p.signal(syscall.SIGINT)
		status, stderr := p.end()
		if lines := ownLines(stderr); status != 1 || len(lines) != 2 || strings.Count(stderr, "\n") != 2 {
			t.Errorf("status %d, %q", status, stderr)
		}
		for i := range 2 {
			if want := fmt.Sprintf("momenode: node %d: the trace of node %[1]d in %s is cut short: write %[2]s/node%05[1]d-i1-", i, dir); !strings.Contains(stderr, want) {
				t.Errorf("%q does not say %q", stderr, want)
			}
		}
	})
	t.Run("start", func(t *testing.T) {
		disk := coordtest.MountDisk(t, "8m")
		dir, socket := filepath.Join(disk.Path, "run"), filepath.Join(shortTemp(t), "s")
		p := momenode(t, "start", "--socket", socket, "--json", "--trace", dir)
		p.expect(`"ready"`)
		disk.Fill(0)
		c := startCmd(t, withEnv(exec.Command(childProgram(t, "tickets")), map[string]string{"MOME_SOCKET": socket}))
		if status, stderr := c.end(); status != 0 {
			t.Errorf("the program fails with status %d, %q", status, stderr)
		}
		p.signal(syscall.SIGTERM)
		status, stderr := p.end()
		if lines := ownLines(stderr); status != 1 || len(lines) != 1 || !strings.Contains(lines[0], "the trace of node 0 in "+dir+" is cut short: write "+dir+"/node00000-i1-") {
			t.Errorf("status %d, %q", status, stderr)
		}
		if !strings.Contains(stderr, "level=ERROR") {
			t.Errorf("the log says nothing when it happens: %q", stderr)
		}
		if last := p.seen[len(p.seen)-1]; !strings.Contains(last, `"incomplete"`) || !strings.Contains(last, "no space left on device") {
			t.Errorf("the last report is %q", last)
		}
	})
}

// A history that its program has not completed is a failure, and so is one that it
// could not write, if it does not say so itself.
func TestHistoryCut(t *testing.T) {
	needNode(t)
	dir := filepath.Join(shortTemp(t), "run")
	status, _, stderr := run(t, "cluster", "--nodes", "2", "--trace", dir, "--", childProgram(t, "careless"))
	if lines := ownLines(stderr); status != 1 || len(lines) != 2 || strings.Count(stderr, "\n") != 2 {
		t.Errorf("status %d, %q", status, stderr)
	}
	for i := range 2 {
		if !strings.Contains(stderr, fmt.Sprintf("%s/history-rank%03d-", dir, i)) || !strings.Contains(stderr, "no last line: its program could not write it") {
			t.Errorf("%q does not say which history lacks what", stderr)
		}
	}
	dir = filepath.Join(shortTemp(t), "run")
	if status, _, stderr = run(t, "cluster", "--nodes", "2", "--trace", dir, "--", childProgram(t, "tickets")); status != 0 || stderr != "" {
		t.Errorf("complete histories: status %d, %q", status, stderr)
	}
}

// withEnv is a program with more in its environment than the test has.
func withEnv(cmd *exec.Cmd, env map[string]string) *exec.Cmd {
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// Lines that a log has lost are a failure, since the log cannot say so.
func TestLogDiskFull(t *testing.T) {
	needNode(t)
	disk := coordtest.MountDisk(t, "8m")
	dir := filepath.Join(disk.Path, "d")
	p := momenode(t, "cluster", "--nodes", "1", "--dir", dir)
	p.expect("^C ends it")
	disk.Fill(0)
	// What the last block of the file has room for is not lost. The store, which is on
	// the same disk, may not survive that; whoever attaches is in the log all the same.
	for range 40 {
		if status, _, stderr := run(t, "segment", "list", "--socket", filepath.Join(dir, "node0.sock")); status != 0 && !strings.Contains(stderr, "the disk of the configuration store is full") {
			t.Fatalf("segment list: status %d, %q", status, stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	status, stderr := p.end()
	failure(t, status, stderr, 1, "node 0", "the log has lost lines", "no space left on device")
}

// A log that nobody reads any more ends no node, but is a failure at the end.
func TestLogReaderGone(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	socket, log := filepath.Join(dir, "s"), filepath.Join(dir, "log")
	if err := unix.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "sh", "-c", fmt.Sprintf("exec %s start --json --socket %s 2>%s", momenodePath, socket, log))
	reader, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	p.expect(stateReady)
	reader.Close()
	for range 3 {
		if status, _, stderr := run(t, "segment", "list", "--socket", socket); status != 0 {
			t.Errorf("status %d, %q", status, stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	if status, _ := p.end(); status != 1 {
		t.Errorf("status %d", status)
	}
	if last := p.seen[len(p.seen)-1]; !strings.Contains(last, `"incomplete"`) || !strings.Contains(last, "the log has lost lines") || !strings.Contains(last, "nobody reads them") {
		t.Errorf("the last report is %q", last)
	}
}

// Lines of --json that cannot be written are a failure: whoever waits for them does
// not hear that the node is ready.
func TestReportsDiskFull(t *testing.T) {
	needNode(t)
	p := start(t, "sh", "-c", fmt.Sprintf("exec %s start --json --socket %s 2>&1 >/dev/full", momenodePath, filepath.Join(shortTemp(t), "s")))
	p.expect("msg=serving")
	p.signal(syscall.SIGTERM)
	status, _ := p.end()
	failure(t, status, p.seen[len(p.seen)-1]+"\n", 1, "--json has lost lines: write /dev/stdout: no space left on device")
}

// The output of a program that cannot be written is a failure, and not the
// program's.
func TestOutputDiskFull(t *testing.T) {
	needNode(t)
	disk := coordtest.MountDisk(t, "1m")
	disk.Fill(0)
	p := start(t, "sh", "-c", fmt.Sprintf("exec %s cluster --nodes 1 -- sh -c 'seq 100000; echo done >&2' >%s/out", momenodePath, disk.Path))
	status, stderr := p.end()
	if want := "momenode: output of the program is lost: write /dev/stdout: no space left on device\n"; status != 1 || stderr != "0| done\n"+want {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// The logs in --dir have one run after the other.
func TestClusterKeepsLogs(t *testing.T) {
	needNode(t)
	dir := filepath.Join(shortTemp(t), "d")
	var before [2]string
	for i := range 3 {
		status, _, stderr := run(t, "cluster", "--nodes", "2", "--dir", dir, "--", "true")
		if status != 0 {
			t.Fatalf("status %d, %q", status, stderr)
		}
		for k := range 2 {
			text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("node%d.log", k)))
			if err != nil {
				t.Fatal(err)
			}
			log := string(text)
			if !strings.HasPrefix(log, before[k]) {
				t.Errorf("run %d: the log of the runs before is gone from %q", i, log)
			}
			if n := strings.Count(log, `msg="a run begins"`); n != i+1 || strings.Count(log, "msg=serving") != i+1 {
				t.Errorf("run %d: %d begin in %q", i, n, log)
			}
			before[k] = log
		}
	}
}
