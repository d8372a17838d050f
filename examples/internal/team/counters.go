package team

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome"
)

// Growth is what the counters of one node grew by; those that did not grow are
// left out.
type Growth struct {
	Node     int               `json:"node"`
	Counters map[string]uint64 `json:"counters"`
}

// Since is how much counters have grown.
func Since(before, after map[string]uint64) map[string]uint64 {
	grown := make(map[string]uint64)
	for name, v := range after {
		if d := v - before[name]; d != 0 {
			grown[name] = d
		}
	}
	return grown
}

// Stats is the counters of this rank's node.
func (t *Team) Stats(ctx context.Context) (map[string]uint64, error) { return t.node.Stats(ctx) }

// Gather is what the counters of all nodes have grown by since each rank took
// its own with Stats; ranks of one node count once. All ranks call it, and rank
// 0 gets the result: each of the others leaves its part on a page of a segment
// that the team has for that.
func (t *Team) Gather(ctx context.Context, before map[string]uint64) ([]Growth, error) {
	after, err := t.Stats(ctx)
	if err != nil {
		return nil, err
	}
	board, err := t.node.OpenOrCreate(ctx, t.Segment.Name()+".counters", int64(t.Size)*PageSize, mome.WithHome(mome.Block))
	if err != nil {
		return nil, err
	}
	defer board.Close()
	text, err := json.Marshal(Growth{t.node.ID(), Since(before, after)})
	if err != nil {
		return nil, err
	}
	part := func(rank int) []byte { return board.Bytes()[rank*PageSize:][:PageSize] }
	if len(text) >= PageSize {
		return nil, fmt.Errorf("%d bytes of counters do not fit on a page", len(text))
	}
	copy(part(t.Rank), text)
	if err := t.Wait(ctx); err != nil || t.Rank != 0 {
		return nil, err
	}
	var all []Growth
	for rank := range t.Size {
		var g Growth
		end := slices.Index(part(rank), 0) // what follows the text was never written
		if err := json.Unmarshal(part(rank)[:end], &g); err != nil {
			return nil, fmt.Errorf("counters of rank %d: %w", rank, err)
		}
		if i, ok := slices.BinarySearchFunc(all, g, func(a, b Growth) int { return cmp.Compare(a.Node, b.Node) }); !ok {
			all = slices.Insert(all, i, g)
		}
	}
	return all, t.node.Remove(ctx, board.Name())
}
