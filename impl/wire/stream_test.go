package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// pieces is a byteStream that gives its bytes in pieces, of the lengths in turn.
type pieces struct {
	bytes   []byte
	lengths []byte // of a piece, less one; empty: all at once
	turn    int
}

func (s *pieces) readv(bufs [][]byte) (int, error) {
	if len(s.bytes) == 0 {
		return 0, io.EOF
	}
	limit := len(s.bytes)
	if len(s.lengths) > 0 {
		limit = min(limit, int(s.lengths[s.turn%len(s.lengths)])+1)
		s.turn++
	}
	n := 0
	for _, b := range bufs {
		k := copy(b, s.bytes[n:limit])
		if n += k; k < len(b) {
			break
		}
	}
	s.bytes = s.bytes[n:]
	return n, nil
}

func (*pieces) trySend([][]byte, int) (int, error) { return 0, nil }
func (*pieces) send([][]byte, int) (int, error)    { return 0, io.ErrClosedPipe }
func (*pieces) shut()                              {}
func (*pieces) close()                             {}

// delivery is one frame as the handler gets it.
type delivery struct {
	Frame Frame
	Seq   uint64
}

// collector is a Handler that keeps what it gets.
type collector struct {
	l          *Link
	deliveries []delivery
}

func (*collector) Up(addr.NodeID)          {}
func (*collector) Down(addr.NodeID, error) {}

func (c *collector) Deliver(_ addr.NodeID, f *Frame) {
	d := delivery{Seq: c.l.received.Load()}
	d.Frame.Messages = append(d.Frame.Messages, f.Messages...)
	d.Frame.Syncs = append(d.Frame.Syncs, f.Syncs...)
	d.Frame.After = append(d.Frame.After, f.After...)
	for _, p := range f.Pages {
		d.Frame.Pages = append(d.Frame.Pages, append([]byte(nil), p...))
	}
	c.deliveries = append(c.deliveries, d)
}

// readStream reads a connection to its end: what was delivered, and why it ended.
func readStream(stream *pieces, in ends) ([]delivery, error) {
	c := new(collector)
	c.l = &Link{mesh: &Mesh{version: version, cfg: Config{Handler: c}}, in: in}
	f := &framed{stream: stream, buf: make([]byte, readBuffer)}
	err := f.read(&pipe{l: c.l})
	return c.deliveries, err
}

// appendFrame appends a frame as a framed connection carries it.
func appendFrame(b []byte, h *header, f *Frame) []byte {
	head, payload := encode(h, f), bytes.Join(f.Pages, nil)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, head...), payload...)
}

// FuzzStream reads any bytes as what comes over a connection after its
// handshake, in pieces of any lengths. However they come, the same frames are
// delivered, numbered without a gap, and the connection ends for the same
// reason; and what is delivered, encoded again, is delivered again.
func FuzzStream(f *testing.F) {
	in := ends{1, 1, 2, 1}
	frame := func(seq uint64, f Frame) []byte {
		for i := range f.Messages {
			f.Pages[i] = bytes.Repeat([]byte{byte(seq)}, addr.PageSize)
		}
		return appendFrame(nil, &header{seq: seq, ends: in}, &f)
	}
	one, none := sample(), Frame{}
	two := sample()
	two.Messages = append(two.Messages, two.Messages[0])
	two.Pages = make([][]byte, 2)
	stream := append(append(frame(1, one), frame(2, two)...), frame(0, none)...)
	f.Add(stream, []byte(nil))
	f.Add(stream, []byte{0})
	f.Add(stream, []byte{255, 7, 100})
	f.Add(append(stream, frame(2, two)...), []byte{9})
	f.Add(append(stream, frame(4, one)...), []byte{200})
	f.Add(stream[:len(stream)-1], []byte{30})
	failed := appendFrame(nil, &header{ends: in, control: wirepb.Control_FAILED, cause: 1, reason: "r"}, &none)
	f.Add(append(stream, failed...), []byte{11})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, []byte{3})
	f.Fuzz(func(t *testing.T, stream, lengths []byte) {
		want, wantErr := readStream(&pieces{bytes: stream}, in)
		got, err := readStream(&pieces{bytes: stream, lengths: lengths}, in)
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("in pieces: %s", cmp.Diff(want, got))
		}
		for _, kind := range []error{io.EOF, io.ErrUnexpectedEOF, ErrMalformed, ErrLeft, ErrPeerFailed} {
			if errors.Is(err, kind) != errors.Is(wantErr, kind) {
				t.Fatalf("in pieces it ends with %v, at once with %v", err, wantErr)
			}
		}
		var again []byte
		for i := range want {
			if want[i].Seq != uint64(i+1) {
				t.Fatalf("frame %d follows frame %d", want[i].Seq, i)
			}
			again = appendFrame(again, &header{seq: want[i].Seq, ends: in}, &want[i].Frame)
		}
		second, err := readStream(&pieces{bytes: again, lengths: lengths}, in)
		if err != io.EOF {
			t.Fatalf("what was delivered, encoded again: %v", err)
		}
		if !reflect.DeepEqual(want, second) {
			t.Fatalf("what was delivered, encoded again: %s", cmp.Diff(want, second))
		}
	})
}
