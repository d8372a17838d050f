package mome

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// Segment is a named range of shared memory, mapped in this process at the
// address that it has in every other one. The handles of one segment share one
// mapping, which lives until the last of them is closed.
type Segment struct {
	node    *Node
	mapping *mapping
	created bool
	closed  atomic.Bool
}

// PageSize is the size of a page in bytes: what moves between the nodes. What
// different nodes store to in one page, they take from each other again and again.
const PageSize = addr.PageSize

// mapping is one segment in this process. The table of its Node owns it.
type mapping struct {
	key     segmentKey
	first   addr.PageNum
	pages   int64
	size    int64
	view    *memory.View // set before a Segment has the mapping
	users   int          // open Segments; guarded by Node.mapping
	removed atomic.Bool  // the cluster took the segment away
	closed  atomic.Bool  // it is not mapped any more, or about to be unmapped
}

// SegmentInfo is a segment of the cluster, mapped here or not.
type SegmentInfo struct {
	Name       string
	Size       int64   // bytes
	Addr       uintptr // in every process
	Generation uint64  // tells the lives of one name apart
	Home       Home
	Temporary  bool // it ends with the process that has created it
}

// Create makes a segment of size bytes, in whole pages, zero to begin with, and
// maps it. The error wraps ErrExists if the name is taken, and ErrBaseTaken if
// something of this process lies at the segment's addresses: then, and wherever
// else mapping it fails, the segment is in the cluster all the same. It wraps
// ErrNoSpace, and the name is free, if a limit of the node or of this process is
// met: the error says which.
//
// Names are decided in one place, the cluster's configuration store. So Create,
// Open, OpenOrCreate and Remove take effect one after the other, whichever nodes
// they are called on: who calls Open after a Remove has returned, on whatever
// node, does not find what was removed. When the store does not answer they fail with
// ErrUnavailable; segments that are mapped go on.
func (n *Node) Create(ctx context.Context, name string, size int64, opts ...SegmentOption) (*Segment, error) {
	s, err := n.create(ctx, name, size, opts, true)
	if err != nil {
		return nil, wrap(n.explain(ctx, err, theStore()), "mome: create segment %s", client.Quote(name))
	}
	return s, nil
}

// create is Create. A segment that has no room in this process or at its node is
// removed again if undo is set.
func (n *Node) create(ctx context.Context, name string, size int64, opts []SegmentOption, undo bool) (*Segment, error) {
	if err := client.ValidName(name); err != nil {
		return nil, err
	}
	if size < 1 || size > addr.Space {
		return nil, fmt.Errorf("%w: %d bytes; a segment has 1 to %d", ErrBadSize, size, addr.Space)
	}
	attrs, err := attributes(opts)
	if err != nil {
		return nil, err
	}
	reply, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_Create{
		Create: &attachpb.Create{Name: name, Size: uint64(size), Attributes: attrs},
	}})
	if err != nil {
		return nil, err
	}
	s, err := n.mapSegment(ctx, reply.GetSegment())
	switch {
	case err == nil:
		s.created = true
		return s, nil
	case errors.Is(err, ErrRemoved), undo && errors.Is(err, ErrNoSpace) && n.remove(ctx, name, reply.GetSegment().GetRef().GetGeneration()) == nil:
		return nil, err
	}
	return nil, fmt.Errorf("%w; the new segment is in the cluster all the same: Open maps it, Remove takes it away", err)
}

// Open maps a segment that exists. The error wraps ErrNotFound if none does,
// ErrRemoved if it was removed before it was mapped, and ErrBaseTaken if something
// of this process lies at its addresses.
func (n *Node) Open(ctx context.Context, name string) (*Segment, error) {
	s, err := n.open(ctx, name, 0)
	if err != nil {
		return nil, wrap(n.explain(ctx, err, theStore()), "mome: open segment %s", client.Quote(name))
	}
	return s, nil
}

// open is Open of a segment that must have the size, in whole pages, unless that
// is zero.
func (n *Node) open(ctx context.Context, name string, size int64) (*Segment, error) {
	if err := client.ValidName(name); err != nil {
		return nil, err
	}
	reply, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: name}}})
	if err != nil {
		return nil, err
	}
	whole := (size + addr.PageSize - 1) &^ (addr.PageSize - 1)
	if found := int64(reply.GetSegment().GetSize()); size != 0 && found != whole {
		return nil, fmt.Errorf("%w: it exists with %d bytes, not %d; remove it or choose another name", ErrBadSize, found, size)
	}
	return n.mapSegment(ctx, reply.GetSegment())
}

// maxTurns is how often OpenOrCreate finds that others were faster.
const maxTurns = 100

