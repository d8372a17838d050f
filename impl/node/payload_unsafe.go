package node

import "unsafe"

// join is the two slices as one, if b begins in memory where a ends and both
// are of one allocation, as the pages of one frame are; or if both are empty.
func join(a, b []byte) ([]byte, bool) {
	if len(a) == 0 || len(b) == 0 {
		return a, len(a) == len(b)
	}
	// As numbers: where a's memory ends, a pointer behind it is not allowed.
	end := uintptr(unsafe.Pointer(unsafe.SliceData(a))) + uintptr(len(a))
	if end != uintptr(unsafe.Pointer(unsafe.SliceData(b))) {
		return a, false
	}
	return unsafe.Slice(unsafe.SliceData(a), len(a)+len(b)), true
}
