package mome

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/mome-dsm/mome/impl/addr"
)

type pair[T any] struct {
	First, Second T
}

type node struct {
	Weight float64
	Next   *node
}

func TestCheckType(t *testing.T) {
	type inner struct {
		A [2]struct{ Name string }
	}
	for _, c := range []struct {
		typ  reflect.Type
		want string // of the error; empty: the type is good
	}{
		{reflect.TypeFor[bool](), ""},
		{reflect.TypeFor[float64](), ""},
		{reflect.TypeFor[complex64](), ""},
		{reflect.TypeFor[uintptr](), ""},
		{reflect.TypeFor[[4][3]int32](), ""},
		{reflect.TypeFor[atomic.Int64](), ""},
		{reflect.TypeFor[pair[[2]uint8]](), ""},
		{reflect.TypeFor[addr.Place](), ""},

		{reflect.TypeFor[string](), "it is of kind string"},
		{reflect.TypeFor[*int](), "it is of kind ptr"},
		{reflect.TypeFor[[]byte](), "it is of kind slice"},
		{reflect.TypeFor[map[int]int](), "it is of kind map"},
		{reflect.TypeFor[chan int](), "it is of kind chan"},
		{reflect.TypeFor[func()](), "it is of kind func"},
		{reflect.TypeFor[any](), "it is of kind interface"},
		{reflect.TypeFor[unsafe.Pointer](), "it is of kind unsafe.Pointer"},
		{reflect.TypeFor[node](), ".Next is of kind ptr"},
		{reflect.TypeFor[[3]node](), "[].Next is of kind ptr"},
		{reflect.TypeFor[pair[node]](), ".First.Next is of kind ptr"},
		{reflect.TypeFor[pair[string]](), ".First is of kind string"},
		{reflect.TypeFor[inner](), ".A[].Name is of kind string"},
		{reflect.TypeFor[[0]*int](), "[] is of kind ptr"},
		{reflect.TypeFor[atomic.Pointer[int]](), "._[] is of kind ptr"},
		{reflect.TypeFor[atomic.Value](), ".v is of kind interface"},
		{reflect.TypeFor[sync.Mutex](), "works within one process only"},
		{reflect.TypeFor[struct {
			N  int
			Mu sync.RWMutex
		}](), ".Mu is a sync.RWMutex"},
		{reflect.TypeFor[struct{}](), "no size"},
		{reflect.TypeFor[[0]int](), "no size"},
	} {
		for range 2 { // the second time from memory
			err := checkType(c.typ)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v: %v, want nil", c.typ, err)
			case c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v: %v, want ErrInvalid with %q", c.typ, err, c.want)
			}
		}
	}
}

func TestAttributes(t *testing.T) {
	for _, c := range []struct {
		opts []SegmentOption
		want string // of the error; empty: none
	}{
		{nil, ""},
		{[]SegmentOption{WithHome(Block)}, ""},
		{[]SegmentOption{WithHome(Spread)}, ""},
		{[]SegmentOption{WithHome(0)}, "WithHome"},
		{[]SegmentOption{WithHome(17)}, "WithHome(Home(17))"},
	} {
		_, err := attributes(c.opts)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("attributes: %v, want %q", err, c.want)
		}
	}
}
