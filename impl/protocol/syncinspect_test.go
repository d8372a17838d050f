package protocol

import (
	"reflect"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// TestSyncInspection: what a home and a node say of a lock and of a barrier.
func TestSyncInspection(t *testing.T) {
	conf := syncConfiguration(2)
	machines := []*SyncNode{NewSyncNode(0, conf.Member(0), conf), NewSyncNode(1, conf.Member(1), conf)}
	var queue []Sync
	step := func(node addr.NodeID, in SyncInput) {
		var b SyncBatch
		if err := machines[node].Step(in, &b); err != nil {
			t.Fatal(err)
		}
		for queue = b.Send; len(queue) > 0; queue = queue[1:] {
			m := queue[0]
			var next SyncBatch
			if err := machines[m.To.Node].Step(SyncInput{Kind: InSync, Sync: &m}, &next); err != nil {
				t.Fatal(err)
			}
			queue = append(queue, next.Send...)
		}
	}
	const lock, barrier = 0, 2
	home := machines[0].Home(lock)
	step(1, SyncInput{Kind: InLockAcquire, Party: 7, Request: 70, Object: lock})
	step(0, SyncInput{Kind: InLockAcquire, Party: 8, Request: 80, Object: lock})
	step(1, SyncInput{Kind: InLockAcquire, Party: 9, Request: 90, Object: lock})
	for _, index := range []uint32{3, 0, 1} {
		step(1, SyncInput{Kind: InBarrierJoin, Party: 7, Request: 71, Object: barrier, Index: index, Parties: 4})
	}
	for _, index := range []uint32{1, 3} {
		step(1, SyncInput{Kind: InBarrierWait, Party: 7, Request: 72, Object: barrier, Index: index, Parties: 4, Round: 1})
	}
	step(1, SyncInput{Kind: InBarrierLeave, Party: 7, Request: 73, Object: barrier, Index: 1})

	locks := []LockState{{Object: lock, Fence: 1, Holder: Applicant{1, 7, 70}, Queue: []Applicant{{0, 8, 80}, {1, 9, 90}}}}
	if got := machines[home].Locks(); !reflect.DeepEqual(got, locks) {
		t.Errorf("locks %+v, want %+v", got, locks)
	}
	turns := []TurnState{{lock, 7, 70, 1}, {lock, 9, 90, 0}}
	if got := machines[1].Turns(); !reflect.DeepEqual(got, turns) {
		t.Errorf("turns %+v, want %+v", got, turns)
	}
	barriers := []BarrierState{{Object: barrier, Generation: 1, Parties: 4, Round: 1, Left: []uint32{1},
		Seats: []SeatState{{0, 1, 7, false}, {3, 1, 7, true}}}}
	if got := machines[machines[0].Home(barrier)].Barriers(); !reflect.DeepEqual(got, barriers) {
		t.Errorf("barriers %+v, want %+v", got, barriers)
	}
	used := map[uint64]bool{lock: true, barrier: true}
	if got := machines[1].Used(); !reflect.DeepEqual(got, used) {
		t.Errorf("node 1 uses %v, want %v", got, used)
	}
	step(0, SyncInput{Kind: InProcessDied, Party: 8})
	step(1, SyncInput{Kind: InProcessDied, Party: 7})
	step(1, SyncInput{Kind: InProcessDied, Party: 9})
	locks = []LockState{{Object: lock, Died: true}}
	if got := machines[home].Locks(); !reflect.DeepEqual(got, locks) {
		t.Errorf("locks %+v, want %+v", got, locks)
	}
	if got := machines[1].Used(); len(got) != 0 {
		t.Errorf("node 1 uses %v, and its processes are dead", got)
	}
}
