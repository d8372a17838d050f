package node

// bug is a mistake that broken can put into what a node does when segments go and
// others come. Without the build tag mutants no bug can be switched on and the
// questions cost nothing; with it TestBrokenSegments demands that each is found.
type bug uint8

const (
	_ bug = iota // none
	// bugPagesStay: the pages of a segment that is gone are not taken away.
	bugPagesStay
	// bugRemovedServed: an access through a mapping of a segment that is gone is
	// served with what has its pages now.
	bugRemovedServed
	// bugEarlyNotReplayed: what was early stays so.
	bugEarlyNotReplayed
	// bugResidenceOfAnother: the end of a residence counts for whatever has the page.
	bugResidenceOfAnother
)
