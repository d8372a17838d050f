// Package memory is the memory of a segment on one node: a memfd, the
// applications' mappings of it, and userfaultfd, by which the node decides
// which page each application may read and write. It is the only package that
// makes these system calls. README.md explains the concept.
//
// The node side is Segment and Mapping. A node makes a Segment, sends its file
// to an application, receives the application's userfaultfd, and attaches it:
//
//	segment, err := memory.NewSegment(base, first, pages)
//	err = segment.Open()
//	mapping, err := segment.Attach(uffd, "pid 4711")
//	go mapping.Serve(func(faults []memory.Fault) { … })
//
// and answers faults, from any goroutine, now or later:
//
//	copy(segment.Page(p), data)    // or receive straight into it
//	mapping.Install(p, 1, writable) // everybody who waits goes on
//
// and takes pages back:
//
//	segment.Protect(p, 1) // no more stores
//	send(segment.Page(p)) // what is sent is what was stored last
//	segment.Punch(p, 1)   // the next access faults
//
// The application side is View, made by Map, and KillOnHangup. It runs no
// protocol code.
//
// # Concurrency
//
// Segment.mu guards the list of mappings, Mapping.mu the identity of the thread
// that serves; neither is held while the other is taken, and no page operation
// takes either. The kernel
// orders operations on one page only as far as not to tear it: whoever calls
// Install, Protect and Punch on one page from several goroutines orders them.
//
// # Ownership
//
// A Segment owns its memfd and its own mapping. A Mapping owns the userfaultfd
// that was attached. A View owns its mapping and its
// userfaultfd. Nothing here is closed by a finalizer.
package memory
