//go:build linux

package memory

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is the only one that knows the binary interface of userfaultfd.
// Debian 12's headers and x/sys/unix lack most of it, so it is written down
// here, each constant with the kernel release that brought it. The source is
// include/uapi/linux/userfaultfd.h; the numbers are those of the generic ioctl
// encoding (x86-64, arm64, riscv64).

const (
	uffdAPI = 0xAA // 4.3

	ioctlAPI          = 0xC018AA3F // 4.3
	ioctlRegister     = 0xC020AA00 // 4.3
	ioctlWake         = 0x8010AA02 // 4.3
	ioctlCopy         = 0xC028AA03 // 4.3
	ioctlZeropage     = 0xC020AA04 // 4.3
	ioctlWriteprotect = 0xC018AA06 // 5.7
	ioctlContinue     = 0xC020AA07 // 5.13
	ioctlPoison       = 0xC020AA08 // 6.6

	// ioctlDevNew makes a userfaultfd from /dev/userfaultfd (6.1). Its argument
	// is the flags of userfaultfd(2).
	ioctlDevNew = 0xAA00
)

// Features of UFFDIO_API.
const (
	featurePagefaultFlagWP   = 1 << 0  // 5.7
	featureEventFork         = 1 << 1  // 4.11
	featureEventRemap        = 1 << 2  // 4.11
	featureEventRemove       = 1 << 3  // 4.11
	featureMissingShmem      = 1 << 5  // 4.11
	featureEventUnmap        = 1 << 6  // 4.11
	featureSigbus            = 1 << 7  // 4.14
	featureThreadID          = 1 << 8  // 4.14
	featureMinorShmem        = 1 << 10 // 5.14
	featureExactAddress      = 1 << 11 // 5.18
	featureWPHugetlbfsShmem  = 1 << 12 // 5.19
	featurePoison            = 1 << 14 // 6.6
	featureWPAsync           = 1 << 15 // 6.7
	registerModeMissing      = 1 << 0  // 4.3
	registerModeWP           = 1 << 1  // 5.7
	registerModeMinor        = 1 << 2  // 5.13
	modeDontWake             = 1 << 0  // COPY, ZEROPAGE, CONTINUE, POISON
	modeCopyWP               = 1 << 1  // 5.7
	modeContinueWP           = 1 << 1  // 6.4
	modeWriteprotectWP       = 1 << 0  // 5.7
	modeWriteprotectDontWake = 1 << 1  // 5.7
)

// Events and fault flags of a message.
const (
	eventPagefault = 0x12   // 4.3
	eventFork      = 0x13   // 4.11
	faultWrite     = 1 << 0 // 4.3
	faultWP        = 1 << 1 // 5.7
	faultMinor     = 1 << 2 // 5.13
)

// uffdMsg is struct uffd_msg for a page fault. Of the other events only the
// event and, for a fork, the file descriptor in flags' low half are used.
type uffdMsg struct {
	event   uint8
	_       [7]byte
	flags   uint64
	address uint64
	ptid    uint32
	_       uint32
}

const msgSize = 32

var _ [msgSize]byte = [unsafe.Sizeof(uffdMsg{})]byte{}

type apiArg struct{ api, features, ioctls uint64 }

type registerArg struct{ start, len, mode, ioctls uint64 }

type rangeArg struct{ start, len uint64 }

type writeprotectArg struct{ start, len, mode uint64 }

// fillArg is the argument of ZEROPAGE, CONTINUE and POISON: they differ in
// nothing but the ioctl's number.
type fillArg struct {
	start, len, mode uint64
	done             int64
}

type copyArg struct {
	dst  uint64
	src  unsafe.Pointer // never a uintptr: the source may lie on a stack
	len  uint64
	mode uint64
	done int64
}

