package mome_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/mome-dsm/mome"
)

// Each process adds up its share, and after the barrier every process sees all
// the sums. Run it with "momenode cluster --nodes 4 -- program".
func Example() {
	ctx := context.Background()
	node, err := mome.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	// One page per process: nobody stores to a page that another one stores to.
	const page = 4096
	segment, err := node.OpenOrCreate(ctx, "sums", int64(node.Nodes())*page)
	if err != nil {
		log.Fatal(err)
	}
	barrier, err := node.Barrier(ctx, "sums", node.Rank(), node.Nodes())
	if err != nil {
		log.Fatal(err)
	}
	mine, err := mome.ValueOf[int64](segment, int64(node.Rank())*page)
	if err != nil {
		log.Fatal(err)
	}
	for i := node.Rank(); i < 1000; i += node.Nodes() {
		*mine += int64(i)
	}
	if err := barrier.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	var total int64
	for r := range node.Nodes() {
		sum, err := mome.ValueOf[int64](segment, int64(r)*page)
		if err != nil {
			log.Fatal(err)
		}
		total += *sum
	}
	fmt.Println(total)
}

// Atomic operations work on values in shared memory as they do between threads.
func ExampleValueOf() {
	type counters struct {
		Started, Finished atomic.Int64
	}
	run := func(segment *mome.Segment) error {
		c, err := mome.ValueOf[counters](segment, 0)
		if err != nil {
			return err
		}
		c.Started.Add(1) // of all processes of all nodes
		return nil
	}
	_ = run
}

// ErrOwnerDied comes with the lock held.
func ExampleLock_Acquire() {
	ctx := context.Background()
	update := func(node *mome.Node) error {
		lock := node.Lock("ledger")
		_, err := lock.Acquire(ctx)
		if errors.Is(err, mome.ErrOwnerDied) {
			log.Print("the last holder died: check the ledger before using it")
		} else if err != nil {
			return err
		}
		defer lock.Release()
		return nil // change what the lock protects
	}
	_ = update
}
