//go:build mutants

package coord

// pagesCompared is a mistake: segments are taken for the same if they have the same
// pages.
var pagesCompared bool

// ComparePages puts the mistake into every View, or mends it.
func ComparePages(on bool) { pagesCompared = on }
