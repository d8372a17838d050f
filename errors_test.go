package mome

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// What a program prints is one line that names Mome once, and errors.Is finds
// what it is about.
func TestErrorsAreOneLine(t *testing.T) {
	exists := &client.Error{Code: attachpb.Code_CODE_EXISTS, Message: "segment a: remove it"}
	for want, err := range map[string]error{
		`mome: create segment "a": segment exists: segment a: remove it`:            wrap(exists, "mome: create segment %q", "a"),
		`mome: close: segment exists; segment exists: there`:                        wrap(errors.Join(ErrExists, fmt.Errorf("%w: there", ErrExists)), "mome: close"),
		`mome: open or create segment "a": create: segment exists: what mome: says`: wrap(fmt.Errorf("create: %w: what mome: says", ErrExists), "mome: open or create segment %q", "a"),
	} {
		if err.Error() != want || !errors.Is(err, ErrExists) {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if err := wrap(nil, "mome: close"); err != nil {
		t.Errorf("%v of nothing", err)
	}
}