// OpenOrCreate opens the segment, or creates it if there is none. All processes
// of a program may call it at once: one of them creates it, and [Segment.Created]
// tells which. The error wraps ErrBadSize if the segment exists with another size,
// in whole pages.
//
// Others may create and remove the segment meanwhile: OpenOrCreate begins again.
// If they do so a hundred times, it gives up, and the error wraps ErrExists or
// ErrRemoved, whichever it met last. It wraps ErrRemoved as well if the segment
// that this call has made was removed before it was mapped: a call makes one at
// most.
func (n *Node) OpenOrCreate(ctx context.Context, name string, size int64, opts ...SegmentOption) (*Segment, error) {
	s, err := n.openOrCreate(ctx, name, size, opts)
	if err != nil {
		return nil, wrap(n.explain(ctx, err, theStore()), "mome: open or create segment %s", client.Quote(name))
	}
	return s, nil
}

func (n *Node) openOrCreate(ctx context.Context, name string, size int64, opts []SegmentOption) (s *Segment, err error) {
	if size < 1 || size > addr.Space {
		return nil, fmt.Errorf("%w: %d bytes; a segment has 1 to %d", ErrBadSize, size, addr.Space)
	}
	for range maxTurns {
		s, err = n.open(ctx, name, size)
		if errors.Is(err, ErrNotFound) {
			// Where it cannot be mapped here, others may have it all the same.
			s, err = n.create(ctx, name, size, opts, false)
			if errors.Is(err, ErrRemoved) {
				// To make another one would be a second effect of one call.
				return nil, fmt.Errorf("%w: it was made, and another process removed it at once", err)
			}
		}
		if !errors.Is(err, ErrExists) && !errors.Is(err, ErrRemoved) {
			return s, err
		}
	}
	return nil, fmt.Errorf("%w: others have created and removed it %d times meanwhile: let them agree who does, or choose another name", err, maxTurns)
}

// mapSegment returns a handle of the segment, mapping it if it is not mapped.
func (n *Node) mapSegment(ctx context.Context, info *attachpb.Segment) (*Segment, error) {
	if info == nil || info.GetPages() > uint64(addr.Pages) || info.GetSize() > info.GetPages()<<addr.PageShift ||
		!n.base.Holds(addr.PageNum(info.GetFirstPage()), int64(info.GetPages())) {
		return nil, fmt.Errorf("%w: a segment that cannot be: %v", client.ErrMalformed, info)
	}
	n.mapping.Lock()
	defer n.mapping.Unlock()
	key := keyOf(info.GetRef())
	n.mu.Lock()
	m, closed := n.mappings[key], n.closed
	if closed {
		n.mu.Unlock()
		return nil, ErrClosed
	}
	if m == nil {
		m = &mapping{
			key:   key,
			first: addr.PageNum(info.GetFirstPage()),
			pages: int64(info.GetPages()),
			size:  int64(info.GetSize()),
		}
		if old := n.inTheWay(m); old != nil {
			n.mu.Unlock()
			return nil, fmt.Errorf("%w: segment %q (removed) is still mapped at %#x: close it first", ErrBaseTaken, old.key.name, n.base.Addr(old.first))
		}
		// In the table before the node knows, so that no news of it is lost.
		n.mappings[key] = m
		n.places.Set(m.first, m)
	}
	n.mu.Unlock()
	if m.view == nil {
		if err := n.attach(ctx, m); err != nil {
			n.forget(m)
			return nil, err
		}
	}
	m.users++
	return &Segment{node: n, mapping: m}, nil
}

// inTheWay is a mapping of this process that has some of m's addresses; nil if
// there is none. Its segment was removed: else no other one would lie there.
// Preconditions: n.mu is held.
func (n *Node) inTheWay(m *mapping) *mapping {
	var found *mapping
	n.places.Descend(addr.PageNum(int64(m.first)+m.pages-1), func(_ addr.PageNum, o *mapping) bool {
		if int64(m.first) < int64(o.first)+o.pages {
			found = o
		}
		return false
	})
	return found
}

func (n *Node) forget(m *mapping) {
	n.mu.Lock()
	delete(n.mappings, m.key)
	n.places.Delete(m.first)
	n.mu.Unlock()
}

// attach maps the segment and has the node serve its faults.
func (n *Node) attach(ctx context.Context, m *mapping) (err error) {
	// Whatever became of the requests, the node is to forget a mapping that did
	// not come about.
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_, _ = n.call(ctx, unmapRequest(m)) // err says what is wrong
		}
	}()
	reply, fds, err := n.client.Call(ctx, &attachpb.Request{Body: &attachpb.Request_Map{
		Map: &attachpb.Map{Segment: m.key.ref()},
	}})
	if err != nil {
		return err
	}
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	if reply.GetMapped() == nil {
		return fmt.Errorf("%w: %T in answer to Map", client.ErrMalformed, reply.Body)
	}
	view, err := memory.Map(fds[0], n.base, m.first, m.pages)
	if limits.Short(err) {
		return fmt.Errorf("%w: this program: %w", ErrNoSpace, limits.Explain(err))
	}
	if err != nil {
		return err
	}
	_, _, err = n.client.Call(ctx, &attachpb.Request{Body: &attachpb.Request_Registered{
		Registered: &attachpb.Registered{Segment: m.key.ref()},
	}}, view.Uffd())
	if err != nil {
		return errors.Join(err, view.Close())
	}
	m.view = view
	return nil
}

