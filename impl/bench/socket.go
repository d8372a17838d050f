package bench

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// blocking takes a connection's descriptor out of the runtime's poller and
// closes the connection.
func blocking(c net.Conn) (int, error) {
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// The poller's descriptor shares the mode.
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func dialBlocking(address string) (int, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return -1, err
	}
	return blocking(c)
}

func readAll(fd int, buf []byte) error {
	for len(buf) > 0 {
		k, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case k == 0:
			return io.EOF
		}
		buf = buf[k:]
	}
	return nil
}

func writeAll(fd int, buf []byte) error {
	for len(buf) > 0 {
		k, err := unix.Write(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		buf = buf[k:]
	}
	return nil
}

// socketPair is the socket between two neighbours, for their descriptor
// socketFD. It is a stream of bytes; the two ends block.
func socketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

func sendFile(socket, fd int) error {
	return unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fd), nil, 0)
}

func receiveFile(socket int) (int, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(socket, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, err
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return -1, err
		}
		if len(messages) != 1 {
			return -1, fmt.Errorf("%d control messages instead of a descriptor", len(messages))
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return -1, err
		}
		return fds[0], nil
	}
}
