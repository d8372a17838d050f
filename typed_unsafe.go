package mome

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// SliceOf is n values of type T in the segment, from byte off on, as a slice
// over the shared memory itself: an element that is stored to is stored for
// everybody. It must not be used after Close.
//
// The error wraps ErrInvalid if T cannot be shared (see the package comment),
// if off is not aligned for T, or if the slice is not within the segment.
//
// int, uint and uintptr have the size of the machine's word: between different
// machines use types of fixed size.
func SliceOf[T any](s *Segment, off int64, n int) ([]T, error) {
	at, err := typed(s, reflect.TypeFor[T](), off, n)
	if err != nil {
		return nil, wrap(err, "mome: SliceOf[%v] in segment %q", reflect.TypeFor[T](), s.Name())
	}
	if n == 0 {
		return []T{}, nil
	}
	return unsafe.Slice((*T)(at), n), nil
}

// ValueOf is one value of type T in the segment, at byte off. It is as SliceOf
// with one element.
func ValueOf[T any](s *Segment, off int64) (*T, error) {
	at, err := typed(s, reflect.TypeFor[T](), off, 1)
	if err != nil {
		return nil, wrap(err, "mome: ValueOf[%v] in segment %q", reflect.TypeFor[T](), s.Name())
	}
	return (*T)(at), nil
}

// PaddedOf is n values of type T in the segment, from byte off on, each at the
// beginning of pages of its own, so that nodes which store to different ones take no
// page from each other. They have n times [PaddedSize] bytes. off is a multiple of
// PageSize; else it is as SliceOf.
func PaddedOf[T any](s *Segment, off int64, n int) ([]*T, error) {
	t := reflect.TypeFor[T]()
	all, err := padded[T](s, t, off, n)
	if err != nil {
		return nil, wrap(err, "mome: PaddedOf[%v] in segment %q", t, s.Name())
	}
	return all, nil
}

func padded[T any](s *Segment, t reflect.Type, off int64, n int) ([]*T, error) {
	if off%PageSize != 0 {
		return nil, fmt.Errorf("%w: offset %d is not a multiple of %d, the size of a page", ErrInvalid, off, PageSize)
	}
	stride := PaddedSize[T]()
	if n < 0 || int64(n) > maxBytes/stride {
		return nil, fmt.Errorf("%w: a length of %d", ErrInvalid, n)
	}
	if err := s.check(off, int64(n)*stride); err != nil {
		return nil, err
	}
	all := make([]*T, n)
	for i := range all {
		at, err := typed(s, t, off+int64(i)*stride, 1)
		if err != nil {
			return nil, err
		}
		all[i] = (*T)(at)
	}
	return all, nil
}

// PaddedSize is how many bytes a value of type T has with its pages: those of T, in
// whole pages.
func PaddedSize[T any]() int64 {
	return (max(int64(reflect.TypeFor[T]().Size()), 1) + PageSize - 1) &^ (PageSize - 1)
}

// typed is the address of n values of type t at off; nil if n is 0.
func typed(s *Segment, t reflect.Type, off int64, n int) (unsafe.Pointer, error) {
	if err := checkType(t); err != nil {
		return nil, err
	}
	size := int64(t.Size())
	switch {
	case n < 0 || int64(n) > maxBytes/size:
		return nil, fmt.Errorf("%w: a length of %d", ErrInvalid, n)
	case off%int64(t.Align()) != 0:
		return nil, fmt.Errorf("%w: offset %d is not a multiple of %d, the type's alignment", ErrInvalid, off, t.Align())
	}
	if err := s.check(off, int64(n)*size); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	return unsafe.Pointer(&s.Bytes()[off]), nil
}

// maxBytes bounds what a slice spans, so that sizes do not overflow.
const maxBytes = int64(1) << 62

// checked remembers the verdict on each type: an error or nil.
var checked sync.Map

// checkType tells whether values of the type may lie in shared memory.
func checkType(t reflect.Type) error {
	if v, ok := checked.Load(t); ok {
		err, _ := v.(error)
		return err
	}
	var err error
	switch path, why := unshareable(t); {
	case why != "":
		where := "it is"
		if path != "" {
			where = path + " is"
		}
		err = fmt.Errorf("%w: the type cannot be in shared memory: %s %s", ErrInvalid, where, why)
	case t.Size() == 0:
		err = fmt.Errorf("%w: the type has no size", ErrInvalid)
	}
	checked.Store(t, err)
	return err
}

// unshareable finds the first part of a type that cannot be in shared memory,
// as a path of fields and elements (".Name", ".Rows[].Next"), and says what it
// is. Both results are empty if there is none.
func unshareable(t reflect.Type) (path, why string) {
	if t.PkgPath() == "sync" {
		return "", fmt.Sprintf("a %v, which works within one process only", t)
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Uintptr,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return "", ""
	case reflect.Array:
		path, why = unshareable(t.Elem())
		return join("[]", path, why)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			path, why = unshareable(f.Type)
			if why != "" {
				return join("."+f.Name, path, why)
			}
		}
		return "", ""
	}
	return "", fmt.Sprintf("of kind %v (%v), which holds a Go pointer", t.Kind(), t)
}

func join(step, path, why string) (string, string) {
	if why == "" {
		return "", ""
	}
	return step + path, why
}
