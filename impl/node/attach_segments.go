package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/internal/limits"
)

func (a *application) reply(id uint64, f func() (*attachpb.Segment, error)) {
	s, err := f()
	if err != nil {
		_ = a.conn.WriteError(id, err)
		return
	}
	_ = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Segment{Segment: s}})
}

// requestTime bounds what waits for the configuration store.
const requestTime = 10 * time.Second

func (a *application) create(c *attachpb.Create) (*attachpb.Segment, error) {
	attrs := coord.Attrs{Home: "spread"}
	switch c.Attributes.GetHome() {
	case attachpb.Home_HOME_UNSPECIFIED, attachpb.Home_HOME_SPREAD:
	case attachpb.Home_HOME_BLOCK:
		attrs.Home = "block"
	default:
		return nil, fmt.Errorf("%w: segment %q: this version has the home policies spread and block", client.ErrInvalid, c.Name)
	}
	base := a.node.config.View().Cluster.Base
	if most := uint64(base.Pages()) << addr.PageShift; c.Size == 0 || c.Size > most {
		return nil, fmt.Errorf("%w: segment %q: %d bytes; a segment has 1 to %d, which the space from %v on has", client.ErrBadSize, c.Name, c.Size, most, base)
	}
	pages := (c.Size + addr.PageSize - 1) >> addr.PageShift
	// Who creates a segment is about to map it. What this node has no room for is
	// refused while the name is free.
	err := a.node.servants.check()
	if err == nil {
		err = memory.CanOpen(int64(pages))
	}
	if err != nil {
		return nil, a.node.noRoom(fmt.Errorf("segment %q: %w", c.Name, err))
	}
	under := a.ctx
	if c.Attributes.GetTemporary() {
		attrs.Owner = a.owner()
		a.mu.Lock()
		a.temporary[c.Name] = true
		a.mu.Unlock()
		under = a.node.ctx // what becomes of it must be known when the program has ended
	}
	ctx, cancel := context.WithTimeout(under, requestTime)
	defer cancel()
	for {
		s, err := a.node.config.Create(ctx, c.Name, pages, attrs)
		if err == nil {
			return describe(s), nil
		}
		taken, ok := a.node.config.View().Segment(c.Name)
		if !errors.Is(err, coord.ErrExists) || !ok || !a.node.stale(taken) {
			return nil, attachError(err)
		}
		if err := a.node.config.Disown(ctx, taken.Name, taken.Owner); err != nil {
			return nil, attachError(err)
		}
	}
}

func (a *application) open(name string) (*attachpb.Segment, error) {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v, err := a.node.config.Sync(ctx)
	if err != nil {
		return nil, attachError(err)
	}
	s, ok := v.Segment(name)
	if ok && a.node.stale(s) {
		if err := a.node.config.Disown(ctx, s.Name, s.Owner); err != nil {
			return nil, attachError(err)
		}
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf("%w: %q; create it first", client.ErrNotFound, name)
	}
	return describe(s), nil
}

func (a *application) remove(r *attachpb.Remove) error {
	if r.Generation > math.MaxUint32 {
		return fmt.Errorf("%w: segment %q of generation %d", client.ErrNotFound, r.Name, r.Generation)
	}
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	return attachError(a.node.config.RemoveGeneration(ctx, r.Name, r.Generation))
}

// listPage is how many segments one answer has: they fit in a packet.
const listPage = 100

func (a *application) list(id uint64, l *attachpb.List) {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v, err := a.node.config.Sync(ctx)
	if err != nil {
		_ = a.conn.WriteError(id, attachError(err))
		return
	}
	answer := new(attachpb.Segments)
	for s := range v.SegmentsAfter(l.After) {
		if answer.More = len(answer.Segments) == listPage; answer.More {
			break
		}
		answer.Segments = append(answer.Segments, describe(s))
	}
	_ = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Segments{Segments: answer}})
}

// share is what an application has of a segment that it maps: nothing until Map
// is answered.
type share struct {
	seg *segment // nil until then; guarded by application.mu
}

// mapSegment answers Map when the store has said that the segment is still there,
// which other requests do not wait for.
func (a *application) mapSegment(id uint64, m *attachpb.Map) bool {
	g, c := m.Segment.Generation, new(share)
	a.mu.Lock()
	_, twice := a.mapped[g]
	if !twice {
		a.mapped[g] = c
	}
	a.mu.Unlock()
	if twice {
		return a.conn.WriteError(id, fmt.Errorf("%w: segment %q is mapped in this process already", client.ErrInvalid, m.Segment.Name)) == nil
	}
	if !a.begun() {
		a.unshare(g, c)
		return a.refuse(id)
	}
	a.perform(func() { a.answerMap(id, m.Segment, c) })
	return true
}

