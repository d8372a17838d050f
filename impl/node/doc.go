// Package node is the daemon of one machine: it joins the pure core
// (impl/protocol) to the kernel's memory (impl/memory), to the other nodes
// (impl/wire), to the configuration (impl/coord) and to the applications
// (impl/client). It owns threads, locks and time; the core owns every decision.
//
//	Node           formation, failure, end                     node.go
//	servants       how many threads it has for programs        threads.go
//	membership     its place in the configuration store        membership.go
//	               where the others find it                    address.go
//	               until it is there, and complete             reach.go, formation.go
//	shard          core + waiters under one lock               shard.go
//	errands        what a shard does for who found it locked   errands.go
//	effects        what a batch does to memory and links       effects.go
//	outbox         links to be flushed when locks are gone     outbox.go
//	mapping        a process's faults                          faults.go
//	stream         read-ahead                                  readahead.go
//	peers          the members, and what is kept of each       peers.go
//	receiver       what other nodes send                       receiver.go
//	               who is away, and whether processors were    away.go
//	residences     recalls held back, on a thread of their own residence.go
//	room           a limited node's budget of pages, who waits room.go
//	keeper         pages given up when memory is full          limit.go
//	               to other nodes, that take them              offers.go
//	promises       room at homes for what is written back      promises.go
//	               what the machine has                        machine.go
//	segment        memfds, and the configuration's changes     segments.go
//	masters        the copies that a home has                  masters.go
//	application    the attach protocol                         attach.go
//	               of segments, and of ranges of them          attach_segments.go, attach_ranges.go
//	syncs          locks and barriers                          syncs.go
//	               who has them, for operators                 syncseen.go, syncstatus.go
//	               and for who has waited long enough          explain.go
//	control        status, for operators                       status.go
//	observer       the trace                                   trace.go
//
// # The path of a fault
//
//	process   load, page fault, sleeps
//	thread 1  read(userfaultfd) … lock shard, core.Step, unlock … sendmsg
//	owner     read(socket) … lock, Step, write-protect, copy, unlock … sendmsg
//	thread 2  read(socket) … lock, Step, UFFDIO_COPY, unlock
//	process   runs
//
// Each arrow between lines is one wake-up of a thread that sleeps in the kernel;
// there is no other: no channel, no goroutine that passes work on. Thread 1 is
// the mapping's, thread 2 the link's; both are locked to their goroutines.
//
// # Threads
//
// One thread for each mapping reads its userfaultfd. One for each link reads its
// socket, one for each application its attach socket. One ends residences.
// Goroutines: one for each request of an application that waits for something,
// one for each application that waits for its death. The threads of mappings and
// applications end with them, and are bounded (threads.go).
//
// # Locks
//
// From the outermost to the innermost:
//
//	Node.applying         one view of the configuration is applied at a time
//	└── shard.mu          all of them in the order of their index, or one
//	    ├── residences.mu
//	    ├── segment.mu
//	    ├── fetching.mu
//	    └── a link's own lock, in Append
//	syncs.mu              locks and barriers
//	├── application.mu
//	├── an attach socket's own lock: to answer never waits for the application
//	└── a link's own lock, in AppendSync
//	inbox.mu, Node.mu, servants.mu     leaves
//
// Links are flushed when no lock is held. System calls that change page tables
// are made under the lock of the page's shard: that is what makes the frame
// answer in the same step, as the specification has it.
//
// # How the shell is tested
//
// The core is pure, and the kernel and the links have small interfaces here: frames,
// pageTable, sender. So a whole cluster of shells runs in one thread, over a model of
// the kernel and of the links (shell_world_test.go). Built with a tag (schedule_on.go),
// the lock of a shard asks a scheduler, and the order of everything that goes on at
// once is a list of choices: random ones, which a seed repeats, or all with few
// delays. What the shell owes the core, the kernel and the programs is a list of rules
// (shell_rules_test.go), which are looked at all the while:
//
//	scripts/mutated go test ./impl/node -run TestShell
//
// # Memory
//
// With Config.Memory a node never has more pages than that, frames and master
// copies: a page is charged before it is asked for, and until its memory has been
// given back, so that what is on its way counts. An access that finds no room
// waits in a queue, before anything is asked of the core. The keeper makes room: it
// drops read copies, and offers what only this node has to nodes that have room;
// those take a page as if they stored to it, so that the protocol knows nothing of
// limits. Room for a page that is written back is promised by its home first.
// What waits holds nothing that others need to go on: a page that somebody else
// asks for leaves all the same.
//
// Where no node has room a load or a store waits for as long as that lasts, and
// goes on when a segment is removed or a program gives pages up. It is no SIGBUS:
// the kernel does not let a node take one back, and the page is not lost. Status
// counts who waits and the log says so. What can fail does: Prefault, WriteBack
// and Drop, with ErrNoSpace. What is fetched ahead of its use is not fetched.
//
// Nothing fails because a machine is slow. The keeper refuses a request when for
// Config.RoomWait nothing has become free, and all other nodes, asked again and
// again, have said that they are full. A node that has not answered yet is not full,
// nor is one that makes room for accesses of its own, and while a page is on its way
// here some node is about to have room. Who writes back measures no time: the home
// does, in whose queue the call waits.
//
// A queue is served in its order, and whoever waits in it holds no room elsewhere
// (a promise is asked for when a page waits for it). So each page that becomes free
// brings the first in the queue nearer to its end. Who waits for a node that never
// comes to an end of making room for itself waits with it, like an access.
//
// When all nodes are full to the last page, an access to a page that is elsewhere
// waits like a store to a new one: nobody here knows which of them it is, and for
// an exchange somebody would need room for two.
//
// The limit is of pages. The tables of the core and the buffers of links come on
// top: status shows the heap.
//
// # What a shortage does
//
// A call of the kernel that fails for want of something costs the one request that
// needed it, or makes somebody wait; it never ends a node that serves:
//
//	descriptors, memory, for a segment's file or its mapping   Create, Open: ErrNoSpace, which
//	                                                           names the limit; the name is free
//	RLIMIT_FSIZE                                               the same: it bounds a segment
//	descriptors, memory, for a program that attaches           Connect: ErrNoSpace, or it waits
//	threads for programs                                       Connect, Open: ErrNoSpace
//	memory for a page or its page tables                       its shard waits, and says so in the log
//	room below Config.Memory                                   see above
//	disk of the founder's store                                Create, Open, Remove say so; all else goes on
//	buffers of sockets                                         sent again, by the link or to the program
//
// Two are Go's own, and end the process: memory for its heap, and a thread
// beyond what ulimit -u and the cgroup allow.
//
// e2e/sweep_test.go has each of these calls fail in running nodes, by a filter of
// system calls outside of the node, and keeps the list of those that can.
//
// # Death
//
// In this version the members of a cluster are fixed. Three things end the run
// on this node: a peer that is lost, a peer that breaks the protocol, and
// memory that cannot be changed for another reason than a shortage. No page is
// granted by guess, and from then on nothing is granted, sent or taken at all.
// Applications are told, and killed by the kernel if they do not end, because
// nobody answers for their memory any more.
package node
