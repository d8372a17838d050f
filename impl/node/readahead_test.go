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

// TestStreamWindows follows a process from page to page: what is asked for at
// each fault that it has.
func TestStreamWindows(t *testing.T) {
	// asked is the pages that a fault asks for beyond all that were asked for
	// before, where at most so many windows are granted.
	asked := func(s *stream, p addr.PageNum, granted int) int64 {
		before := max(s.next, int64(p)+1)
		if !s.reach(p, minRun) {
			return 0
		}
		for ; granted > 0 && s.room(); granted-- {
			s.next += s.window()
		}
		return s.next - before
	}
	const all = 100
	for _, c := range []struct {
		name    string
		write   bool
		faults  []addr.PageNum
		granted int
		want    []int64
	}{
		{"reads", false, []addr.PageNum{10, 11, 12, 13, 21, 29, 45, 77, 141, 269}, all, []int64{0, 0, 8, 8, 24, 36, 72, 144, 292, 512}},
		{"stores", true, []addr.PageNum{10, 11, 12, 13, 21, 29, 45, 77}, all, []int64{0, 0, 8, 8, 24, 36, 18, 27}},
		{"windows are refused", false, []addr.PageNum{10, 11, 12, 13, 14}, 0, []int64{0, 0, 0, 0, 0}},
		{"the last pages of all", false, []addr.PageNum{1<<32 - 3, 1<<32 - 2, 1<<32 - 1}, all, []int64{0, 0, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stream{last: c.faults[0], live: true, write: c.write}
			for i, p := range c.faults {
				if got := asked(&s, p, c.granted); got != c.want[i] {
					t.Errorf("fault %d, page %d: %d more pages, want %d (%+v)", i, p, got, c.want[i], s)
				}
				limit := int64(maxAhead)
				if c.write {
					limit = maxWriteAhead
				}
				if beyond := s.next - int64(p) - 1; s.ahead > 0 && (beyond < 0 || beyond > limit) {
					t.Errorf("fault %d, page %d: %d pages beyond it", i, p, beyond)
				}
			}
		})
	}
}

// After windows that were refused the process goes on where it is, and so does
// the stream.
func TestStreamAfterRefusal(t *testing.T) {
	s := stream{last: 10, run: 1, live: true}
	for p := addr.PageNum(11); p < 20; p++ {
		s.reach(p, minRun)
	}
	if !s.room() || s.next != 20 {
		t.Errorf("the next window begins at %d, want 20 (%+v)", s.next, s)
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
