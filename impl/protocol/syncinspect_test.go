package protocol

import (
	"maps"
	"reflect"
	"slices"
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

	held := LockState{Fence: 1, Holder: Waiter{1, 7, 70}, Queue: []Waiter{{0, 8, 80}, {1, 9, 90}}}
	if got := machines[home].Lock(lock); !reflect.DeepEqual(got, held) || !slices.Equal(machines[home].Locks(), []uint64{lock}) {
		t.Errorf("lock %+v of %v, want %+v", got, machines[home].Locks(), held)
	}
	turns := map[Waiter]uint64{{1, 7, 70}: lock, {1, 9, 90}: lock}
	if got := maps.Collect(machines[1].Turns()); !maps.Equal(got, turns) {
		t.Errorf("turns %+v, want %+v", got, turns)
	}
	has := TurnState{Turn: &Turn{Request: 70, Fence: 1}, Calls: []uint64{}}
	if got := machines[1].Turn(7, lock); !reflect.DeepEqual(got, has) {
		t.Errorf("turn %+v, want %+v", got, has)
	}
	atHome := []BarrierState{{Barrier: Barrier{Generation: 1, Parties: 4, Arrived: 2}, Left: []uint32{1},
		Seats: []HomeSeat{{0, 1, 7, 0}, {3, 1, 7, 1}}}}
	of := machines[machines[0].Home(barrier)]
	if got := of.Barrier(barrier); !reflect.DeepEqual(got, atHome) || !slices.Equal(of.Barriers(), []uint64{barrier}) {
		t.Errorf("barrier %+v of %v, want %+v", got, of.Barriers(), atHome)
	}
	atNode := []Meeting{{Generation: 1, Parties: 4, Seats: []Seat{{Index: 0, Party: 7, Waits: []uint64{}},
		{Index: 3, Party: 7, Arrived: 1, Waits: []uint64{72}}}}}
	if got := machines[1].Meetings(barrier); !reflect.DeepEqual(got, atNode) {
		t.Errorf("meetings %+v, want %+v", got, atNode)
	}
	used := map[uint64]bool{lock: true, barrier: true}
	if got := machines[1].Used(); !reflect.DeepEqual(got, used) {
		t.Errorf("node 1 uses %v, want %v", got, used)
	}
	step(0, SyncInput{Kind: InProcessDied, Party: 8})
	step(1, SyncInput{Kind: InProcessDied, Party: 7})
	step(1, SyncInput{Kind: InProcessDied, Party: 9})
	held = LockState{Died: true, Queue: []Waiter{}}
	if got := machines[home].Lock(lock); !reflect.DeepEqual(got, held) {
		t.Errorf("lock %+v, want %+v", got, held)
	}
	if got := machines[1].Used(); len(got) != 0 {
		t.Errorf("node 1 uses %v, and its processes are dead", got)
	}
}