// unmap takes the segment out of this process. It is closed afterwards, unless the
// kernel refuses: then it is as before.
// Preconditions: Node.mapping is held.
func (m *mapping) unmap() error {
	m.closed.Store(true)
	err := m.view.Close()
	if m.view.Bytes() != nil {
		m.closed.Store(false)
	}
	return err
}

// unmapped tells the node of a mapping that is closed. The node forgets it before
// the table does: the segment can be mapped again only after that.
// Preconditions: n.mapping is held.
func (n *Node) unmapped(m *mapping) error {
	_, err := n.call(context.Background(), unmapRequest(m))
	n.forget(m)
	return err
}

func unmapRequest(m *mapping) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_Unmap{Unmap: &attachpb.Unmap{Segment: m.key.ref()}}}
}

// Segments lists the cluster's segments by name.
func (n *Node) Segments(ctx context.Context) ([]SegmentInfo, error) {
	var all []SegmentInfo
	after := ""
	for {
		reply, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_List{List: &attachpb.List{After: after}}})
		if err != nil {
			return nil, wrap(n.explain(ctx, err, theStore()), "mome: list segments")
		}
		page := reply.GetSegments()
		for _, s := range page.GetSegments() {
			after = s.GetRef().GetName()
			all = append(all, SegmentInfo{
				Name:       after,
				Size:       int64(s.GetSize()),
				Addr:       n.base.Addr(addr.PageNum(s.GetFirstPage())),
				Generation: s.GetRef().GetGeneration(),
				Home:       Home(s.GetAttributes().GetHome()),
				Temporary:  s.GetAttributes().GetTemporary(),
			})
		}
		if !page.GetMore() || len(page.GetSegments()) == 0 {
			return all, nil
		}
	}
}

// Remove takes a segment away from the cluster, whoever has it mapped, and
// returns when the name is free. Accesses to the segment raise SIGBUS on each
// node as soon as it has heard of that, on other nodes a little later than on
// this one. Until then they find the pages that the node has, and what is
// stored to these is lost.
func (n *Node) Remove(ctx context.Context, name string) error {
	if err := client.ValidName(name); err != nil {
		return wrap(err, "mome: remove segment")
	}
	return wrap(n.explain(ctx, n.remove(ctx, name, 0), theStore()), "mome: remove segment %s", client.Quote(name))
}

// remove is Remove of one generation of the name, or of whichever it has (0).
func (n *Node) remove(ctx context.Context, name string, generation uint64) error {
	_, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: name, Generation: generation}}})
	return err
}

// Name is the segment's name.
func (s *Segment) Name() string { return s.mapping.key.name }

// Size is the segment's size in bytes: what it was created with, in whole pages of
// 4,096.
func (s *Segment) Size() int64 { return s.mapping.size }

// Created says whether the call that returned this Segment has made it: true of
// Create, and of OpenOrCreate in one of those processes that called it for a
// segment that there was not. That one may fill it for the others, which wait at a
// barrier.
func (s *Segment) Created() bool { return s.created }

// Addr is where the segment lies, in every process.
func (s *Segment) Addr() uintptr { return s.node.base.Addr(s.mapping.first) }

// Bytes is the segment's memory. It must not be used after Close of the segment or
// of its Node; from then on Bytes is nil.
func (s *Segment) Bytes() []byte {
	if s.closed.Load() || s.mapping.closed.Load() {
		return nil
	}
	size := s.mapping.size
	return s.mapping.view.Bytes()[:size:size]
}

// Close unmaps the segment, unless another handle of it is open in this
// process. The segment and its contents stay in the cluster. If the kernel refuses
// to unmap it, the handle is as before.
func (s *Segment) Close() error {
	n, m := s.node, s.mapping
	n.mapping.Lock()
	defer n.mapping.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	m.users--
	if m.users > 0 || m.closed.Load() {
		return nil
	}
	err := m.unmap()
	if !m.closed.Load() {
		m.users++
		s.closed.Store(false)
	} else {
		err = errors.Join(err, n.unmapped(m))
	}
	return wrap(err, "mome: close segment %q", s.Name())
}

// check tells whether bytes [off, off+n) can be asked for.
func (s *Segment) check(off, n int64) error {
	switch {
	case s.closed.Load(), s.mapping.closed.Load():
		return errSegmentClosed
	case s.mapping.removed.Load():
		return ErrRemoved
	case off < 0 || n < 0 || off > s.mapping.size || n > s.mapping.size-off:
		return fmt.Errorf("%w: %d bytes from %d on are not within its %d", ErrInvalid, n, off, s.mapping.size)
	}
	return nil
}

