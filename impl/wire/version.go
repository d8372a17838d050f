package wire

// Version is that of the protocol between nodes: both ends of a link speak the
// same.
const Version = version
