package coord

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// temporaryPrefix begins the name of every temporary directory.
const temporaryPrefix = "mome-store-"

// flock is unix.Flock; tests have others.
var flock = unix.Flock

// makeTemporary makes a directory that lasts as long as this process: remove
// removes it, and what a process that was killed has left, the next one that
// makes such a directory removes.
//
// Whoever holds the lock of a directory (flock(2), which the kernel gives up for
// a process that is gone) owns it: nobody removes anything without.
func makeTemporary() (dir string, remove func(), err error) {
	sweepTemporary()
	for {
		if dir, err = os.MkdirTemp("", temporaryPrefix); err != nil {
			return "", nil, fmt.Errorf("%w; let TMPDIR name a directory that this user can write to", err)
		}
		lock, err := ownDirectory(dir)
		switch {
		case err != nil:
			os.RemoveAll(dir)
			return "", nil, fmt.Errorf("lock %s: %w; let TMPDIR name a directory on a file system with locks", dir, err)
		case lock != nil:
			return dir, func() {
				os.RemoveAll(dir)
				lock.Close()
			}, nil
		}
		// Another process is sweeping it away, as it may before the lock is taken.
	}
}

// sweepTemporary removes the directories of this user that nobody owns. What
// cannot be removed stays: it is no reason not to start.
func sweepTemporary() {
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	for _, dir := range all {
		lock, _ := ownDirectory(dir)
		if lock == nil {
			continue
		}
		if info, err := lock.Stat(); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() {
			os.RemoveAll(dir)
		}
		lock.Close()
	}
}

// ownDirectory takes the lock of a directory that nobody owns. Nil without an
// error: another process owns it, or has removed it.
func ownDirectory(dir string) (*os.File, error) {
	lock, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if err == unix.EWOULDBLOCK {
			err = nil
		}
		return nil, err
	}
	// Its last owner may have removed it between the two calls.
	locked, err := lock.Stat()
	if err != nil {
		lock.Close()
		return nil, err
	}
	if named, err := os.Lstat(dir); err != nil || !os.SameFile(locked, named) {
		lock.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return lock, nil
}
