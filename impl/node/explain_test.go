package node

import (
	"testing"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/node/controlpb"
)

func TestExplainLock(t *testing.T) {
	a := &application{node: &Node{id: 1}, party: 7}
	waits := func(parties ...uint64) (list []*controlpb.Process) {
		for _, p := range parties {
			list = append(list, &controlpb.Process{Node: 1, Party: p})
		}
		return list
	}
	holder := &controlpb.Process{Node: 2, Party: 7, Pid: 4711, Program: "app", Seconds: 3.25}
	for _, c := range []struct {
		lock *controlpb.LockStatus
		want string
	}{
		{&controlpb.LockStatus{}, ""}, // it was given up meanwhile
		{&controlpb.LockStatus{Holder: holder, Waiters: waits(7, 8)}, "held by process 4711 (app) on node 2 for 3.25s"},
		{&controlpb.LockStatus{Holder: holder, Waiters: waits(6, 7, 8)}, "held by process 4711 (app) on node 2 for 3.25s, 1 waits before"},
		{&controlpb.LockStatus{Holder: &controlpb.Process{Node: 2, Pid: 12}, Waiters: waits(4, 5, 6, 7)}, "held by process 12 on node 2, 3 wait before"},
		{&controlpb.LockStatus{Holder: &controlpb.Process{Node: 2}}, "held by a process on node 2"}, // which does not answer
	} {
		if got := a.explainLock(c.lock); got != c.want {
			t.Errorf("%v: %q, want %q", c.lock, got, c.want)
		}
	}
}

func TestExplainBarrier(t *testing.T) {
	a := &application{node: &Node{id: 1}, party: 7}
	seat := func(party uint32, come bool) *controlpb.SeatStatus {
		return &controlpb.SeatStatus{Party: party, Come: come, Process: &controlpb.Process{Node: 1, Party: 7, Pid: int64(100 + party)}}
	}
	many := &controlpb.BarrierStatus{Parties: 1000, Seats: []*controlpb.SeatStatus{seat(0, true)}}
	for party := uint32(1); party < 900; party++ {
		many.Seats = append(many.Seats, seat(party, false))
	}
	for _, c := range []struct {
		barrier *controlpb.BarrierStatus
		want    string
	}{
		{&controlpb.BarrierStatus{Parties: 2, Seats: []*controlpb.SeatStatus{seat(0, true), seat(1, false)}}, "party 1 of 2 has not come: process 101 on node 1"},
		{&controlpb.BarrierStatus{Parties: 4, Seats: []*controlpb.SeatStatus{seat(0, true), seat(1, false), seat(2, false)}, Left: []uint32{3}},
			"parties 1 and 2 of 4 have not come: process 101 on node 1, process 102 on node 1"},
		{&controlpb.BarrierStatus{Parties: 2, Seats: []*controlpb.SeatStatus{seat(0, true)}}, "party 1 of 2 has not joined"},
		{many, "parties 1 to 899 of 1000 have not come; parties 900 to 999 of 1000 have not joined"},
	} {
		if got := a.explainBarrier(c.barrier, &attachpb.BarrierSeat{Parties: c.barrier.Parties}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestExplainGeneration: of the barriers of one name it is the one that the request is
// about.
func TestExplainGeneration(t *testing.T) {
	a := &application{node: &Node{id: 1}, party: 7}
	barrier := func(generation uint64, broken bool, left []uint32, parties ...uint64) *controlpb.BarrierStatus {
		b := &controlpb.BarrierStatus{Generation: generation, Parties: 3, Broken: broken, Left: left}
		for seat, p := range parties {
			if p != 0 {
				b.Seats = append(b.Seats, &controlpb.SeatStatus{Party: uint32(seat), Process: &controlpb.Process{Node: 1, Party: p}})
			}
		}
		return b
	}
	for _, c := range []struct {
		name string
		all  []*controlpb.BarrierStatus
		want uint64 // 0: none
	}{
		{"none", nil, 0},
		{"has come again", []*controlpb.BarrierStatus{barrier(4, true, nil, 7, 8), barrier(5, false, nil, 7)}, 5},
		{"is in the old one", []*controlpb.BarrierStatus{barrier(4, true, nil, 7, 8), barrier(5, false, nil, 0, 9)}, 4},
		{"is taken by another", []*controlpb.BarrierStatus{barrier(4, true, nil, 8), barrier(5, false, nil, 9)}, 5},
		{"has arrived and left", []*controlpb.BarrierStatus{barrier(4, false, []uint32{0}, 0, 8), barrier(5, false, nil, 9)}, 5},
		{"is gone meanwhile", []*controlpb.BarrierStatus{barrier(4, true, nil, 8)}, 0},
	} {
		if got := a.generation(c.all, 0).GetGeneration(); got != c.want {
			t.Errorf("%s: generation %d, want %d", c.name, got, c.want)
		}
	}
}