// ioctl passes the thread to the kernel by way of the Go scheduler, although a
// page operation takes well under a microsecond. The operation takes the
// application's mmap_lock, which the application may hold for milliseconds
// (fork, munmap of a large range). It also allocates pages and page tables,
// which may reclaim. A raw call would hold the P, and with it any
// stop-the-world of the daemon, for as long. The price is 0.05 to 0.1 us of a
// round trip of 3 to 10.
func ioctl(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

// filled tells how far a filling ioctl came. The kernel reports a call that
// stopped half-way as EAGAIN with the bytes that it did, and then the same
// call on the rest says why; an EAGAIN because the mapping is changing leaves
// done at zero or at -EAGAIN.
func filled(length uint64, done int64, errno unix.Errno) (int64, unix.Errno) {
	if errno == 0 {
		return int64(length), 0
	}
	if errno == unix.EAGAIN && done > 0 {
		return done, errno
	}
	return 0, errno
}

func uffdFill(fd int, request uintptr, start uintptr, length, mode uint64) (int64, unix.Errno) {
	arg := fillArg{start: uint64(start), len: length, mode: mode}
	errno := ioctl(fd, request, unsafe.Pointer(&arg))
	return filled(length, arg.done, errno)
}

// uffdCopy copies all of src, whose length is a multiple of the page size.
func uffdCopy(fd int, dst uintptr, src []byte, mode uint64) (int64, unix.Errno) {
	arg := copyArg{dst: uint64(dst), src: unsafe.Pointer(unsafe.SliceData(src)), len: uint64(len(src)), mode: mode}
	errno := ioctl(fd, ioctlCopy, unsafe.Pointer(&arg))
	return filled(arg.len, arg.done, errno)
}

func uffdWriteprotect(fd int, start uintptr, length, mode uint64) unix.Errno {
	arg := writeprotectArg{uint64(start), length, mode}
	return ioctl(fd, ioctlWriteprotect, unsafe.Pointer(&arg))
}

func uffdWake(fd int, start uintptr, length uint64) unix.Errno {
	arg := rangeArg{uint64(start), length}
	return ioctl(fd, ioctlWake, unsafe.Pointer(&arg))
}

func uffdRegister(fd int, start uintptr, length, mode uint64) unix.Errno {
	arg := registerArg{start: uint64(start), len: length, mode: mode}
	return ioctl(fd, ioctlRegister, unsafe.Pointer(&arg))
}

// uffdHandshake fixes the features of a new userfaultfd. With features zero it
// returns all that the kernel has, and the descriptor has none of them.
func uffdHandshake(fd int, features uint64) (uint64, unix.Errno) {
	arg := apiArg{api: uffdAPI, features: features}
	errno := ioctl(fd, ioctlAPI, unsafe.Pointer(&arg))
	return arg.features, errno
}

// uffdOpen makes a full userfaultfd, one that also takes the faults of system
// calls: by the system call, or by the device where that is forbidden. The
// errors are those of both attempts.
func uffdOpen(flags int) (fd int, syscallErr, deviceErr error) {
	r, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, uintptr(flags), 0, 0)
	if errno == 0 {
		return int(r), nil, nil
	}
	dev, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errno, err
	}
	defer unix.Close(dev)
	r, _, devErrno := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), ioctlDevNew, uintptr(flags))
	if devErrno != 0 {
		return -1, errno, devErrno
	}
	return int(r), nil, nil
}

const devicePath = "/dev/userfaultfd"

// uffdRead reads as many waiting messages as fit.
func uffdRead(fd int, msgs []uffdMsg) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs))*msgSize)
	if errno != 0 {
		return 0, errno
	}
	return int(n) / msgSize, 0
}

// mmapShared maps a file shared. With at zero the kernel chooses the place,
// else the mapping is at that address and no other, or EEXIST.
func mmapShared(at uintptr, length int64, prot, fd int) (uintptr, unix.Errno) {
	flags := uintptr(unix.MAP_SHARED | unix.MAP_NORESERVE)
	if at != 0 {
		flags |= unix.MAP_FIXED_NOREPLACE // 4.17
	}
	got, _, errno := unix.Syscall6(unix.SYS_MMAP, at, uintptr(length), uintptr(prot), flags, uintptr(fd), 0)
	if errno == 0 && at != 0 && got != at {
		// A kernel that does not know the flag takes the address for a hint.
		munmap(got, length)
		return 0, unix.EEXIST
	}
	return got, errno
}

// mmapPrivate maps memory that is nobody else's. Nothing is set aside for it, if
// the machine lets memory be promised beyond what it has.
func mmapPrivate(length int64) (uintptr, unix.Errno) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	start, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(length), unix.PROT_READ|unix.PROT_WRITE, flags, ^uintptr(0), 0)
	return start, errno
}

func munmap(start uintptr, length int64) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_MUNMAP, start, uintptr(length), 0)
	return errno
}

func mprotect(start uintptr, length int64, prot int) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_MPROTECT, start, uintptr(length), uintptr(prot))
	return errno
}

func madvise(start uintptr, length int64, advice int) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, start, uintptr(length), uintptr(advice))
	return errno
}

// bytesAt is the memory of a mapping that is not Go's. The slice must not
// outlive the mapping.
func bytesAt(start uintptr, length int64) []byte {
	// Taking the pointer through its address says to vet that this is no
	// pointer arithmetic on a Go object.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&start)), length)
}

// addressOf is where such memory is.
func addressOf(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }
