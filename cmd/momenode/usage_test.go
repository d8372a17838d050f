package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	long := "/tmp/" + strings.Repeat("x", 120)
	for _, tc := range []struct {
		args   string
		status int
		says   []string
	}{
		{"bogus", 2, []string{`no command "bogus"`, "momenode --help"}},
		{"statu", 2, []string{"did you mean start or status?"}},
		{"clutser --nodes 2", 2, []string{"did you mean cluster?"}},
		{"segment lits", 2, []string{"did you mean list?", "momenode segment --help"}},
		{"trace vaildate x", 2, []string{"did you mean validate?"}},
		{"cluster --nodse 2", 2, []string{"unknown flag: --nodse; did you mean --nodes?"}},
		{"status --lock", 2, []string{"unknown flag: --lock", "did you mean", "--locks"}},
		{"version extra", 2, []string{`"extra"`}},
		{"cluster --procs-per-node 0 -- true", 2, []string{"--procs-per-node 0: 1 or more"}},
		{"cluster --nodes 1000 --procs-per-node 5 -- true", 2, []string{"--procs-per-node 5", "at most 4096 copies"}},
		{"--bogus", 2, []string{"unknown flag: --bogus"}},
		{"segment bogus", 2, []string{`no command "bogus"`, "momenode segment --help"}},
		{"cluster --bogus", 2, []string{"--bogus", "momenode cluster --help"}},
		{"cluster --nodes x", 2, []string{`--nodes "x": give a whole number`}},
		{"cluster --nodes 0", 2, []string{"--nodes 0", "1 to 65536"}},
		{"cluster --nodes 2000", 2, []string{"--nodes 2000", "1024"}},
		{"cluster --fanout 1 -- true", 2, []string{"--fanout 1"}},
		{"cluster --slots 0 -- true", 2, []string{"--slots 0"}},
		{"cluster --slots 99999999999 -- true", 2, []string{"--slots 99999999999", "1048576"}},
		{"cluster --transport udp -- true", 2, []string{`"udp"`, `"tcp" or "grpc"`}},
		{"cluster --base here -- true", 2, []string{`--base "here"`, "0x550000000000"}},
		{"cluster --base 0x550000001000 -- true", 2, []string{"--base 0x550000001000", "multiple of 1 GiB"}},
		{"cluster --base 0x7f0000000000 -- true", 2, []string{"--base 0x7f0000000000", "to 0x555500000000"}},
		{"cluster --residence -1s -- true", 2, []string{"--residence -1s"}},
		{"cluster --residence 1h -- true", 2, []string{"--residence 1h0m0s", "0 to 1s"}},
		{"cluster --residence 3 -- true", 2, []string{`--residence "3"`, "such as 500us"}},
		{"cluster --memory lots -- true", 2, []string{`--memory "lots"`, "512MiB"}},
		{"cluster --memory 4096 -- true", 2, []string{"--memory 4096", "1.0 MiB"}},
		{"start --memory 8TiB", 2, []string{"--memory 8TiB", "8.0 TiB for pages is more than", "give less"}},
		{"cluster --nodes 1000 --memory 1GiB -- true", 2, []string{"--memory 1GiB for each of 1000 nodes", "more than"}},
		{"cluster --repair 0s -- true", 2, []string{"--repair 0s"}},
		{"cluster --repair 1ns -- true", 2, []string{"--repair 1ns", "100ms or more"}},
		{"cluster --grace -1s -- true", 2, []string{"--grace -1s"}},
		{"cluster --log-level loud -- true", 2, []string{`"loud"`, "debug, info, warn or error"}},
		{"cluster --json -- true", 2, []string{"--json", "PROGRAM"}},
		{"cluster -- ./nope", 1, []string{"./nope", "no such file"}},
		{"cluster -- nopenope", 1, []string{"nopenope", "$PATH"}},
		{"cluster -- " + file, 1, []string{file, "permission denied"}},
		{"cluster --dir " + file + " -- true", 1, []string{"--dir", file, "name a directory"}},
		{"cluster --dir /proc/xx -- true", 1, []string{"--dir", "/proc/xx", "name a directory"}},
		{"cluster --dir " + filepath.Join(dir, strings.Repeat("x", 100)) + " -- true", 1, []string{"too long", "--dir"}},
		{"bench --report " + file, 1, []string{file, "not a report"}},
		{"bench --report " + filepath.Join(dir, "no", "r.md"), 1, []string{"--report", "no such file"}},
		{"start extra", 2, []string{`"extra"`}},
		{"start --join 127.0.0.1:1 --nodes 3", 2, []string{"--nodes", "--join"}},
		{"start --join 127.0.0.1:1 --fanout 3", 2, []string{"--fanout", "--join"}},
		{"start --join 127.0.0.1:1 --slots 3", 2, []string{"--slots", "--join"}},
		{"start --join 127.0.0.1:1 --base 0x550000000000", 2, []string{"--base", "--join"}},
		{"start --join 127.0.0.1:1 --transport tcp", 2, []string{"--transport", "--join"}},
		{"start --join 127.0.0.1:1 --etcd http://127.0.0.1:1", 2, []string{"--etcd", "--join"}},
		{"start --join 127.0.0.1:1 --wait -1s", 2, []string{"--wait"}},
		{"start --nodes 2 --wait 1m", 2, []string{"--wait", "--join"}},
		{"start --nodes 2 --node-id 2", 2, []string{"--node-id 2", "2 nodes", "from 0 to 1"}},
		{"start --node-id x", 2, []string{"--node-id", `"x"`, "a whole number from 0 to 65535"}},
		{"start --etcd foo", 2, []string{"--etcd foo", "http://HOST:PORT"}},
		{"start --etcd http://127.0.0.1:1,", 2, []string{"--etcd", "http://HOST:PORT"}},
		{"start --cluster a/b", 2, []string{"--cluster", `"a/b"`}},
		{"start --cluster=", 2, []string{"--cluster"}},
		{"start --etcd http://127.0.0.1:1 --dir " + dir, 2, []string{"--dir", "--etcd"}},
		{"start --listen nowhere --socket " + socket, 2, []string{"nowhere", "HOST:PORT"}},
		{"start --socket " + long, 2, []string{"too long"}},
		{"start --listen 127.0.0.1:99999 --socket " + socket, 2, []string{"--listen 127.0.0.1:99999", `"99999" is not a port`}},
		{"start --advertise 127.0.0.1:-1 --socket " + socket, 2, []string{"--advertise 127.0.0.1:-1", `"-1" is not a port`}},
		{"start --join 127.0.0.1:99999 --socket " + socket, 2, []string{"--join 127.0.0.1:99999", `"99999" is not a port`}},
		{"start --join 127.0.0.1:0 --socket " + socket, 2, []string{"--join 127.0.0.1:0", "the port"}},
		{"start --join ::1 --socket " + socket, 2, []string{"--join ::1", "HOST:PORT"}},
		{"start --listen 0.0.0.0:0 --socket " + socket, 1, []string{"--advertise"}},
		{"start --join 10.77.255.1:7070 --socket " + socket, 1, []string{"cluster at 10.77.255.1:7070 cannot reach 127.0.0.1", "--listen"}},
		{"start --listen 127.0.0.1:0 --advertise 10.77.255.1:1 --socket " + socket, 1, []string{"token", "--token-file"}},
		{"start --listen 0.0.0.0:0 --advertise 127.0.0.1:1 --socket " + socket, 1, []string{"other machines", "token", "--token-file", "--listen"}},
		{"start --listen [::]:0 --advertise 127.0.0.1:1 --socket " + socket, 1, []string{"other machines", "token", "--token-file", "--listen"}},
		{"start --token-file /nope --socket " + socket, 1, []string{"--token-file", "/nope", "no such file", "name the file"}},
		{"start --token-file " + file + " --socket " + socket, 1, []string{"chmod 600 " + file}},
		{"start --token-file " + empty + " --socket " + socket, 1, []string{"empty"}},
		{"start --token-file " + dir + " --socket " + socket, 1, []string{"not a regular file"}},
		{"start --socket " + filepath.Join(dir, "no", "s"), 1, []string{"no such file", "--socket"}},
		{"start --socket " + filepath.Join(file, "s"), 1, []string{"not a directory", "--socket"}},
		{"start --socket " + file, 1, []string{"not a socket", "remove it"}},
		{"start --trace " + filepath.Join(file, "t") + " --socket " + socket, 1, []string{"--trace"}},
		{"start --dir " + filepath.Join(file, "d") + " --socket " + socket, 1, []string{"--dir " + file, "store", "not a directory", "name a directory"}},
		{"start --dir /proc/x --socket " + socket, 1, []string{"--dir /proc/x", "name a directory"}},
		{"trace bogus", 2, []string{`no command "bogus"`, "momenode trace --help"}},
		{"trace check", 2, []string{"FILE or DIR is missing", "--trace"}},
		{"trace check " + dir, 1, []string{"no history", dir}},
		{"trace check /nope", 1, []string{"/nope", "name a history"}},
		{"trace validate --workers 0 " + dir, 2, []string{"--workers 0", "1 thread or more"}},
		{"trace check " + file, 1, []string{file + ":1", "no header"}},
		{"trace check --search 0 " + file, 2, []string{"--search 0"}},
		{"trace coverage", 2, []string{"DIR is missing", "--trace"}},
		{"trace coverage " + dir, 1, []string{"no trace", dir}},
		{"trace coverage /nope", 1, []string{"/nope"}},
		{"status extra", 2, []string{`"extra"`}},
		{"status --hottest -1", 2, []string{`--hottest "-1"`, "from 0 to"}},
		{"status --socket /nope", 1, []string{"no node at /nope", "--socket", "MOME_SOCKET"}},
		{"status --socket " + long, 1, []string{"no path of a socket"}},
		{"segment list extra", 2, []string{`"extra"`}},
		{"segment list --socket /nope", 1, []string{"no node at /nope", "--socket", "MOME_SOCKET"}},
		{"segment list --socket " + file, 1, []string{"not a socket"}},
		{"segment create", 2, []string{"NAME is missing"}},
		{"segment create a", 2, []string{"SIZE is missing"}},
		{"segment create a 1 2", 2, []string{`"2"`}},
		{"segment create a 12parsec", 2, []string{`"12parsec"`, "64MiB"}},
		{"segment create a/b 1", 2, []string{`segment name "a/b"`, "128 letters, digits and . _ @ -"}},
		{"segment create .a 1", 2, []string{`segment name ".a"`, "beginning with a letter"}},
		{"segment remove a/b", 2, []string{`segment name "a/b"`}},
		{"segment create " + strings.Repeat("n", 10000) + " 1", 2, []string{`segment name "` + strings.Repeat("n", 40) + `"… (10000 bytes)`}},
		{"segment remove " + strings.Repeat("n", 10000), 2, []string{`"… (10000 bytes)`}},
		{"start --cluster " + strings.Repeat("n", 10000), 2, []string{`"… (10000 bytes)`}},
		{"segment create a 0", 2, []string{"at least 1 byte"}},
		{"segment create a 16385GiB", 2, []string{"16 TiB (2^32 pages)"}},
		{"segment create a 99999999999999999999999999", 2, []string{"16 TiB (2^32 pages)"}},
		{"segment create a 1 --home moon", 2, []string{`"moon"`, "spread or block"}},
		{"segment remove", 2, []string{"NAME is missing"}},
		{"trace bogus", 2, []string{`no command "bogus"`, "momenode trace --help"}},
		{"trace replay", 2, []string{"DIR is missing"}},
		{"trace replay a b", 2, []string{`"b"`}},
		{"trace replay " + file, 1, []string{"no trace in " + file}},
		{"trace replay /nope", 1, []string{"no trace in /nope"}},
		{"trace show", 2, []string{"DIR is missing"}},
		{"trace show x --clock 5", 2, []string{"--clock 5", "A:B"}},
		{"trace show x --clock 7:5", 2, []string{"--clock 7:5", "A:B"}},
		{"trace show x --clock a:5", 2, []string{"--clock a:5", "A:B"}},
		{"trace show x --time 5:6", 2, []string{"--time 5:6", "A:B"}},
		{"trace show x --page -1", 2, []string{`--page "-1"`, "whole numbers from 0 on"}},
		{"trace show x --page 4294967296", 2, []string{"--page 4294967296", "4294967295"}},
		{"trace show x --node 65536", 2, []string{"--node 65536", "65535"}},
		{"trace show x --page 1 --lock a", 2, []string{"--page", "different clocks"}},
		{"trace show x --locks --barrier a", 2, []string{"--locks with --lock or --barrier"}},
		{"trace show x --json --html y", 2, []string{"--html", "--json"}},
		{"trace show " + file, 1, []string{"no trace in " + file}},
		{"doctor extra", 2, []string{`"extra"`}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			if strings.HasPrefix(tc.args, "start") && tc.status == 1 {
				needNode(t)
			}
			status, stdout, stderr := run(t, strings.Fields(tc.args)...)
			failure(t, status, stderr, tc.status, tc.says...)
			if stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
			if tc.status == statusUsage && !strings.Contains(stderr, "--help)") {
				t.Errorf("%q does not say where the help is", stderr)
			}
		})
	}
}

