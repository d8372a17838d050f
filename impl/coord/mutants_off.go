//go:build !mutants

package coord

// pagesCompared is a mistake: segments are taken for the same if they have the same
// pages. Without the build tag mutants the compiler removes what depends on it.
const pagesCompared = false
