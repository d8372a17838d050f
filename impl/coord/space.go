package coord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrDiskFull: the disk under the configuration store has no room for it. Nothing
// but the store needs any: memory, locks and barriers go on.
var ErrDiskFull = errors.New("mome: no disk space for the configuration store")

const (
	// SpaceToBegin is how many bytes an embedded store must find free to begin
	// in an empty directory: two segments of its log, its data, and SpaceToChange.
	SpaceToBegin = 4 << 20
	// SpaceToChange is how many must be free for a change. One may need the next
	// segment of the log; the rest is for what etcd does by itself later.
	SpaceToChange = walSegment + walSegment/2
)

// disk is what a file system has left for this user.
type disk struct {
	bytes  uint64
	inodes bool // there are some
}

// freeDisk looks at the file system of a directory, or of the nearest one on
// the way to it that is there; tests have others.
var freeDisk = func(dir string) (disk, error) {
	for {
		var s unix.Statfs_t
		err := unix.Statfs(dir, &s)
		up := filepath.Dir(dir)
		switch {
		case err == unix.EINTR:
		case err != nil && up != dir:
			dir = up // what is wrong with it shows when it is made
		case err != nil:
			return disk{}, fmt.Errorf("look at the free space in %s: %w", dir, err)
		case s.Blocks == 0:
			return disk{bytes: 1 << 62, inodes: true}, nil // one that does not say
		default:
			// Some file systems have no number of inodes.
			return disk{s.Bavail * uint64(s.Bsize), s.Ffree > 0 || s.Files == 0}, nil
		}
	}
}

// FreeSpace is how many bytes are free where a directory is, or will be.
func FreeSpace(dir string) (uint64, error) {
	d, err := freeDisk(dir)
	return d.bytes, err
}

// CheckSpace says whether an embedded store can begin in a directory, which need
// not be there: ErrDiskFull if it cannot.
func CheckSpace(dir string) error { return checkSpace(dir, SpaceToBegin, "the store needs") }

func checkSpace(dir string, least uint64, who string) error {
	switch d, err := freeDisk(dir); {
	case err != nil:
		return err
	case !d.inodes:
		return fmt.Errorf("%w: %s: its file system has no free inode: delete files there", ErrDiskFull, dir)
	case d.bytes < least:
		return fmt.Errorf("%w: %s: %d KiB are free on its file system, and %s %d KiB: delete files there",
			ErrDiskFull, dir, d.bytes>>10, who, least>>10)
	}
	return nil
}

// shortages are what the system says when a file cannot grow.
var shortages = [...]syscall.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}

// trimSparse cuts a file where its last byte is, on a file system in memory
// (tmpfs): there, to map what lies behind allots it, and etcd maps all of its
// data when it starts, of which many MiB are room for later.
func trimSparse(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		return err
	}
	end := int64(0)
	for {
		data, err := unix.Seek(int(file.Fd()), end, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return file.Truncate(end) // no more data
		}
		if err != nil {
			return err
		}
		if end, err = unix.Seek(int(file.Fd()), data, unix.SEEK_HOLE); err != nil {
			return err
		}
	}
}