// A node that cannot start for want of descriptors says whose limit that is.
func TestStartWithoutFiles(t *testing.T) {
	needNode(t)
	for _, files := range []int{4, 20} {
		p := start(t, "sh", "-c", fmt.Sprintf("ulimit -n %d; exec %s start --socket %s", files, momenodePath, filepath.Join(shortTemp(t), "s")))
		status, stderr := p.end()
		failure(t, status, stderr, 1, fmt.Sprintf("RLIMIT_NOFILE is %d", files), "raise it (ulimit -n")
	}
}

func TestPortInUse(t *testing.T) {
	needNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status, _, stderr := run(t, "start", "--listen", l.Addr().String(), "--socket", filepath.Join(t.TempDir(), "s"))
	failure(t, status, stderr, 1, l.Addr().String(), "address already in use", "another --listen")
}

func TestNothingToJoin(t *testing.T) {
	needNode(t)
	// A port that nobody else gets, and nobody listens on.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for _, flag := range []string{"--join", "--etcd"} {
		status, _, stderr := run(t, "start", flag, address, "--wait", "500ms", "--socket", filepath.Join(t.TempDir(), "s"))
		own := ownLines(stderr)
		if len(own) != 1 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		failure(t, status, own[0]+"\n", 1, address, "has waited for 500ms (--wait): see that it runs there")
	}
}

