package wire

import (
	"context"
	"errors"
)

func (l *Link) dialStream(ctx context.Context) error { return errors.New("todo") }
