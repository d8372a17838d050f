// Package mome is distributed shared memory: a program runs as several
// processes on several machines, and they share segments of memory that lie at
// the same address in each of them, used with plain loads and stores.
//
// # A program
//
// A process attaches to the node daemon (momenode) of its machine, whose socket
// is in MOME_SOCKET; "momenode cluster --nodes 2 -- program" starts a cluster on
// one machine and a copy of the program per node.
//
//	node, err := mome.Connect(ctx)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer node.Close()
//
//	segment, err := node.OpenOrCreate(ctx, "sums", 1<<20)
//	...
//	sums, err := mome.SliceOf[int64](segment, 0, node.Size())
//	...
//	barrier, err := node.Barrier(ctx, "sums", node.Rank(), node.Size())
//	...
//	sums[node.Rank()] = mySum // a plain store to shared memory
//	err = barrier.Wait(ctx)   // now every process sees every sum
//
// # Strong memory
//
// The processes of a cluster behave as the threads of one machine: a load returns
// what the last store to that word stored, wherever it was made, and sync/atomic
// works across machines on values in a segment. As between threads, a program
// without data races needs locks ([Node.Lock]), barriers ([Node.Barrier]) or
// atomics to order its accesses.
//
// A page (4 KiB) is at one writer or many readers. Two nodes that store to one
// page in turn move it each time, even if they use different words of it: lay
// data out so that what different nodes store to lies in different pages.
//
// # What a segment can hold
//
// Values without Go pointers. The garbage collector does not look into a
// segment, and an address in one process means nothing in another, so [SliceOf]
// and [ValueOf] refuse a type with a pointer in it: pointers, strings, slices,
// maps, interfaces, channels, functions. They refuse the types of package sync
// as well, which only work within one process.
//
// Pointers into a segment may be kept and passed about freely within a process,
// until the segment is closed.
//
// # Faults
//
// The first access to a page that this node does not hold waits until the page
// is there: microseconds to milliseconds. A goroutine that waits keeps its
// processor (GOMAXPROCS bounds how many can wait at a time). In a plain load or
// store it can be preempted; inside copy, clear or another assembly routine it
// cannot, and a garbage collection waits for it, with every other goroutine.
// So before copying what may be absent, call [Segment.Prefault], which waits in
// a system call. [Segment.Prefetch] asks for pages without waiting.
//
// A loop that waits for a word to change keeps a processor from the node that
// would bring the change. Let it sleep, or use a [Lock] or a [Barrier].
//
// System calls may read and write segments (read(2) into one, write(2) from
// one). O_DIRECT and RDMA may not: a device keeps writing to a page that has
// moved to another node, and what it writes is lost.
//
// A process that forks without exec loses its segments in the child.
//
// Leave the mapping and the file behind it alone: no munmap, mremap or mmap
// over a part of a segment, and no mprotect. Nothing may make holes in it
// (MADV_REMOVE, fallocate): that takes the data away from every process of the
// node and, where the node was the only one to have it, from everybody.
// MADV_DONTNEED is harmless: the next access asks again.
//
// # Histories
//
// A program can record what it does to words and locks ([Record], [WordsOf]), and
// "momenode trace check" judges afterwards whether memory has kept its promise:
// whether every operation can have taken effect at one moment between its call
// and its return.
//
// # Failures
//
// If the node or the cluster fails, the program ends, with status 1 and a line
// on standard error that says why. Where nothing of the program can run any
// more, because it waits for a page that will never come, it ends by SIGKILL.
// See [WithFailureHandler].
//
// An access to a page whose data was lost, or to a removed segment, raises
// SIGBUS. In Go that is a fatal error: the program ends with status 2 and the
// address on standard error, and no deferred function runs. In a goroutine that has
// called debug.SetPanicOnFault(true) it is a panic instead, which has the address
// and can be recovered.
package mome
