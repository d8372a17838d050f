package coord

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// temporaryPrefix begins the name of every temporary directory.
const temporaryPrefix = "mome-store-"

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
		// Before the lock was taken, another process may have swept it away.
		if lock := ownDirectory(dir); lock != nil {
			return dir, func() {
				os.RemoveAll(dir)
				lock.Close()
			}, nil
		}
	}
}

// sweepTemporary removes the directories of this user that nobody owns. What
// cannot be removed stays: it is no reason not to start.
func sweepTemporary() {
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	for _, dir := range all {
		if lock := ownDirectory(dir); lock != nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}

// ownDirectory takes the lock of a directory of this user that nobody owns; nil
// if it is not there, or is another's.
func ownDirectory(dir string) *os.File {
	lock, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		// Its last owner may have removed it between the two calls.
		locked, err1 := lock.Stat()
		named, err2 := os.Lstat(dir)
		if err1 == nil && err2 == nil && os.SameFile(locked, named) && int(locked.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() {
			return lock
		}
	}
	lock.Close()
	return nil
}
