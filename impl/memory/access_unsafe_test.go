//go:build linux

package memory

import (
	"syscall"
	"unsafe"
)

// rawForkAndTouch forks and loads a byte in the child, which exits with it.
//
//go:norace
//go:nosplit
func rawForkAndTouch(p *byte) (int, syscall.Errno) {
	all, old := ^uint64(0), uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		b := *p
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(b), 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	return int(pid), errno
}

// plainStore and plainLoad are one access and no more. Under the race detector
// an atomic store begins with a load, which faults on its own.
//
//go:norace
//go:noinline
func plainStore(p *uint64, v uint64) { *p = v }

//go:norace
//go:noinline
func plainLoad(p *uint64) uint64 { return *p }

// mincore says of each page of mem whether it has memory.
func mincore(mem, present []byte) syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, addressOf(mem), uintptr(len(mem)), uintptr(unsafe.Pointer(unsafe.SliceData(present))))
	return errno
}
