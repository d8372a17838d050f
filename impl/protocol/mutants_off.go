//go:build !mutants

package protocol

// broken is false: the compiler removes what depends on it.
func broken(Bug) bool { return false }
