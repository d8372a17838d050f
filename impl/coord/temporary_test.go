package coord

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ownerArgument makes the test binary a process that has a temporary directory
// and waits to be killed.
const ownerArgument = "coord-test-owner"

func ownerMain() {
	dir, remove, err := makeTemporary()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	fmt.Println(dir)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
}

// startOwner is such a process, and its directory.
func startOwner(t *testing.T) (owner *exec.Cmd, dir string) {
	t.Helper()
	owner = exec.Command(os.Args[0], ownerArgument)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		owner.Process.Kill()
		owner.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !filepath.IsAbs(lines.Text()) {
		t.Fatalf("a process has the directory %q: %v", lines.Text(), lines.Err())
	}
	if err := os.WriteFile(filepath.Join(lines.Text(), "data"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return owner, lines.Text()
}

// A killed process cannot remove its directory. The next one does, and leaves
// alone what belongs to the living, and what is no directory of a store.
func TestTemporaryOfTheDead(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dead, left := startOwner(t)
	_, used := startOwner(t)
	file := filepath.Join(tmp, temporaryPrefix+"file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(tmp, temporaryPrefix+"link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}

	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	dead.Wait()
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("who removed it? %v", err)
	}
	own, remove, err := makeTemporary()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the directory of a dead process is still there: %v", err)
	}
	sweepTemporary()
	for _, path := range []string{own, filepath.Join(used, "data"), file, link} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("swept away: %v", err)
		}
	}
}

// Where a directory cannot be locked, the error says so, and nothing is left.
// Only a lock that another process has is a reason to make another directory.
func TestTemporaryWithoutLocks(t *testing.T) {
	defer func() { flock = unix.Flock }()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	flock = func(int, int) error { return unix.ENOLCK }
	_, _, err := makeTemporary()
	wantErr(t, err, unix.ENOLCK)
	if !strings.Contains(err.Error(), tmp) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	calls := 0
	flock = func(fd, how int) error {
		if calls++; calls == 1 {
			return unix.EWOULDBLOCK
		}
		return unix.Flock(fd, how)
	}
	_, remove, err := makeTemporary()
	if err != nil || calls != 2 {
		t.Fatalf("%v after %d locks", err, calls)
	}
	remove()
}
