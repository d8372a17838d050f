package protocol

// service is the row of an operation: all that a manager at any level, and a
// leaf, have to know of one. It is a record of Services in Manager.tla.
type service struct {
	needs    Right // of the subtree under which it can be served; atHome: only at the root
	grants   Right // what a Grant gives, at every level
	supplies bool  // who asks gets the page, if it has no copy
	least    Right // what who asks has at least: else there is nothing to do
	most     Right // what who asks has at most
	recalls  whom
	keep     Right // what those keep at most
	sources  uint8 // what a Grant may say, a bit for each Source
}

// whom an operation recalls.
type whom uint8

const (
	supplier whom = iota // a child that has the page, if it is needed
	others               // all but who asks
	asker                // who asks
)

// atHome is more than any right.
const atHome = Write + 1

// services are those of strong pages (StrongServices in Strong.tla).
var services = [...]service{
	OpRead: {needs: Read, grants: Read, supplies: true, least: None, most: None,
		recalls: supplier, keep: Owned, sources: 1<<Sent | 1<<Zero},
	OpWrite: {needs: Write, grants: Write, supplies: true, least: None, most: Owned,
		recalls: others, keep: None, sources: 1<<Sent | 1<<Zero | 1<<Have},
	OpWriteback: {needs: atHome, grants: None, supplies: false, least: Owned, most: Write,
		recalls: asker, keep: Read, sources: 1 << Have},
}

// known says whether there is such an operation.
func (o Op) known() bool { return o != OpNone && int(o) < len(services) }

func (o Op) row() *service { return &services[o] }
