package wire

import (
	"encoding/binary"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// frontRoom is left free before the messages of a frame for the two lengths
// and the session's part of the header, which are written when it is sent.
const frontRoom = prefixSize + maxFront

// Bounds of what a link keeps for its next frames.
const (
	maxFreePages  = 1024
	maxFreeFrames = 1024
	maxFreeBuffer = 8 << 10
)

// pageBuffer holds one page until the peer has acknowledged it. slice covers
// data: gRPC wants a pointer to a slice.
type pageBuffer struct {
	data  [addr.PageSize]byte
	slice []byte
}

// outFrame is a frame to send, and to send again until it is acknowledged.
// Everything in it is guarded by the link's mutex, but for the bytes of a
// frame that a batch holds: they do not change while refs counts that batch.
type outFrame struct {
	seq   uint64
	buf   []byte // frontRoom, then the encoded messages
	start int    // where the sealed frame begins in buf
	pages []*pageBuffer
	items int // messages and syncs
	msgs  int // page messages among them
	refs  int // the queue, and every batch or gRPC buffer that reads it
}

// size is the length of the sealed frame.
func (f *outFrame) size() int {
	return len(f.buf) - f.start + len(f.pages)*addr.PageSize
}

// seal writes the front of the frame.
func (f *outFrame) seal(h *header) {
	var front [frontRoom]byte
	b := appendHeader(front[:prefixSize], h)
	n := len(b)
	f.start = frontRoom - n
	binary.LittleEndian.PutUint32(b, uint32(n-prefixSize+len(f.buf)-frontRoom))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(f.pages)*addr.PageSize))
	copy(f.buf[f.start:], b)
}

func (f *outFrame) full() bool { return f.items == maxItems }

// queue is a ring of frames: those not yet acknowledged, in order.
type queue struct {
	ring    []*outFrame // its length is a power of two
	head, n int
}

func (q *queue) push(f *outFrame) {
	if q.n == len(q.ring) {
		grown := make([]*outFrame, max(16, 2*len(q.ring)))
		for i := range q.n {
			grown[i] = q.at(i)
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = f
	q.n++
}

func (q *queue) at(i int) *outFrame { return q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) pop() *outFrame {
	f := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return f
}

// batch is what one write hands to a connection.
type batch struct {
	frames []*outFrame
	bufs   [][]byte // of all frames, in order
	size   int      // bytes in bufs
	sent   int      // bytes of them already written
}

// Limits of a batch; one frame always fits.
const (
	maxBatchBuffers = 1000 // below the kernel's UIO_MAXIOV
	maxBatchBytes   = 1 << 20
)

// add adds a sealed frame and says whether it did.
func (b *batch) add(f *outFrame) bool {
	if len(b.frames) > 0 && (len(b.bufs)+1+len(f.pages) > maxBatchBuffers || b.size+f.size() > maxBatchBytes) {
		return false
	}
	f.refs++
	b.frames = append(b.frames, f)
	b.bufs = append(b.bufs, f.buf[f.start:])
	for _, p := range f.pages {
		b.bufs = append(b.bufs, p.slice)
	}
	b.size += f.size()
	return true
}

// cut leaves out the frames of which nothing was written.
func (b *batch) cut() {
	if b.frames[0].seq == 0 {
		return // a control frame
	}
	size, bufs := 0, 0
	for _, f := range b.frames {
		if size >= b.sent {
			break
		}
		size += f.size()
		bufs += 1 + len(f.pages)
	}
	clear(b.bufs[bufs:])
	b.size, b.bufs = size, b.bufs[:bufs]
}

// open is the frame that is being filled, made if there is none.
// Preconditions: l.mu is held.
func (l *Link) openFrame() *outFrame {
	if l.open == nil {
		if n := len(l.freeFrames); n > 0 {
			l.open = l.freeFrames[n-1]
			l.freeFrames = l.freeFrames[:n-1]
		} else {
			l.open = &outFrame{buf: make([]byte, frontRoom, 512)}
		}
		l.open.refs = 1
		l.recent.n = 0
	}
	return l.open
}

// unref gives up one reference to a frame and recycles it after the last.
// Preconditions: l.mu is held.
func (l *Link) unref(f *outFrame) {
	f.refs--
	if f.refs > 0 {
		return
	}
	for i, p := range f.pages {
		if len(l.freePages) < maxFreePages {
			l.freePages = append(l.freePages, p)
		}
		f.pages[i] = nil
	}
	if len(l.freeFrames) >= maxFreeFrames || cap(f.buf) > maxFreeBuffer {
		return
	}
	f.buf, f.pages = f.buf[:frontRoom], f.pages[:0]
	f.seq, f.items, f.msgs = 0, 0, 0
	l.freeFrames = append(l.freeFrames, f)
}

// enqueue closes the open frame: it gets its number and waits to be sent.
// Preconditions: l.mu is held, l.open is not nil.
func (l *Link) enqueue() {
	f := l.open
	l.open = nil
	l.nextSeq++
	f.seq = l.nextSeq
	l.queue.push(f)
}

// Append queues a page message behind everything appended before, to be sent
// at the next Flush (or earlier). page is copied; it is addr.PageSize bytes
// where the message is a Data, else nil. Append
// never blocks. On a link that is down it does nothing.
func (l *Link) Append(m *protocol.Message, page []byte) {
	if !valid(m) || carriesPage(m) != (page != nil) || page != nil && len(page) != addr.PageSize {
		panicAppend(m, page)
	}
	l.mu.Lock()
	l.appended++
	if l.final || l.closing.Load() {
		l.mu.Unlock()
		return
	}
	f := l.openFrame()
	f.buf = appendMessage(f.buf, m, &l.out, &l.recent)
	f.items++
	f.msgs++
	if page != nil {
		var p *pageBuffer
		if n := len(l.freePages); n > 0 {
			p = l.freePages[n-1]
			l.freePages = l.freePages[:n-1]
		} else {
			p = new(pageBuffer)
			p.slice = p.data[:]
		}
		copy(p.data[:], page)
		f.pages = append(f.pages, p)
		l.retained += addr.PageSize
	}
	if f.full() {
		l.enqueue()
	}
	l.mu.Unlock()
}

// AppendSync queues a sync as Append does a page message.
func (l *Link) AppendSync(s *protocol.Sync) {
	if s.Kind == 0 {
		panic("wire: AppendSync of a Sync without a kind")
	}
	l.mu.Lock()
	l.appendedSyncs++
	if l.final || l.closing.Load() {
		l.mu.Unlock()
		return
	}
	f := l.openFrame()
	f.buf = appendSync(f.buf, s, f.msgs, &l.out)
	f.items++
	if f.full() {
		l.enqueue()
	}
	l.mu.Unlock()
}
