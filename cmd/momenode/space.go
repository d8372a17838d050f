package main

import "golang.org/x/sys/unix"

// reserve maps addresses for a moment, without memory behind them, as a program
// would map a segment there.
func reserve(start, size uintptr) error {
	at, _, errno := unix.Syscall6(unix.SYS_MMAP, start, size, unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED_NOREPLACE, ^uintptr(0), 0)
	if errno != 0 {
		return errno
	}
	_, _, errno = unix.Syscall(unix.SYS_MUNMAP, at, size, 0)
	if errno != 0 {
		return errno
	}
	if at != start {
		return unix.EEXIST
	}
	return nil
}
