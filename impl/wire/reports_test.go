package wire

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestReports says that of a host that is refused again and again a few reports
// come at once, and then one from time to time, which counts the others.
func TestReports(t *testing.T) {
	var r reports
	now := time.Unix(0, 0)
	told := func(host string, times int) (n int) {
		for i := range times {
			if r.add(fmt.Sprintf("%s:%d", host, i), ErrToken, now) {
				n++
			}
		}
		return n
	}
	expectDue := func(want ...int) {
		t.Helper()
		due := r.due(now)
		if len(due) != len(want) {
			t.Fatalf("%d reports, expected %d", len(due), len(want))
		}
		for i, d := range due {
			if d.times != want[i] || d.err != ErrToken {
				t.Errorf("%+v, expected %d times", d, want[i])
			}
		}
	}
	if n := told("10.0.0.1", 100); n != reportsAtOnce {
		t.Errorf("%d at once", n)
	}
	if n := told("10.0.0.2", 2); n != 2 {
		t.Errorf("another host: %d at once", n)
	}
	expectDue()
	now = now.Add(reportTime)
	expectDue(100 - reportsAtOnce)
	if n := told("10.0.0.1", 50); n != 0 {
		t.Errorf("%d at once of one that goes on", n)
	}
	now = now.Add(reportTime)
	expectDue(50)
	now = now.Add(reportTime)
	expectDue()
	if len(r.hosts) > 0 {
		t.Errorf("%d hosts are left", len(r.hosts))
	}
	for i := range 10 * maxReported {
		told(fmt.Sprintf("host%d", i), 1)
	}
	if n := len(r.hosts); n != maxReported+1 {
		t.Errorf("%d hosts", n)
	}
	now = now.Add(reportTime)
	expectDue(9*maxReported - reportsAtOnce)
}

// TestRefusedCounts says that what was counted is told in the end.
func TestRefusedCounts(t *testing.T) {
	n := startNode(t, TCP, 1)
	const more = 5
	for range reportsAtOnce + more {
		n.Mesh.refused("10.0.0.1:1", ErrHandshake)
	}
	for range reportsAtOnce {
		await(t, n.refused, "a refusal")
	}
	n.tellCounted(time.Now().Add(reportTime))
	err := await(t, n.refused, "the others")
	if !errors.Is(err, ErrHandshake) || err.Error() != fmt.Sprintf("%d connections, the last: %v", more, ErrHandshake) {
		t.Error(err)
	}
}
