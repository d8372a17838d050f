package trace

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
)

// FrameStep is a single step on the frame of a page: an action of
// spec/frame/Frame.tla, whose name it carries. Fill is FillBegin and FillEnd,
// SendData is ReadContent too.
type FrameStep uint8

const (
	frameStepInvalid FrameStep = iota
	// Attach, Exit: a process has mapped a segment, or is gone.
	Attach
	Exit
	// TakeFault: a fault of a process is handled. Expect: a process is to be
	// given a page as if it had faulted.
	TakeFault
	Expect
	// The page goes in, and into one mapping with Copy and ZeroPage.
	Fill
	Copy
	ZeroPage
	// A fault is answered.
	Continue
	Unprotect
	Poison
	Wake
	// A right goes: SendData, the content was read and goes out; SendAck, the
	// acknowledgement does.
	Protect
	SendData
	Punch
	SendAck
)

var frameStepNames = [...]string{"invalid", "Attach", "Exit", "TakeFault", "Expect", "Fill", "Copy", "ZeroPage",
	"Continue", "Unprotect", "Poison", "Wake", "Protect", "SendData", "Punch", "SendAck"}

func (s FrameStep) String() string {
	if int(s) < len(frameStepNames) {
		return frameStepNames[s]
	}
	return fmt.Sprintf("invalid(%d)", uint8(s))
}

// UnmarshalText reads what String writes.
func (s *FrameStep) UnmarshalText(text []byte) error {
	i := slices.Index(frameStepNames[:], string(text))
	if i <= int(frameStepInvalid) {
		return fmt.Errorf("%q is no step", text)
	}
	*s = FrameStep(i)
	return nil
}

// FrameSteps are all steps, in the order of their constants.
func FrameSteps() []FrameStep {
	var all []FrameStep
	for s := frameStepInvalid + 1; int(s) < len(frameStepNames); s++ {
		all = append(all, s)
	}
	return all
}

// carriesContent says whether the step's record has the digest of a content.
func (s FrameStep) carriesContent() bool { return s == Fill || s == Copy || s == SendData }

// ofProcess says whether the step is about the mapping of one process.
func (s FrameStep) ofProcess() bool {
	switch s {
	case Fill, SendData, Punch, SendAck:
		return false
	}
	return true
}

// Step is one step on the frame of a page.
type Step struct {
	Step FrameStep
	// Page is the page; of Attach and Exit the first one of the Pages that the
	// shards of the node share.
	Page  addr.PageNum
	Pages int64 // Attach, Exit
	// Process is the number of the mapping among all that the segment has had
	// on this node, from 1; 0 where the step is about no single mapping.
	Process uint64
	Write   bool   // TakeFault, Expect: to store; Copy, ZeroPage, Continue: stores are let through
	Answer  string // the name of the kernel's error; empty: done
	Digest  Digest // Fill, Copy, SendData
}

// Step records a step on a frame, when it is done and before the next one on
// the same page.
func (l *Log) Step(s *Step) {
	if l == nil {
		return
	}
	l.step(s)
}

func (l *Log) step(s *Step) {
	b, ok := l.begin(addr.Place{Node: l.node, Tag: addr.Leaf})
	if !ok {
		return
	}
	b = appendName(b, `,"step":`, s.Step.String())
	b = appendPage(b, s.Page)
	b = ndjson.AppendUint(b, `,"pages":`, uint64(s.Pages))
	b = ndjson.AppendUint(b, `,"process":`, s.Process)
	if s.Write {
		b = append(b, `,"write":true`...)
	}
	if s.Answer != "" {
		b = appendName(b, `,"answer":`, s.Answer)
	}
	if s.Step.carriesContent() {
		b = appendDigest(b, `,"digest":`, s.Digest)
	}
	l.finish(b)
}

// What a record of a step may hold beside the page and the digest.
type rawStep struct {
	Step    FrameStep `json:"step"`
	Pages   int64     `json:"pages"`
	Process uint64    `json:"process"`
	Write   bool      `json:"write"`
	Answer  string    `json:"answer"`
}

// errorName is the name of an errno; the kernel's number where it has none.
var errorName = regexp.MustCompile(`^(E[A-Z0-9]+|errno [0-9]+)?$`)

// step is the step of a record, without the page.
func (r *rawRecord) step(err *error) *Step {
	s := &Step{Step: r.Step, Pages: r.Pages, Process: r.Process, Write: r.Write, Answer: r.Answer}
	if s.Step.carriesContent() {
		s.Digest = parseDigest(r.Digest, err)
	}
	if *err != nil {
		return s
	}
	switch everywhere := s.Step == Attach || s.Step == Exit; {
	case everywhere != (s.Pages > 0), s.Pages < 0:
		*err = fmt.Errorf("%s of %s pages", s.Step, strconv.FormatInt(s.Pages, 10))
	case s.Step.ofProcess() != (s.Process > 0):
		*err = fmt.Errorf("%s with the process %d", s.Step, s.Process)
	case !errorName.MatchString(s.Answer):
		*err = fmt.Errorf("%q is no answer of the kernel", s.Answer)
	}
	return s
}
