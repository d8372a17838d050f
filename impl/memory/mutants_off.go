//go:build linux && !mutants

package memory

// Broken is false: the compiler removes what depends on it.
func Broken(Bug) bool { return false }
