package wire

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Whoever reaches the port can be refused as often as he likes, and each time is
// a line in somebody's log. Of one host reportsAtOnce are told as they come; what
// more there is in reportTime is counted, and told as one.
const (
	reportsAtOnce = 8
	reportTime    = 10 * time.Second
	// maxReported hosts are counted each for itself, all others together.
	maxReported = 256
)

// reports bounds what Config.Refused is told.
type reports struct {
	mu    sync.Mutex // guards hosts
	hosts map[string]*reported
}

// reported is a host of which connections were refused not long ago.
type reported struct {
	until   time.Time
	told    int
	counted report // times 0: none
}

// report is what Refused is told: the last refusal of so many.
type report struct {
	remote string
	err    error
	times  int
}

// add takes a refusal, and says whether it is to be told at once.
func (r *reports) add(remote string, err error, now time.Time) bool {
	host, _, e := net.SplitHostPort(remote)
	if e != nil {
		host = remote
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[host]
	if h == nil {
		if len(r.hosts) >= maxReported {
			host = "" // of all others
		}
		if h = r.hosts[host]; h == nil {
			if r.hosts == nil {
				r.hosts = make(map[string]*reported)
			}
			h = &reported{until: now.Add(reportTime)}
			r.hosts[host] = h
		}
	}
	if h.told < reportsAtOnce {
		h.told++
		return true
	}
	h.counted = report{remote, err, h.counted.times + 1}
	return false
}

// due is what was counted and is to be told by now. A host of which nothing was
// counted is as one that was never refused; others are told as one again.
func (r *reports) due(now time.Time) (due []report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for host, h := range r.hosts {
		switch {
		case now.Before(h.until):
		case h.counted.times == 0:
			delete(r.hosts, host)
		default:
			due = append(due, h.counted)
			*h = reported{until: now.Add(reportTime), told: reportsAtOnce}
		}
	}
	return due
}

// refused tells Refused about a connection that was refused. One that broke in its
// handshake was not: a peer has several under way when it was away, of which one
// succeeds.
func (m *Mesh) refused(remote string, err error) {
	if isRefusal(err) {
		m.Report(remote, err)
	}
}

func isRefusal(err error) bool {
	return slices.ContainsFunc(refusals[:], func(r refusalMeaning) bool { return errors.Is(err, r.err) }) ||
		errors.Is(err, ErrMalformed)
}

// Report tells Refused about who was refused, by another service of the node too,
// as often as that may be told.
func (m *Mesh) Report(remote string, err error) {
	if m.cfg.Refused != nil && m.ctx.Err() == nil && m.reports.add(remote, err, time.Now()) {
		m.cfg.Refused(remote, err)
	}
}

// tellCounted tells Refused what was only counted. Its caller is in m.wg.
func (m *Mesh) tellCounted(now time.Time) {
	due := m.reports.due(now)
	if len(due) == 0 {
		return
	}
	m.wg.Go(func() {
		for _, r := range due {
			err := r.err
			if r.times > 1 {
				err = fmt.Errorf("%d connections, the last: %w", r.times, err)
			}
			m.cfg.Refused(r.remote, err)
		}
	})
}
