//go:build race

package clienttest

// RaceEnabled tells that the race detector is built in, which makes programs ten
// times slower and takes the addresses of segments.
const RaceEnabled = true
