package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/internal/ranges"
)

// explainTime bounds how long a node tries to find out for whom a request waits:
// the process that asks has waited long enough.
const explainTime = 400 * time.Millisecond

// explain says for whom a request of the application waits, or waited, or why it
// was refused; it is empty where there is nothing to say.
func (a *application) explain(e *attachpb.Explain) string {
	ctx, cancel := context.WithTimeout(a.ctx, explainTime)
	defer cancel()
	switch what := e.What.(type) {
	case *attachpb.Explain_Lock:
		r := &controlpb.SyncsRequest{Locks: true, Object: Object("lock", what.Lock)}
		s, silence := a.node.askAbout(ctx, r, 0)
		if silence != "" || len(s.Locks) == 0 {
			return silence
		}
		return a.explainLock(s.Locks[0])
	case *attachpb.Explain_Barrier:
		r := &controlpb.SyncsRequest{Barriers: true, Object: Object("barrier", what.Barrier.GetName())}
		s, silence := a.node.askAbout(ctx, r, what.Barrier.GetParty())
		if silence != "" {
			return silence
		}
		b := a.generation(s.Barriers, what.Barrier.GetParty())
		if b == nil {
			return ""
		}
		return a.explainBarrier(b, what.Barrier)
	case *attachpb.Explain_Store:
		return a.node.explainStore(ctx)
	}
	return ""
}

// askAbout asks the home of a lock or a barrier, and then the nodes of the
// processes that are of interest. silence says that the home does not answer.
func (n *Node) askAbout(ctx context.Context, r *controlpb.SyncsRequest, seat uint32) (s *controlpb.ClusterSyncsStatus, silence string) {
	n.syncs.mu.Lock()
	home := n.syncs.core.Home(r.Object)
	n.syncs.mu.Unlock()
	v := n.config.View()
	answers := n.askSyncs(ctx, v, []addr.NodeID{home}, r)
	if answers[0].Error != "" {
		return nil, fmt.Sprintf("node %d at %s, which keeps it, does not answer", home, v.Member(home).Address)
	}
	var others []addr.NodeID
	for _, p := range ofInterest(answers[0], seat) {
		if id := addr.NodeID(p.Node); id != home && !slices.Contains(others, id) {
			others = append(others, id)
		}
	}
	names := &controlpb.SyncsRequest{Object: r.Object}
	return putTogether(append(answers, n.askSyncs(ctx, v, others, names)...)), ""
}

// mostNamed is how many processes are named in one line.
const mostNamed = 4

// ofInterest are the processes that others wait for, and those at the first seat of
// a barrier and at the one that was asked for.
func ofInterest(a *controlpb.NodeSyncs, seat uint32) (list []*controlpb.Process) {
	for _, l := range a.Locks {
		if l.Holder != nil {
			list = append(list, l.Holder)
		}
	}
	for _, b := range a.Barriers {
		late := 0
		for i, s := range b.Seats {
			if !s.Come {
				late++
			}
			if i == 0 || s.Party == seat || !s.Come && late <= mostNamed {
				list = append(list, s.Process)
			}
		}
	}
	return list
}

// processTitle names a process for people.
func processTitle(p *controlpb.Process) string {
	switch {
	case p.Pid == 0:
		return fmt.Sprintf("a process on node %d", p.Node)
	case p.Program == "":
		return fmt.Sprintf("process %d on node %d", p.Pid, p.Node)
	}
	return fmt.Sprintf("process %d (%s) on node %d", p.Pid, p.Program, p.Node)
}

func (a *application) is(p *controlpb.Process) bool {
	return p.Node == uint32(a.node.id) && p.Party == a.party
}

func (a *application) explainLock(l *controlpb.LockStatus) string {
	if l.Holder == nil {
		return ""
	}
	text := "held by " + processTitle(l.Holder)
	if l.Holder.Seconds > 0 {
		text += fmt.Sprintf(" for %v", time.Duration(l.Holder.Seconds*float64(time.Second)).Round(time.Millisecond))
	}
	switch before := slices.IndexFunc(l.Waiters, a.is); {
	case before == 1:
		text += ", 1 waits before"
	case before > 1:
		text += fmt.Sprintf(", %d wait before", before)
	}
	return text
}

// generation is the barrier of a name that a request as that party is about: the
// newest in which the application is it, or else the one that a join would be for.
func (a *application) generation(all []*controlpb.BarrierStatus, party uint32) *controlpb.BarrierStatus {
	for _, b := range slices.Backward(all) {
		if slices.ContainsFunc(b.Seats, func(s *controlpb.SeatStatus) bool { return s.Party == party && a.is(s.Process) }) {
			return b
		}
	}
	for _, b := range all {
		if !b.Broken && !slices.Contains(b.Left, party) {
			return b
		}
	}
	return nil
}

func (a *application) explainBarrier(b *controlpb.BarrierStatus, asked *attachpb.BarrierSeat) string {
	if b.Parties != asked.Parties {
		text := fmt.Sprintf("it has %d parties", b.Parties)
		if len(b.Seats) > 0 {
			first := b.Seats[0]
			text += fmt.Sprintf(", of which party %d is %s", first.Party, processTitle(first.Process))
		}
		return text
	}
	there := make(map[uint32]bool)
	for _, party := range b.Left {
		there[party] = true
	}
	var late []uint32
	var who []string
	for _, s := range b.Seats {
		there[s.Party] = true
		if s.Party == asked.Party && !a.is(s.Process) {
			return fmt.Sprintf("party %d of %d is taken by %s", s.Party, b.Parties, processTitle(s.Process))
		}
		if !s.Come {
			late = append(late, s.Party)
			who = append(who, processTitle(s.Process))
		}
	}
	var absent []uint32
	for party := range b.Parties {
		if !there[party] {
			absent = append(absent, party)
		}
	}
	var parts []string
	switch {
	case len(late) == 1:
		parts = append(parts, fmt.Sprintf("party %d of %d has not come: %s", late[0], b.Parties, who[0]))
	case len(late) > 1 && len(late) <= mostNamed:
		parts = append(parts, fmt.Sprintf("parties %s of %d have not come: %s", ranges.Text(late), b.Parties, strings.Join(who, ", ")))
	case len(late) > 1:
		parts = append(parts, fmt.Sprintf("parties %s of %d have not come", ranges.Text(late), b.Parties))
	}
	switch {
	case len(absent) == 1:
		parts = append(parts, fmt.Sprintf("party %d of %d has not joined", absent[0], b.Parties))
	case len(absent) > 1:
		parts = append(parts, fmt.Sprintf("parties %s of %d have not joined", ranges.Text(absent), b.Parties))
	}
	return strings.Join(parts, "; ")
}

// explainStore says whether the cluster's configuration answers.
func (n *Node) explainStore(ctx context.Context) string {
	if _, err := n.config.Sync(ctx); err == nil {
		return ""
	}
	where := "which this node keeps"
	switch {
	case n.cfg.Join != "":
		where = "which the node at " + n.cfg.Join + " keeps"
	case len(n.cfg.Store) > 0:
		where = "at " + strings.Join(n.cfg.Store, ",")
	}
	return "the cluster's configuration, " + where + ", does not answer"
}