func (s *Segment) op(name string, off, n int64, op func(*attachpb.Range) error) error {
	err := s.check(off, n)
	if err == nil && n > 0 {
		err = op(&attachpb.Range{Segment: s.mapping.key.ref(), Offset: uint64(off), Length: uint64(n)})
	}
	return wrap(err, "mome: %s segment %s", name, client.Quote(s.Name()))
}

// Prefault makes the pages of bytes [off, off+n) present, with the right to
// write if write is set, and returns when they are. It waits in a system call:
// other goroutines and the garbage collector go on meanwhile. Another node may
// take a page away again before it is used; then an access waits as usual. Where
// no node's memory has room for the pages the error is ErrNoSpace.
func (s *Segment) Prefault(off, n int64, write bool) error {
	return s.op("prefault", off, n, func(r *attachpb.Range) error {
		if s.node.client.Welcome().Limited {
			// A fault would wait for room without an end.
			if _, err := s.node.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_Prefault{
				Prefault: &attachpb.Prefault{Range: r, Write: write}}}); err != nil {
				return err
			}
		}
		err := s.mapping.view.Populate(off, n, write)
		if errors.Is(err, memory.ErrPoisoned) {
			return s.whyPoisoned(r, err)
		}
		return err
	})
}

// whyPoisoned is what it means that pages of the segment are poisoned: it was
// removed, or their data is lost. The news of a removal comes after the poison,
// but the node knows: it is asked for something that costs nothing.
func (s *Segment) whyPoisoned(r *attachpb.Range, poisoned error) error {
	ask := &attachpb.Range{Segment: r.Segment, Offset: r.Offset, Length: 1}
	_, err := s.node.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_WriteBack{WriteBack: &attachpb.WriteBack{Range: ask}}})
	if errors.Is(err, ErrRemoved) || errors.Is(err, ErrClusterFailed) || errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrLost, poisoned)
}

// Prefetch asks the node to fetch the pages of bytes [off, off+n), with the
// right to write if write is set, and returns at once. It is a hint.
func (s *Segment) Prefetch(off, n int64, write bool) error {
	return s.PrefetchAll(Hint{off, n, write})
}

// Hint is a range of a segment's bytes that the process is going to load from,
// or to store to.
type Hint struct {
	Offset, Length int64
	Write          bool
}

// PrefetchAll is Prefetch of several ranges, some hundreds as one message: what the
// node must ask another for them goes out together.
func (s *Segment) PrefetchAll(hints ...Hint) error {
	all, err := s.prefetch(hints)
	for _, p := range all {
		if err == nil {
			err = wrap(s.node.client.Post(&attachpb.Request{Body: &attachpb.Request_Prefetch{Prefetch: p}}), "mome: prefetch segment %q", s.Name())
		}
	}
	return err
}

// hintBytes bounds the hints of one message: the rest of a packet is for what is
// round about them, a barrier's name included.
const hintBytes = client.MaxPacket - 1024

// prefetch is the hints as messages, as many in each as fit; none where there is
// nothing to fetch, or with an error.
func (s *Segment) prefetch(hints []Hint) (all []*attachpb.Prefetch, err error) {
	room := 0
	for _, h := range hints {
		if err := s.op("prefetch", h.Offset, h.Length, func(r *attachpb.Range) error {
			p := &attachpb.Prefetch{Range: r, Write: h.Write}
			size := proto.Size(p) + 4 // within another message it has a tag and a length
			if size > room {
				all, room = append(all, p), hintBytes-size
				return nil
			}
			last := all[len(all)-1]
			last.More = append(last.More, p)
			room -= size
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// WriteBack brings what this node has stored to bytes [off, off+n) to the homes
// of the pages, and returns when it is there. The node keeps its copies. Where a
// home's memory has no room for them the error is ErrNoSpace.
func (s *Segment) WriteBack(ctx context.Context, off, n int64) error {
	return s.op("write back", off, n, func(r *attachpb.Range) error {
		_, err := s.node.call(ctx, &attachpb.Request{Body: &attachpb.Request_WriteBack{WriteBack: &attachpb.WriteBack{Range: r}}})
		return err
	})
}

// Drop writes bytes [off, off+n) back and gives up the node's copies of their
// pages. The next access fetches them again.
func (s *Segment) Drop(ctx context.Context, off, n int64) error {
	return s.op("drop", off, n, func(r *attachpb.Range) error {
		_, err := s.node.call(ctx, &attachpb.Request{Body: &attachpb.Request_Drop{Drop: &attachpb.Drop{Range: r}}})
		return err
	})
}
