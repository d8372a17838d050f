package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

var someRef = &attachpb.SegmentRef{Name: "grid", Generation: 7}

// everyRequest is one request of each kind, by the descriptors it carries.
func everyRequest() map[*attachpb.Request]int {
	rank := uint32(3)
	span := &attachpb.Range{Segment: someRef, Offset: 4096, Length: 1 << 40}
	return map[*attachpb.Request]int{
		{Id: 1, Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: 1, Program: "sor", Pid: 42, Rank: &rank}}}: 0,
		{Id: 2, Body: &attachpb.Request_Create{Create: &attachpb.Create{
			Name: "grid", Size: 1 << 44, Attributes: &attachpb.Attributes{Home: attachpb.Home_HOME_BLOCK},
		}}}: 0,
		{Id: 3, Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: "grid"}}}:                                                          0,
		{Id: 4, Body: &attachpb.Request_List{List: &attachpb.List{After: "a"}}}:                                                            0,
		{Id: 5, Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: "grid"}}}:                                                    0,
		{Id: 6, Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: someRef}}}:                                                         0,
		{Id: 7, Body: &attachpb.Request_Registered{Registered: &attachpb.Registered{Segment: someRef}}}:                                    1,
		{Id: 8, Body: &attachpb.Request_Unmap{Unmap: &attachpb.Unmap{Segment: someRef}}}:                                                   0,
		{Id: 9, Body: &attachpb.Request_Prefetch{Prefetch: &attachpb.Prefetch{Range: span, Write: true}}}:                                  0,
		{Id: 21, Body: &attachpb.Request_Prefault{Prefault: &attachpb.Prefault{Range: span, Write: true}}}:                                 0,
		{Id: 10, Body: &attachpb.Request_WriteBack{WriteBack: &attachpb.WriteBack{Range: span}}}:                                           0,
		{Id: 11, Body: &attachpb.Request_Drop{Drop: &attachpb.Drop{Range: span}}}:                                                          0,
		{Id: 12, Body: &attachpb.Request_LockAcquire{LockAcquire: &attachpb.LockAcquire{Name: "l", Try: true, TimeoutNs: 5}}}:              0,
		{Id: 13, Body: &attachpb.Request_LockRelease{LockRelease: &attachpb.LockRelease{Name: "l", Fence: 9}}}:                             0,
		{Id: 14, Body: &attachpb.Request_LockCancel{LockCancel: &attachpb.LockCancel{Request: 12}}}:                                        0,
		{Id: 15, Body: &attachpb.Request_BarrierJoin{BarrierJoin: &attachpb.BarrierJoin{Name: "b", Party: 1, Parties: 2}}}:                 0,
		{Id: 16, Body: &attachpb.Request_BarrierWait{BarrierWait: &attachpb.BarrierWait{Name: "b", Party: 1, Parties: 2, Round: 1 << 63}}}: 0,
		{Id: 20, Body: &attachpb.Request_BarrierWait{BarrierWait: &attachpb.BarrierWait{
			Name: "b", Parties: 2, Round: 1, Prefetch: &attachpb.Prefetch{Range: span, More: []*attachpb.Prefetch{{Range: span, Write: true}}},
		}}}: 0,
		{Id: 17, Body: &attachpb.Request_BarrierLeave{BarrierLeave: &attachpb.BarrierLeave{Name: "b", Party: 1}}}:                                                               0,
		{Id: 19, Body: &attachpb.Request_Clock{Clock: &attachpb.Clock{}}}:                                                                                                       0,
		{Id: 18, Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}}:                                                                                                       0,
		{Id: 21, Body: &attachpb.Request_Explain{Explain: &attachpb.Explain{What: &attachpb.Explain_Barrier{Barrier: &attachpb.BarrierSeat{Name: "b", Party: 1, Parties: 2}}}}}: 0,
	}
}

