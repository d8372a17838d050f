package coord

import "fmt"

// Drafts is the configuration of a cluster without a store: one author makes one
// view of the other, by the plans that a Config commits. A simulator takes the
// views of its nodes from it. Nothing of it is shared between threads.
type Drafts struct{ view *View }

// NewDrafts is a cluster without members and segments.
func NewDrafts(c Cluster) (*Drafts, error) {
	c.complete()
	if err := c.check(); err != nil {
		return nil, err
	}
	v, err := newView([]Entry{{Key: keyCluster, Value: encode(c), ModRev: 1}, {Key: keyHead, Value: encode(head{Epoch: 1}), ModRev: 1}}, 1)
	if err != nil {
		return nil, err
	}
	return &Drafts{v}, nil
}

// View is the last view.
func (d *Drafts) View() *View { return d.view }

// Create makes a view with one segment more: Config.Create.
func (d *Drafts) Create(name string, pages uint64, attrs Attrs) (Segment, error) {
	attrs, err := d.view.checkSegment(name, pages, attrs)
	if err != nil {
		return Segment{}, err
	}
	h := d.view.head
	s, ops, err := d.view.create(&h, name, pages, attrs)
	if err != nil {
		return Segment{}, err
	}
	return s, d.commit(h, ops)
}

// Remove makes a view without a segment: Config.Remove.
func (d *Drafts) Remove(name string) error {
	ops, err := d.view.remove(name, 0)
	if err != nil {
		return err
	}
	return d.commit(d.view.head, ops)
}

func (d *Drafts) commit(h head, ops []Op) error {
	next, err := d.view.after(Event{Rev: d.view.Rev + 1, Ops: append(ops, Put(keyHead, encode(h)))})
	if err != nil {
		return fmt.Errorf("draft of a view: %w", err)
	}
	d.view = next
	return nil
}
