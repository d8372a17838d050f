// Package sim runs the real protocol core of many nodes under a seeded
// scheduler, without threads, clocks or sockets: a simulation. A seed and a
// commit reproduce a run exactly.
//
// The simulated parts are the links (FIFO per pair of nodes, as the session
// layer provides them), the frames and homes (one word per page instead of
// bytes) and the applications (random loads and stores, each checked at once
// against an atomic memory).
package sim
