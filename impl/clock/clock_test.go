package clock

import (
	"errors"
	"io"
	"testing"
)

// A clock that is far away is found within the bound, however uneven the two
// ways are.
func TestCompare(t *testing.T) {
	const far = 123_456_789_000
	spin := func(ns int64) {
		for end := Now() + ns; Now() < end; {
		}
	}
	for _, way := range [][2]int64{{0, 0}, {200_000, 0}, {0, 200_000}, {50_000, 150_000}} {
		asked := 0
		offset, bound, err := Compare(5, func() (int64, error) {
			asked++
			spin(way[0])
			now := Now() + far
			spin(way[1])
			return now, nil
		})
		if err != nil || asked != 5 || offset < far-bound || offset > far+bound || bound < (way[0]+way[1])/2 {
			t.Errorf("%v: offset %d within %d, want %d: %v", way, offset, bound, far, err)
		}
	}
	if _, _, err := Compare(5, func() (int64, error) { return 0, io.EOF }); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	r := Reading{Offset: 100, Bound: 10}.Cover(130, 5)
	if r.Offset-r.Bound > 90 || r.Offset+r.Bound < 135 {
		t.Errorf("%+v does not cover both readings", r)
	}
}

func TestNow(t *testing.T) {
	last := Now()
	for range 1000 {
		now := Now()
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}