func everyReply() map[*attachpb.Reply]int {
	segment := &attachpb.Segment{Ref: someRef, FirstPage: 1, Pages: 2, Size: 8000, Attributes: &attachpb.Attributes{}}
	return map[*attachpb.Reply]int{
		{Id: 1, Body: &attachpb.Reply_Error{Error: &attachpb.Error{Code: attachpb.Code_CODE_EXISTS, Message: "m"}}}: 0,
		{Id: 2, Body: &attachpb.Reply_Done{Done: &attachpb.Done{}}}:                                                 0,
		{Id: 3, Body: &attachpb.Reply_Welcome{Welcome: &attachpb.Welcome{
			Version: 1, Node: 65535, Incarnation: 1, Nodes: 2, Cluster: "c", Base: 0x2000_0000_0000, PageSize: 4096,
		}}}: 1,
		{Id: 4, Body: &attachpb.Reply_Segment{Segment: segment}}:                                                                         0,
		{Id: 5, Body: &attachpb.Reply_Segments{Segments: &attachpb.Segments{Segments: []*attachpb.Segment{segment}, More: true}}}:        0,
		{Id: 6, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}:                                                                1,
		{Id: 7, Body: &attachpb.Reply_Lock{Lock: &attachpb.Lock{Fence: 1, OwnerDied: true}}}:                                             0,
		{Id: 8, Body: &attachpb.Reply_Counters{Counters: &attachpb.Counters{Counters: []*attachpb.Counter{{Name: "faults", Value: 1}}}}}: 0,
		{Id: 9, Body: &attachpb.Reply_Clock{Clock: &attachpb.ClockReading{Clock: "a", Reference: "b", OffsetNs: -5, BoundNs: 7}}}:        0,
		{Body: &attachpb.Reply_ClusterFailed{ClusterFailed: &attachpb.ClusterFailed{Reason: "r"}}}:                                       0,
		{Id: 10, Body: &attachpb.Reply_Explanation{Explanation: &attachpb.Explanation{Text: "t"}}}:                                       0,
		{Body: &attachpb.Reply_Waiting{Waiting: &attachpb.Waiting{Waits: "w"}}}:                                                          0,
		{Body: &attachpb.Reply_SegmentRemoved{SegmentRemoved: &attachpb.SegmentRemoved{Segment: someRef}}}:                               0,
	}
}

func TestRequestRoundTrip(t *testing.T) {
	kinds := map[string]bool{}
	for want, fds := range everyRequest() {
		kinds[fmt.Sprintf("%T", want.Body)] = true
		packet, err := EncodeRequest(want)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		got, err := DecodeRequest(packet, fds)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("request changed on the way (-sent +read):\n%s", diff)
		}
		if _, err := DecodeRequest(packet, fds+1); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T with %d descriptors: %v, want ErrMalformed", want.Body, fds+1, err)
		}
	}
	if want := new(attachpb.Request).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len(); len(kinds) != want {
		t.Errorf("%d kinds of request are tested, of %d", len(kinds), want)
	}
}

func TestReplyRoundTrip(t *testing.T) {
	kinds := map[string]bool{}
	for want, fds := range everyReply() {
		kinds[fmt.Sprintf("%T", want.Body)] = true
		packet, err := EncodeReply(want)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		got, err := DecodeReply(packet, fds)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("reply changed on the way (-sent +read):\n%s", diff)
		}
		if _, err := DecodeReply(packet, fds+1); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T with %d descriptors: %v, want ErrMalformed", want.Body, fds+1, err)
		}
	}
	if want := new(attachpb.Reply).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len(); len(kinds) != want {
		t.Errorf("%d kinds of reply are tested, of %d", len(kinds), want)
	}
}

// later is a message with an id and a body that this version does not know.
func later(id uint64) []byte {
	packet, _ := proto.Marshal(&attachpb.Request{Id: id})
	return append(packet, 0xfa, 0x3e, 0x00) // field 1007, length-delimited, empty
}

