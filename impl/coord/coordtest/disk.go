package coordtest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own, in memory, for tests of what happens when it
// is full.
type Disk struct {
	tb testing.TB
	// Path is where it is.
	Path    string
	ballast string
}

// MountDisk mounts one of a size such as 8m below /tmp, which ends with the test.
// It needs what nodes need, root: where that must be there, it is a failure if it
// is not.
func MountDisk(tb testing.TB, size string) *Disk {
	tb.Helper()
	path, err := os.MkdirTemp("/tmp", "md")
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mount("mome-test", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size="+size); err != nil {
		os.Remove(path)
		if os.Getenv("MOME_REQUIRE_UFFD") == "1" {
			tb.Fatalf("MOME_REQUIRE_UFFD=1, and no file system can be mounted: %v", err)
		}
		tb.Skipf("no file system can be mounted: %v; run as root", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			tb.Errorf("unmount %s: %v", path, err)
		}
		os.Remove(path)
	})
	return &Disk{tb: tb, Path: path, ballast: filepath.Join(path, "ballast")}
}

// Fill leaves no more than so many bytes free.
func (d *Disk) Fill(free int64) {
	d.tb.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(d.Path, &s); err != nil {
		d.tb.Fatal(err)
	}
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer f.Close()
	more := int64(s.Bavail)*s.Bsize - free
	if _, err := io.CopyN(f, zeros{}, more); err != nil && !errors.Is(err, unix.ENOSPC) {
		d.tb.Fatal(err)
	}
}

// Free takes away what Fill has put there.
func (d *Disk) Free() {
	d.tb.Helper()
	if err := os.Remove(d.ballast); err != nil {
		d.tb.Fatal(err)
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
