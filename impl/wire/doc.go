// Package wire is the links between nodes: one ordered, exactly-once channel
// for each pair, which survives its connections.
//
// A [Mesh] is one node's end of all its links. A [Link] queues messages
// (Append, AppendSync), sends them (Flush), keeps them until the peer has
// acknowledged them, and sends them again on the next connection. What arrives
// goes to the mesh's [Handler], frame by frame, in order. Under this session
// layer lie two transports, framed TCP and gRPC streams, behind the interface
// conn; they share one port through a [Listener].
//
//	Mesh       the links of one node                    mesh.go
//	           connections that others make             accept.go, handshake.go
//	Link       the session: queue, send, acknowledge    link.go, queue.go
//	           a link's life: dial, repair, end         supervise.go
//	           a node's failure                         fail.go
//	           heartbeats, silence                      heartbeat.go
//	pipe       a connection while it is the link's      pipe.go
//	Frame      encoding                                 frame.go, codec.go
//	conn       framed TCP, gRPC                         framed.go, grpc.go
//	Listener   one port for both, and its strangers     port.go, strangers.go
//	           what was refused                         reports.go
//
// # Threads
//
// A connection has a reader goroutine (framed TCP: locked to its thread, which
// sleeps in read(2), outside the netpoller) and a writer goroutine. A flusher
// writes by itself as far as the socket takes it without blocking; the writer
// goroutine finishes what is left. Every link has a supervisor that dials and
// waits, every mesh one ticker for heartbeats and silence.
//
// # Locks
//
// From the outermost to the innermost; no lock is held while the Handler, Admit
// or Refused is called, nor in a system call that sends or receives:
//
//	the caller's own locks (a page shard's, around Append)
//	└── Link.attaching   one connection at a time becomes the link's
//	    ├── Mesh.mu      links by peer, incarnations that are over
//	    │   └── Link.mu  the queues and the state of the session
//	    └── rawSocket.mu the descriptor is not closed yet
//
// Append takes Link.mu alone, for the time of encoding one message and copying
// one page. Flush takes it too, and must be called without the caller's locks
// only because it may spend a system call.
package wire