func (a *application) answerMap(id uint64, ref *attachpb.SegmentRef, c *share) {
	seg, err := a.find(ref)
	if err == nil {
		err = a.node.openFrame(seg)
	}
	if err != nil {
		a.unshare(ref.Generation, c)
		_ = a.conn.WriteError(id, err)
		return
	}
	a.mu.Lock()
	wanted := a.mapped[ref.Generation] == c
	if wanted {
		c.seg = seg
	}
	a.mu.Unlock()
	if !wanted {
		a.node.closeFrame(seg)
		_ = a.conn.WriteError(id, fmt.Errorf("%w: segment %q was unmapped before it was mapped", client.ErrCanceled, ref.Name))
		return
	}
	err = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, seg.file.FD())
	if errors.Is(err, client.ErrNoSpace) {
		if a.unshare(ref.Generation, c) {
			a.node.closeFrame(seg)
		}
		_ = a.conn.WriteError(id, a.node.noRoom(err))
	}
}

// unshare takes a share back, and says false where Unmap has done so.
func (a *application) unshare(generation uint64, c *share) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mapped[generation] != c {
		return false
	}
	delete(a.mapped, generation)
	return true
}

// find is this node's part of the segment that the application means.
func (a *application) find(ref *attachpb.SegmentRef) (*segment, error) {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v, err := a.node.config.Sync(ctx)
	if err != nil {
		return nil, attachError(err)
	}
	s, ok := v.Segment(ref.Name)
	if !ok || s.Generation != ref.Generation {
		return nil, fmt.Errorf("%w: %q", client.ErrRemoved, ref.Name)
	}
	seg := a.node.awaitSegment(s)
	if seg == nil {
		return nil, fmt.Errorf("%w: %q", client.ErrRemoved, ref.Name)
	}
	return seg, nil
}

// registered takes the userfaultfd of a mapping and serves it.
func (a *application) registered(r *attachpb.Registered, uffd int) error {
	if err := limits.Spare(uffd); err != nil {
		return a.node.noRoom(fmt.Errorf("segment %q: userfaultfd: %w", r.Segment.Name, err))
	}
	a.mu.Lock()
	var seg *segment
	if c := a.mapped[r.Segment.Generation]; c != nil {
		seg = c.seg
	}
	_, twice := a.mappings[r.Segment.Generation]
	a.mu.Unlock()
	if seg == nil || twice {
		unix.Close(uffd)
		return fmt.Errorf("%w: segment %q: Registered must follow Map, once", client.ErrInvalid, r.Segment.Name)
	}
	var u *memory.Mapping
	var err error
	a.node.changeMappings(seg, trace.Attach, func() *memory.Mapping {
		u, err = seg.file.Attach(uffd, a.title())
		return u
	})
	if limits.Short(err) {
		return a.node.noRoom(fmt.Errorf("segment %q: %w", seg.info.Name, err))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", client.ErrInvalid, err)
	}
	m := &mapping{seg: seg, uffd: u, table: u}
	seg.mu.Lock()
	seg.mappings[m] = a
	seg.mu.Unlock()
	if seg.removed.Load() {
		// Nobody may have told it: the one who removes looked before.
		a.unmap(m)
		return fmt.Errorf("%w: %q", client.ErrRemoved, r.Segment.Name)
	}
	a.mu.Lock()
	a.mappings[uint64(seg.core.Generation)] = m
	a.mu.Unlock()
	a.node.tasks.Add(1)
	go a.node.serveFaults(m)
	return nil
}

func (a *application) unmapSegment(u *attachpb.Unmap) error {
	g := u.Segment.Generation
	a.mu.Lock()
	m := a.mappings[g]
	var seg *segment
	if c := a.mapped[g]; c != nil {
		seg = c.seg
	}
	delete(a.mapped, g)
	delete(a.mappings, g)
	a.mu.Unlock()
	if m != nil {
		a.unmap(m)
	}
	if seg != nil {
		a.node.closeFrame(seg)
	}
	return nil
}

// segmentRemoved tells the application that a segment it has mapped is gone.
func (a *application) segmentRemoved(s *segment) {
	_ = a.conn.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_SegmentRemoved{SegmentRemoved: &attachpb.SegmentRemoved{
		Segment: &attachpb.SegmentRef{Name: s.info.Name, Generation: uint64(s.core.Generation)}}}})
}

func describe(s coord.Segment) *attachpb.Segment {
	home := attachpb.Home_HOME_SPREAD
	if s.Home == "block" {
		home = attachpb.Home_HOME_BLOCK
	}
	return &attachpb.Segment{Ref: &attachpb.SegmentRef{Name: s.Name, Generation: s.Generation},
		FirstPage: uint32(s.First), Pages: s.Pages, Size: s.Pages << addr.PageShift,
		Attributes: &attachpb.Attributes{Home: home, Temporary: s.Owner != ""}}
}
