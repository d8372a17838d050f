package main

import "unsafe"

// span is where part of the arena lies in the segment, in bytes.
func (s *shared) span(part []int32) (off, n int64) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	return int64(at - s.team.Segment.Addr()), int64(len(part)) * 4
}
