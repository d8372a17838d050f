//go:build linux

package memory

import (
	"io"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func killed(t *testing.T, a *application) {
	t.Helper()
	err := a.cmd.Wait()
	exit, isExit := err.(*exec.ExitError)
	if !isExit {
		t.Fatalf("the application ended with %v", err)
	}
	if status := exit.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the application ended with %v, want SIGKILL", err)
	}
}

// The kernel kills an idle process.
func TestKillOnHangup(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	a.call(request{Op: "kill-on-hangup"})
	ok(t, a.silent.Close())
	killed(t, a)
}

// And one in which no goroutine can run: one waits in copy for a missing page,
// and the garbage collector for it, and all others for the garbage collector.
func TestKillOnHangupWithoutAnyGoroutine(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	a.call(request{Op: "kill-on-hangup"})
	r := a.begin(request{Op: "copy-under-gc", N: 4096})
	a.expect(testFirst, false, Missing)
	ok(t, a.Mapping.Close())
	ok(t, a.silent.Close())
	killed(t, a)
	if r := a.outcome(r); r.Err == "" {
		t.Fatal("copy returned")
	}
}

// The node hears of the application by the same socket.
func TestSilentSocketTellsNodeOfDeath(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	a.call(request{Op: "kill-on-hangup"})
	a.cmd.Process.Kill()
	if n, err := a.silent.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestKillOnHangupTooLate(t *testing.T) {
	s := newSegment(t, 1)
	a := startApplication(t, s, applicationOptions{})
	ok(t, a.silent.Close())
	r := a.outcome(a.begin(request{Op: "kill-on-hangup"}))
	// The descriptor hung up before: the process lives, and is told.
	if r.Err == "" {
		t.Fatal("no error")
	}
}

func TestKillOnHangupOfNoSocket(t *testing.T) {
	wantErr(t, KillOnHangup(-1), unix.EBADF)
}
