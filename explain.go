package mome

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// explainTime bounds how long the node may take to say for whom a call waited
// whose deadline has passed.
const explainTime = 500 * time.Millisecond

// theStore asks about calls that need the cluster's configuration.
func theStore() *attachpb.Explain {
	return &attachpb.Explain{What: &attachpb.Explain_Store{Store: true}}
}

// explain adds to the error of a call whose deadline has passed for whom it waited,
// as far as the node finds that out in a moment.
func (n *Node) explain(ctx context.Context, err error, what *attachpb.Explain) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return because(err, n.why(ctx, what))
}

// because adds a reason to an error, if there is one.
func because(err error, why string) error {
	if err == nil || why == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, why)
}

// why is what the node says; empty if it says nothing.
func (n *Node) why(ctx context.Context, what *attachpb.Explain) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainTime)
	defer cancel()
	reply, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_Explain{Explain: what}})
	if err != nil {
		return "" // the error of the call is the news
	}
	return reply.GetExplanation().GetText()
}
