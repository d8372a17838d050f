//go:build linux

package memory

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// Op is one kind of the single steps by which a page's frame changes. The names
// are those of the actions in spec/frame/Frame.tla; Fill is FillBegin and
// FillEnd.
type Op uint8

const (
	OpContinue Op = iota
	OpUnprotect
	OpPoison
	OpWake
	OpFill
	OpCopy
	OpZeroPage
	OpProtect
	OpPunch
)

var opNames = [...]string{"Continue", "Unprotect", "Poison", "Wake", "Fill", "Copy", "ZeroPage", "Protect", "Punch"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Step is one system call that has changed the frames of consecutive pages, or
// has been refused: for each of the pages one step of the specification.
type Step struct {
	Op       Op
	Mapping  *Mapping // nil for Fill and Punch: the step of the whole segment
	Page     addr.PageNum
	Pages    int64
	Writable bool       // Continue, Copy, ZeroPage
	Errno    unix.Errno // the kernel's answer; 0: done
	Content  []byte     // Fill, Copy: of the pages, valid during the call
}

// Observe has f told every step, in their order for each page, by whoever does
// it and before that call returns. What is tried again because the kernel was
// busy (EAGAIN) or refused a range as a whole is one step, with the last answer.
// f must not call the segment. Nil, the default, is nobody: a step then costs a
// comparison.
//
// Preconditions: the segment is not in use yet.
func (s *Segment) Observe(f func(*Step)) { s.observer = f }

// observe tells of a step of the whole segment.
func (s *Segment) observe(op Op, p addr.PageNum, n int64, content []byte, err error) {
	if s.observer == nil {
		return
	}
	errno, _ := err.(unix.Errno)
	s.observer(&Step{Op: op, Page: p, Pages: n, Errno: errno, Content: content})
}

// observe tells of a step on the addresses [at, at+size) of the mapping, with
// the mode that the kernel was given.
func (m *Mapping) observe(op Op, at uintptr, size, mode uint64, content []byte, errno unix.Errno) {
	if m.segment.observer == nil {
		return
	}
	step := Step{Op: op, Mapping: m, Page: m.pageAt(at), Pages: int64(size >> addr.PageShift), Errno: errno, Content: content}
	switch op {
	case OpContinue, OpCopy, OpZeroPage:
		step.Writable = mode == 0
	}
	m.segment.observer(&step)
}

// Number tells the segment's mappings apart: they are counted from 1.
func (m *Mapping) Number() uint64 { return m.number }