func TestDecodeRequestRefuses(t *testing.T) {
	encoded := func(r *attachpb.Request) []byte {
		b, _ := proto.Marshal(r)
		return b
	}
	for _, c := range []struct {
		name   string
		packet []byte
		want   error
	}{
		{"noise", []byte{0xff, 0xff, 0xff}, ErrMalformed},
		{"truncated", encoded(&attachpb.Request{Id: 1, Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: "abc"}}})[:5], ErrMalformed},
		{"no id", encoded(&attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}}), ErrMalformed},
		{"no body", encoded(&attachpb.Request{Id: 1}), ErrMalformed},
		{"later body", later(1), ErrUnsupported},
		{"later body, no id", later(0), ErrMalformed},
		{"map without segment", encoded(&attachpb.Request{Id: 1, Body: &attachpb.Request_Map{Map: &attachpb.Map{}}}), ErrMalformed},
		{"prefetch behind a barrier without segment", encoded(&attachpb.Request{Id: 1, Body: &attachpb.Request_BarrierWait{
			BarrierWait: &attachpb.BarrierWait{Name: "b", Parties: 2, Prefetch: &attachpb.Prefetch{Range: &attachpb.Range{Segment: someRef}, More: []*attachpb.Prefetch{{}}}}}}), ErrMalformed},
		{"drop without range", encoded(&attachpb.Request{Id: 1, Body: &attachpb.Request_Drop{Drop: &attachpb.Drop{}}}), ErrMalformed},
		{"not UTF-8", encoded2(), ErrMalformed},
	} {
		if _, err := DecodeRequest(c.packet, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	long := &attachpb.Request{Id: 1, Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: strings.Repeat("x", MaxPacket)}}}
	if _, err := EncodeRequest(long); !errors.Is(err, ErrMalformed) {
		t.Errorf("encoding more than a packet: %v, want ErrMalformed", err)
	}
}

// encoded2 is an Open of a name that is not UTF-8.
func encoded2() []byte {
	return []byte{0x08, 1, 0x22, 3, 0x0a, 1, 0xff}
}

func TestValidName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "grid/1": true, "zwölf": true, strings.Repeat("x", MaxName): true,
		"": false, "a\nb": false, "\x7f": false, "\xff": false, strings.Repeat("x", MaxName+1): false,
	} {
		if err := ValidName(name); (err == nil) != ok {
			t.Errorf("ValidName(%q) = %v, want ok = %v", name, err, ok)
		} else if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("ValidName(%q) = %v, which is not ErrInvalid", name, err)
		}
	}
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	for _, c := range codeErrors {
		sent := fmt.Errorf("%w: segment %q", c.err, "grid")
		got := &Error{Code: CodeOf(sent), Message: messageOf(sent)}
		if !errors.Is(got, c.err) || got.Error() != sent.Error() {
			t.Errorf("%v arrived as %v", sent, got)
		}
	}
	if want, all := len(codeErrors), len(attachpb.Code_name)-1; want != all {
		t.Errorf("%d codes have an error, of %d", want, all)
	}
	if got := (&Error{Code: 9999, Message: "news"}); !errors.Is(got, ErrInternal) {
		t.Errorf("an unknown code is %v, want ErrInternal", got)
	}
	if CodeOf(errors.New("x")) != attachpb.Code_CODE_INTERNAL {
		t.Error("an error of no code is not INTERNAL")
	}
}

// FuzzAttach gives both decoders a packet. What decodes must encode, and decode
// to the same message.
func FuzzAttach(f *testing.F) {
	for r, fds := range everyRequest() {
		packet, _ := EncodeRequest(r)
		f.Add(packet, fds)
	}
	for r, fds := range everyReply() {
		packet, _ := EncodeReply(r)
		f.Add(packet, fds)
	}
	f.Add(later(1), 0)
	f.Fuzz(func(t *testing.T, packet []byte, fds int) {
		if len(packet) > MaxPacket/4 {
			return // an encoding may be longer than what it was decoded from
		}
		if req, err := DecodeRequest(packet, fds); err == nil {
			again, err := EncodeRequest(req)
			if err != nil {
				t.Fatalf("decoded, but not encoded: %v", err)
			}
			got, err := DecodeRequest(again, fds)
			if err != nil || !proto.Equal(req, got) {
				t.Fatalf("%v became %v (%v)", req, got, err)
			}
		}
		if rep, err := DecodeReply(packet, fds); err == nil {
			again, err := EncodeReply(rep)
			if err != nil {
				t.Fatalf("decoded, but not encoded: %v", err)
			}
			got, err := DecodeReply(again, fds)
			if err != nil || !proto.Equal(rep, got) {
				t.Fatalf("%v became %v (%v)", rep, got, err)
			}
		}
	})
}
