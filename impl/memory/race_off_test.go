//go:build linux && !race

package memory

const raceEnabled = false
