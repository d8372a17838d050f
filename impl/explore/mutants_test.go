//go:build mutants

package explore

import (
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
)

// TestMutantPath shows a mistake as the path to the first step that differs from
// the specification: in root2 an invariant falls four actions later.
func TestMutantPath(t *testing.T) {
	m := named(t, "root2")
	g := graphOf(t, draw(t, m))
	defer protocol.Break(0)
	protocol.Break(protocol.Named("HaveUnchecked"))
	const want = `root2: SameGraph
   1  ReadFault(a)
   2  WriteFault(b)
   3  RecvReq(r, a)
   4  LeafRecvGrant(a)
   5  WriteFault(a)
   6  RecvReq(r, b)
   7  RecvReq(r, a)
   8  LeafRecvRecall(a)
      here RecvAck(r, a) leads the core elsewhere:
        down.b[2].dst: "nobody", in the specification "leaf"
        mgr.r.busy.dst: "nobody", in the specification "leaf"
`
	f := compare(m, g)
	if f == nil {
		t.Fatal("no difference")
	}
	if got := f.Report(); got != want {
		t.Errorf("reported\n%s\nwant\n%s", got, want)
	}
}
