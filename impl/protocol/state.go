package protocol

import (
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
)

// AppendState appends the state of one manager as a JSON object: the fields of
// the spec's mgr[m] (root and intermediates), or of leaf[l].
func (s *Shard) AppendState(b []byte, p addr.PageNum, at addr.Place) []byte {
	if at.Tag == addr.Leaf {
		return s.appendLeaf(b, p)
	}
	id := addr.ID(p, at)
	d := s.directories.get(id)
	if at.Tag == addr.Root {
		d.right = Write
	}
	t := s.transactions.get(id)
	if t == nil {
		t = &transaction{}
	}
	return appendManager(b, &d, t, at.Tag == addr.Root)
}

func appendManager(b []byte, d *directory, t *transaction, root bool) []byte {
	b = append(b, `{"right":"`...)
	b = append(b, d.right.String()...)
	b = append(b, `","marked":[`...)
	first := true
	for c := range MaxFanout {
		if d.marked&(1<<c) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = strconv.AppendInt(b, int64(c), 10)
	}
	b = append(b, `],"owner":`...)
	b = strconv.AppendInt(b, int64(d.ownerChild()), 10)
	b = append(b, `,"ownerRight":"`...)
	b = append(b, d.ownerRight.String()...)
	b = append(b, '"')
	if root {
		b = append(b, `,"home":"`...)
		b = append(b, d.home.String()...)
		b = append(b, '"')
	}
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, d.version, 10)
	if t.busy.op != OpNone {
		b = append(b, `,"busy":{"op":"`...)
		b = append(b, t.busy.op.String()...)
		b = append(b, `","child":`...)
		b = strconv.AppendInt(b, int64(t.busy.child), 10)
		b = append(b, `,"leaf":`...)
		b = strconv.AppendInt(b, int64(t.busy.leaf), 10)
		b = append(b, `,"have":"`...)
		b = append(b, t.busy.have.String()...)
		b = append(b, `","source":"`...)
		b = append(b, t.busy.source.String()...)
		b = append(b, `","up":`...)
		b = strconv.AppendBool(b, t.busy.climbing)
		b = append(b, `,"wait":`...)
		b = strconv.AppendUint(b, t.busy.wait, 10)
		b = append(b, `,"waitHome":`...)
		b = strconv.AppendBool(b, t.busy.waitHome)
		b = append(b, '}')
	}
	if t.recall.active {
		b = append(b, `,"recall":{"keep":"`...)
		b = append(b, t.recall.keep.String()...)
		b = append(b, `","dst":"`...)
		b = append(b, t.recall.dst.String()...)
		b = append(b, `","leaf":`...)
		b = strconv.AppendInt(b, int64(t.recall.leaf), 10)
		b = append(b, `,"wait":`...)
		b = strconv.AppendUint(b, t.recall.wait, 10)
		b = append(b, `,"hit":`...)
		b = strconv.AppendBool(b, t.recall.hit)
		b = append(b, '}')
	}
	if len(t.queue) > 0 {
		b = append(b, `,"queue":[`...)
		for i, w := range t.queue {
			if i > 0 {
				b = append(b, ',')
			}
			if w.recall {
				b = append(b, `{"keep":"`...)
				b = append(b, w.keep.String()...)
				b = append(b, `","dst":"`...)
				b = append(b, w.dst.String()...)
			} else {
				b = append(b, `{"child":`...)
				b = strconv.AppendInt(b, int64(w.child), 10)
				b = append(b, `,"op":"`...)
				b = append(b, w.op.String()...)
				b = append(b, `","have":"`...)
				b = append(b, w.have.String()...)
			}
			b = append(b, `","leaf":`...)
			b = strconv.AppendInt(b, int64(w.leaf), 10)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func (s *Shard) appendLeaf(b []byte, p addr.PageNum) []byte {
	v := s.views.get(p)
	b = append(b, `{"right":"`...)
	b = append(b, v.right.String()...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, v.version, 10)
	if a := s.asks.get(p); a != nil && !a.idle() {
		b = append(b, `,"req":"`...)
		b = append(b, a.op.String()...)
		b = append(b, `","have":"`...)
		b = append(b, a.have.String()...)
		b = append(b, `","arrived":`...)
		b = strconv.AppendBool(b, a.arrived)
	}
	return append(b, '}')
}
