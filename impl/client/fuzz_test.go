package client

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// script is a conversation as the fuzzer writes it: packets, each behind two
// bytes that say how long it is, and one whose lowest bits say how many
// descriptors go with it.
func script(packets ...[]byte) (b []byte) {
	for _, p := range packets {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p)))
		b = append(append(b, 0), p...)
	}
	return b
}

// scripted is what a script says, at most so many packets that all fit into the
// buffers of a socket.
func scripted(b []byte) (packets [][]byte, fds []int) {
	for len(b) >= 3 && len(packets) < 32 {
		n := min(int(binary.LittleEndian.Uint16(b)), len(b)-3, 1<<10)
		packets, fds = append(packets, b[3:3+n]), append(fds, int(b[2]&1))
		b = b[3+n:]
	}
	return packets, fds
}

// expected is what a node makes of the packets: the requests that it takes, up to
// the one that ends the conversation, and the error of that.
func expected(packets [][]byte, fds []int) (requests []*attachpb.Request, end error) {
	greeted := false
	for i, p := range packets {
		if len(p) == 0 {
			return requests, io.EOF
		}
		req, err := DecodeRequest(p, fds[i])
		hello := req.GetHello()
		switch {
		case errors.Is(err, ErrUnsupported) && greeted:
			continue
		case errors.Is(err, ErrUnsupported):
			return requests, ErrUnsupported
		case err != nil, (hello == nil) != greeted:
			return requests, ErrMalformed
		case hello != nil && hello.Version != Version:
			return requests, ErrVersion
		}
		greeted = true
		requests = append(requests, req)
	}
	return requests, io.EOF
}

// FuzzConversation is an application that sends what it likes. The node takes
// what the rules allow, ends the conversation at the first violation, and keeps
// no descriptor of what it refused.
func FuzzConversation(f *testing.F) {
	hello, err := EncodeRequest(&attachpb.Request{Id: 1, Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: Version}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add(script(hello))
	f.Add(script(hello, nil, hello))
	f.Add(script(hello, hello))
	f.Add(script(hello, later(7)))
	f.Add(script(later(7)))
	var all [][]byte
	for r := range everyRequest() {
		packet, err := EncodeRequest(r)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, packet)
	}
	f.Add(script(append([][]byte{hello}, all...)...))
	f.Add(script(all...))
	f.Fuzz(func(t *testing.T, text []byte) {
		packets, fds := scripted(text)
		wantRequests, wantEnd := expected(packets, fds)

		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[1])
		file := os.NewFile(uintptr(pair[0]), "node")
		inner, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := newConn(inner.(*net.UnixConn), Peer{}, helloTime)
		inner.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The descriptor that goes along is one end of a pipe: the other end
		// tells when nobody has it any more.
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pipe[0])
		for i, p := range packets {
			var rights []byte
			if fds[i] > 0 && len(p) > 0 { // Sendmsg would make the packet longer
				rights = unix.UnixRights(pipe[1])
			}
			if err := unix.Sendmsg(pair[1], p, rights, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		unix.Close(pipe[1])
		if err := unix.Shutdown(pair[1], unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}

		var end error
		for n := 0; ; n++ {
			req, got, err := conn.ReadRequest()
			if err != nil {
				end = err
				if n != len(wantRequests) {
					t.Errorf("%d requests were taken, want %d", n, len(wantRequests))
				}
				break
			}
			closeAll(got)
			if n >= len(wantRequests) || !proto.Equal(req, wantRequests[n]) {
				t.Fatalf("request %d is %v, want %v", n, req, wantRequests)
			}
		}
		if !errors.Is(end, wantEnd) {
			t.Errorf("the conversation ends with %v, want %v", end, wantEnd)
		}
		conn.Close()
		if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("somebody has the descriptor still: %d, %v", n, err)
		}
	})
}
