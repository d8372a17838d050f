// Package alloc is the heap of MomeMalloc: 8 MiB of shared memory in which one process
// at a time allocates blocks, and which another process takes over if that one dies.
//
// A block is known by its offset in the heap, which means the same on every node.
// README.md explains the concept and says what is not there; FORMAT.md is the layout.
package alloc
