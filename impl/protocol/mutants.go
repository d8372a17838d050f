//go:build mutants

package protocol

// The tag mutants builds from an overlay, which has the mistakes of mutants.txt in the
// handlers and their list in the place of this file.
const _ = buildWith_scripts_mutated_go_test
