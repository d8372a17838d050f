package e2e

import (
	"syscall"
	"unsafe"
)

// rawFork forks a child that loads the byte, if there is one, and exits with it,
// or, if it is to stay, sleeps until it is killed, for an hour at most. It makes
// no other use of Go: signals are blocked in it, so that a SIGSEGV kills it.
//
//go:norace
//go:nosplit
func rawFork(touch *byte, stay bool) (int, syscall.Errno) {
	all, old := ^uint64(0), uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		var b byte
		if touch != nil {
			b = *touch
		}
		if stay {
			hour := syscall.Timespec{Sec: 3600}
			syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&hour)), 0, 0)
		}
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(b), 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	return int(pid), errno
}

// asBytes is the memory of words.
func asBytes(w []int64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w)*8)
}
