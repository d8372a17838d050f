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
	segment, err := node.OpenOrCreate(ctx, "sums", int64(node.Size())*page)
	if err != nil {
		log.Fatal(err)
	}
	barrier, err := node.Barrier(ctx, "sums", node.Rank(), node.Size())
	if err != nil {
		log.Fatal(err)
	}
	mine, err := mome.ValueOf[int64](segment, int64(node.Rank())*page)
	if err != nil {
		log.Fatal(err)
	}
	for i := node.Rank(); i < 1000; i += node.Size() {
		*mine += int64(i)
	}
	if err := barrier.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	var total int64
	for r := range node.Size() {
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

// A program that records what it does can be judged afterwards:
//
//	momenode cluster --nodes 4 --trace DIR -- program
//	momenode trace check DIR
//
// Without --trace, Record returns nil, and nothing is recorded.
func ExampleRecord() {
	ctx := context.Background()
	node, err := mome.Connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	recorder, err := mome.Record(node)
	if err != nil {
		log.Fatal(err)
	}
	defer recorder.Close()

	segment, err := node.OpenOrCreate(ctx, "tickets", 4096)
	if err != nil {
		log.Fatal(err)
	}
	client := recorder.Client() // of this goroutine
	tickets, err := mome.WordsOf[int64](client, segment, 0, 1)
	if err != nil {
		log.Fatal(err)
	}
	lock := node.Lock("printer")
	if _, err := client.Acquire(ctx, lock); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ticket", tickets.Add(0, 1))
	if err := client.Release(lock); err != nil {
		log.Fatal(err)
	}
}
