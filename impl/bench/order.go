package bench

// order is what Run tells a process to do; it is one line of JSON. Offsets and
// lengths are in bytes of the segment.
type order struct {
	Op string `json:"op"`

	// touch
	Offsets []int64 `json:"offsets,omitempty"`
	Threads int     `json:"threads,omitempty"`
	Write   bool    `json:"write,omitempty"`

	// own, scan, bulk
	Offset int64 `json:"offset,omitempty"`
	Length int64 `json:"length,omitempty"`

	// open, lock, barrier
	Name    string `json:"name,omitempty"`
	Rounds  int    `json:"rounds,omitempty"`
	Party   int    `json:"party,omitempty"`
	Parties int    `json:"parties,omitempty"`
	HoldNS  int64  `json:"hold_ns,omitempty"`

	// cas
	TimeNS    int64 `json:"time_ns,omitempty"`
	Alternate bool  `json:"alternate,omitempty"`

	// dial
	Address string `json:"address,omitempty"`

	// prepare
	Fill  fill `json:"fill,omitempty"`
	Reply int  `json:"reply,omitempty"` // bytes that far sends for each fault

	// message
	Relay bool `json:"relay,omitempty"`
}

// report is the answer to an order, one line of JSON.
type report struct {
	Error string `json:"error,omitempty"`

	Samples []int64 `json:"samples,omitempty"` // nanoseconds
	Faults  uint64  `json:"faults,omitempty"`  // that the daemon counted meanwhile
	Clock   int64   `json:"clock,omitempty"`   // nanoseconds that a measurement costs
	First   int64   `json:"first,omitempty"`   // the segment's first page
	Count   uint64  `json:"count,omitempty"`
	Turns   []turn  `json:"turns,omitempty"`
	Address string  `json:"address,omitempty"`
}

// turn is one holding of the lock, by the machine's clock in nanoseconds.
type turn struct {
	Fence    uint64 `json:"fence"`
	Acquired int64  `json:"acquired"`
	Released int64  `json:"released"`
}
