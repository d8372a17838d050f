package node

import (
	"context"
	"errors"
	"testing"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/coord"
)

func createTemporary(name string) *attachpb.Request {
	r := create(name)
	r.GetCreate().Attributes = &attachpb.Attributes{Temporary: true}
	return r
}

func opens(name string) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: name}}}
}

// TestTemporary: a temporary segment ends with the attachment that has created it,
// and no other does; one that the name has later stays.
func TestTemporary(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	owner, other := foreignAt(t, nodes[0]), foreignAt(t, nodes[1])
	if s := owner.must(t, createTemporary("t")).GetSegment(); !s.Attributes.Temporary {
		t.Errorf("%v is not temporary", s)
	}
	owner.must(t, createTemporary("again"))
	owner.must(t, create("stays"))
	other.must(t, createTemporary("other"))
	other.must(t, opens("t"))
	other.must(t, &attachpb.Request{Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: "again"}}})
	other.must(t, create("again"))
	owner.close()
	await(t, "the temporary segment is gone", func() bool {
		reply, _, err := other.call(opens("t"))
		return err != nil && reply.GetError().GetCode() == attachpb.Code_CODE_NOT_FOUND
	})
	other.must(t, create("t"))
	for _, name := range []string{"again", "stays", "other"} {
		other.must(t, opens(name))
	}
}

// TestTemporaryStale: a temporary segment whose owner has ended is in nobody's way at
// its node, which has not come to remove it.
func TestTemporaryStale(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	ctx := context.Background()
	f := foreignAt(t, n)
	// What a node has not come to yet.
	if _, err := n.config.Create(ctx, "stale", 1, coord.Attrs{Owner: "node 0, attachment 99"}); err != nil {
		t.Fatal(err)
	}
	// An owner at another node is not this one's to judge.
	if _, err := n.config.Create(ctx, "far", 1, coord.Attrs{Owner: "node 7, attachment 99"}); err != nil {
		t.Fatal(err)
	}
	f.must(t, createTemporary("stale"))
	f.must(t, opens("stale"))
	f.must(t, opens("far"))
	if _, err := n.config.Create(ctx, "unseen", 1, coord.Attrs{Owner: "node 0, attachment 99"}); err != nil {
		t.Fatal(err)
	}
	if reply, _, err := f.call(opens("unseen")); err == nil || reply.GetError().GetCode() != attachpb.Code_CODE_NOT_FOUND {
		t.Errorf("a stale segment is found: %v, %v", reply, err)
	}
}

// TestDisown: the segment of an owner goes, one of somebody else stays, and what was
// planned before is not committed after.
func TestDisown(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	ctx := context.Background()
	if _, err := n.config.Create(ctx, "a", 1, coord.Attrs{Owner: "x"}); err != nil {
		t.Fatal(err)
	}
	before, err := n.store.Get(ctx, "head")
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"y", "x", "x"} {
		if err := n.config.Disown(ctx, "a", owner); err != nil {
			t.Fatal(err)
		}
		after, err := n.store.Get(ctx, "head")
		if err != nil || after.ModRev <= before.ModRev {
			t.Fatalf("the head is of revision %d after %d, %v", after.ModRev, before.ModRev, err)
		}
		before = after
		if _, there := n.config.View().Segment("a"); there != (owner == "y") {
			t.Errorf("after the end of %s it is there: %v", owner, there)
		}
	}
	if err := n.config.Remove(ctx, "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Error(err)
	}
}