// TestOtherUser runs commands as a user who owns nothing.
func TestOtherUser(t *testing.T) {
	needNode(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and the test needs root, to become another user")
		}
		t.Skip("needs root, to become another user")
	}
	nobody := func(args ...string) (int, string) {
		cmd := exec.Command(momenodePath, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		return startCmd(t, cmd).end()
	}
	socket := filepath.Join(t.TempDir(), "node.sock")
	n := startNode(t, "--socket", socket)
	n.ready()
	status, stderr := nobody("status", "--socket", socket)
	failure(t, status, stderr, 1, socket, "as the user of the node, or as root")
	// Where only the socket itself is shut, the node's own check remains.
	for dir := filepath.Dir(socket); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	status, stderr = nobody("segment", "list", "--socket", socket)
	failure(t, status, stderr, 1, socket, "not permitted", "as the node's user")
	status, stderr = nobody("start", "--socket", filepath.Join(t.TempDir(), "s"))
	if text, err := os.ReadFile("/proc/sys/vm/unprivileged_userfaultfd"); err == nil && strings.TrimSpace(string(text)) == "0" {
		if _, err := os.Stat("/dev/userfaultfd"); err != nil {
			t.Log(stderr)
		}
	}
	failure(t, status, stderr, 1)
}

func TestVersionAndHelp(t *testing.T) {
	status, stdout, stderr := run(t, "--version")
	if status != 0 || !strings.HasPrefix(stdout, "momenode ") || stderr != "" {
		t.Errorf("--version: status %d, %q, %q", status, stdout, stderr)
	}
	for _, args := range []string{"", "--help", "cluster --help", "start --help", "status --help", "segment", "segment create --help", "doctor --help", "version --help"} {
		status, stdout, stderr := run(t, strings.Fields(args)...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, "Examples:") {
			t.Errorf("momenode %s: status %d, %q, %q", args, status, stdout, stderr)
		}
		if strings.Contains(stdout, "keeper") || strings.Contains(stdout, "ready-fd") {
			t.Errorf("momenode %s shows what is hidden", args)
		}
	}
}
