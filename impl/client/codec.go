package client

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"google.golang.org/protobuf/proto"
)

const (
	// Version of the attach protocol that this package speaks.
	Version = 1
	// MaxPacket bounds a packet, in bytes, in both directions.
	MaxPacket = 64 << 10
	// MaxName bounds the name of a segment, lock or barrier, in bytes.
	MaxName = 255
	// maxFds bounds the descriptors of one packet. No message has more than one.
	maxFds = 4
)

// ValidName tells whether a segment, lock or barrier may have the name: 1 to
// MaxName bytes of UTF-8 without control characters.
func ValidName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalid)
	case len(name) > MaxName:
		return fmt.Errorf("%w: a name of %d bytes; the limit is %d", ErrInvalid, len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the name %q is not UTF-8", ErrInvalid, name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%w: the name %q has a control character", ErrInvalid, name)
		}
	}
	return nil
}

// Quote is a name for a message: quoted, and of one that is too long to be a name the
// beginning and its length.
func Quote(name string) string {
	const shown = 40
	if len(name) <= MaxName {
		return strconv.Quote(name)
	}
	return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(name[:shown], ""), len(name))
}

// EncodeRequest is the packet of a request.
func EncodeRequest(req *attachpb.Request) ([]byte, error) { return encode(req) }

// EncodeReply is the packet of a reply.
func EncodeReply(rep *attachpb.Reply) ([]byte, error) { return encode(rep) }

func encode(m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(b) > MaxPacket {
		return nil, fmt.Errorf("%w: a message of %d bytes; the limit is %d", ErrMalformed, len(b), MaxPacket)
	}
	return b, nil
}

// DecodeRequest reads a packet that carried fds descriptors. The error wraps
// ErrMalformed, or ErrUnsupported for a request of a later version, which is
// returned too, for its id.
//
// Postconditions: the id is not zero, the body is set, every message inside it
// that the protocol requires is present, and the number of descriptors is the
// body's. Names and numbers are what the application sent: not checked.
func DecodeRequest(packet []byte, fds int) (*attachpb.Request, error) {
	req := new(attachpb.Request)
	if err := proto.Unmarshal(packet, req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if req.Id == 0 {
		return nil, fmt.Errorf("%w: a request without an id", ErrMalformed)
	}
	want, missing := 0, false
	switch b := req.Body.(type) {
	case nil:
		if len(req.ProtoReflect().GetUnknown()) == 0 {
			return nil, fmt.Errorf("%w: a request without a body", ErrMalformed)
		}
		return req, fmt.Errorf("%w (request %d)", ErrUnsupported, req.Id)
	case *attachpb.Request_Map:
		missing = b.Map.GetSegment() == nil
	case *attachpb.Request_Registered:
		missing, want = b.Registered.GetSegment() == nil, 1
	case *attachpb.Request_Unmap:
		missing = b.Unmap.GetSegment() == nil
	case *attachpb.Request_Prefetch:
		missing = incomplete(b.Prefetch)
	case *attachpb.Request_BarrierWait:
		missing = b.BarrierWait.GetPrefetch() != nil && incomplete(b.BarrierWait.Prefetch)
	case *attachpb.Request_Prefault:
		missing = b.Prefault.GetRange().GetSegment() == nil
	case *attachpb.Request_WriteBack:
		missing = b.WriteBack.GetRange().GetSegment() == nil
	case *attachpb.Request_Drop:
		missing = b.Drop.GetRange().GetSegment() == nil
	}
	if missing {
		return nil, fmt.Errorf("%w: %T without a segment", ErrMalformed, req.Body)
	}
	if fds != want {
		return nil, fmt.Errorf("%w: %T with %d descriptors, not %d", ErrMalformed, req.Body, fds, want)
	}
	return req, nil
}

// incomplete says whether one of the ranges names no segment.
func incomplete(p *attachpb.Prefetch) bool {
	return p.GetRange().GetSegment() == nil || slices.ContainsFunc(p.More, incomplete)
}

// DecodeReply reads a packet that carried fds descriptors. The error wraps
// ErrMalformed. An event of a later version, which the application may ignore,
// is a Reply with id zero and no body.
func DecodeReply(packet []byte, fds int) (*attachpb.Reply, error) {
	rep := new(attachpb.Reply)
	if err := proto.Unmarshal(packet, rep); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	want, missing := 0, false
	switch b := rep.Body.(type) {
	case nil:
		if rep.Id != 0 {
			return nil, fmt.Errorf("%w: a reply without a body", ErrMalformed)
		}
		want = fds
	case *attachpb.Reply_Welcome, *attachpb.Reply_Mapped:
		want = 1
	case *attachpb.Reply_Segment:
		missing = b.Segment.GetRef() == nil
	case *attachpb.Reply_Segments:
		for _, s := range b.Segments.GetSegments() {
			missing = missing || s.GetRef() == nil
		}
	case *attachpb.Reply_SegmentRemoved:
		missing = b.SegmentRemoved.GetSegment() == nil
	}
	if missing {
		return nil, fmt.Errorf("%w: %T without a segment's name", ErrMalformed, rep.Body)
	}
	if fds != want {
		return nil, fmt.Errorf("%w: %T with %d descriptors, not %d", ErrMalformed, rep.Body, fds, want)
	}
	return rep, nil
}
