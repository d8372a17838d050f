package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// deaf is a wire.Handler that nothing reaches.
type deaf struct{}

func (deaf) Up(addr.NodeID)                   {}
func (deaf) Down(addr.NodeID, error)          {}
func (deaf) Deliver(addr.NodeID, *wire.Frame) {}

// clockControl is the control service of a node that knows its time only.
type clockControl struct {
	controlpb.UnimplementedControlServer
}

func (clockControl) Clock(context.Context, *controlpb.ClockRequest) (*controlpb.ClockReading, error) {
	return new(controlpb.ClockReading), nil
}

// servePort is a port with links and a control service behind a token.
func servePort(t *testing.T, token string) net.Addr {
	t.Helper()
	port, err := wire.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mesh, err := wire.New(wire.Config{Self: 1, Incarnation: 1, Token: []byte(token), Handler: deaf{}, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(mesh.ServerOptions(), tokenOptions([]byte(token), port, mesh.Report)...)...)
	mesh.Register(server)
	controlpb.RegisterControlServer(server, clockControl{})
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(port.HTTP2()) })
	t.Cleanup(func() {
		_ = mesh.Close()
		server.Stop()
		_ = port.Close()
		served.Wait()
	})
	return port.Addr()
}

func dialPort(t *testing.T, address net.Addr, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+address.String(),
		append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestToken(t *testing.T) {
	address := servePort(t, "secret")
	for _, c := range []struct {
		token string
		want  codes.Code
	}{{"secret", codes.OK}, {"guess", codes.Unauthenticated}, {"", codes.Unauthenticated}} {
		conn := dialPort(t, address, grpc.WithPerRPCCredentials(credentials{[]byte(c.token)}))
		for range 2 {
			if _, err := controlpb.NewControlClient(conn).Clock(t.Context(), new(controlpb.ClockRequest)); status.Code(err) != c.want {
				t.Errorf("token %q: %v, expected %v", c.token, err, c.want)
			}
		}
	}
	if _, err := controlpb.NewControlClient(dialPort(t, address)).Clock(t.Context(), new(controlpb.ClockRequest)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}

// One connection of somebody who does not know the token makes many calls, and
// sends to each as much as it takes: the node keeps next to nothing of it.
func TestTokenBoundsMemory(t *testing.T) {
	const calls, each, most = 64, 1 << 20, 4 << 20
	for name, method := range map[string]string{
		"link": wirepb.Link_Frames_FullMethodName, "control": controlpb.Control_Clock_FullMethodName, "nothing": "/a.B/C",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", servePort(t, "secret").String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var reader sync.WaitGroup
			defer reader.Wait()
			reader.Go(func() { _, _ = io.Copy(io.Discard, conn) })
			defer conn.Close()
			if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
				t.Fatal(err)
			}
			framer := http2.NewFramer(conn, nil)
			if err := framer.WriteSettings(); err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 16<<10)
			binary.BigEndian.PutUint32(data[1:], each) // the length of a message
			before := liveBytes()
			for call := range calls {
				if err := openCall(framer, uint32(2*call+1), method); err != nil {
					break
				}
				for sent := 0; sent < each && err == nil; sent += len(data) {
					err = framer.WriteData(uint32(2*call+1), false, data)
				}
				if grown := liveBytes() - before; grown > most {
					t.Fatalf("%d MiB of %d calls", grown>>20, call+1)
				}
			}
		})
	}
}

// openCall writes the headers of a gRPC call.
func openCall(f *http2.Framer, stream uint32, method string) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "a"},
		{"content-type", "application/grpc+mome"}, {"te", "trailers"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
}

// liveBytes is how many bytes live.
func liveBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCheckToken(t *testing.T) {
	local, mapped := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1}, &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 1}
	remote, remote6 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}
	for _, tc := range []struct {
		from        net.Addr
		token, sent string
		want        codes.Code
	}{
		{local, "", "", codes.OK},
		{mapped, "", "", codes.OK},
		{&net.UnixAddr{Name: "@", Net: "unix"}, "", "", codes.OK},
		{remote, "", "", codes.PermissionDenied},
		{remote6, "", "", codes.PermissionDenied},
		{remote, "a", "a", codes.OK},
		{remote, "a", "", codes.Unauthenticated},
		{local, "a", "b", codes.Unauthenticated},
		{local, "", "b", codes.Unauthenticated},
	} {
		ctx := grpcpeer.NewContext(context.Background(), &grpcpeer.Peer{Addr: tc.from})
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(tokenKey, proof([]byte(tc.sent))))
		err := checkToken(ctx, []byte(tc.token))
		if status.Code(err) != tc.want {
			t.Errorf("from %v, token %q, proof of %q: %v, want %v", tc.from, tc.token, tc.sent, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("no remedy in %v", err)
		}
	}
}
