//go:build !mutants

package node

import "github.com/mome-dsm/mome/impl/protocol"

// misorder does nothing: the compiler removes it.
func misorder([]protocol.Effect) {}
