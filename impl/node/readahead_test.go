package node

import (
	"context"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

func TestStreamsFind(t *testing.T) {
	type access struct {
		page    addr.PageNum
		write   bool
		started bool // continues a stream
	}
	for _, c := range []struct {
		name     string
		accesses []access
	}{
		{"neighbours", []access{{10, false, false}, {11, false, true}, {12, false, true}}},
		{"a gap", []access{{10, false, false}, {12, false, false}}},
		{"backwards", []access{{10, false, false}, {9, false, false}}},
		{"stores and loads apart", []access{{10, false, false}, {11, true, false}, {11, false, true}, {12, true, true}}},
		{"two at once", []access{{10, false, false}, {90, false, false}, {11, false, true}, {91, false, true}}},
		{"the oldest gives way", []access{{10, false, false}, {20, false, false}, {30, false, false}, {40, false, false},
			{50, false, false}, {21, false, true}, {11, false, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s streams
			for i, a := range c.accesses {
				got, started := s.find(a.page, a.write)
				if started != a.started {
					t.Errorf("access %d to page %d: started %v, want %v", i, a.page, started, a.started)
				}
				got.last = a.page
			}
		})
	}
}

// A process that is inside the pages it was given ahead continues its stream,
// wherever it faults there.
func TestStreamsFindInsideWindow(t *testing.T) {
	var s streams
	first, _ := s.find(10, false)
	first.ahead, first.next = 16, 27
	if got, started := s.find(19, false); !started || got != first {
		t.Error("a fault on the trigger does not continue the stream")
	}
	if _, started := s.find(28, false); started {
		t.Error("a fault beyond what was asked for continues the stream")
	}
}

func TestFetchingBound(t *testing.T) {
	var f fetching
	f.less.L = &f.mu
	if !f.try(maxFetching) || f.try(1) {
		t.Fatal("the bound is not kept")
	}
	got := make(chan error, 1)
	go func() { got <- f.wait(t.Context(), 2) }()
	f.done()
	select {
	case err := <-got:
		t.Fatalf("two pages fit where one does: %v", err)
	default:
	}
	f.done()
	if err := <-got; err != nil || f.n != maxFetching {
		t.Errorf("%d pages are counted, %v", f.n, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	go func() { got <- f.wait(ctx, 1) }()
	cancel()
	f.recheck()
	if err := <-got; err == nil {
		t.Error("a wait whose context has ended got pages")
	}
}

func TestResidenceQueueIsInOrder(t *testing.T) {
	q := dueQueue{{at: time.Unix(3, 0)}, {at: time.Unix(1, 0)}}
	if q.Less(0, 1) || !q.Less(1, 0) {
		t.Error("the later one comes first")
	}
}
