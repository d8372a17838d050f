package trace

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/mome-dsm/mome/impl/protocol"
)

// Protocol is the one whose action the record is; nil where it is none.
func (r *Record) Protocol() *protocol.Protocol {
	switch {
	case r.Kind != KindAction:
		return nil
	case r.Of != nil:
		return r.Of
	}
	return protocol.Pages
}

// State decodes the state after an action into a type of package protocol, which
// has all that the state may have.
func (r *Record) State(into any) error {
	d := json.NewDecoder(bytes.NewReader(r.Post))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	return nil
}
