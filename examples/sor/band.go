package main

import (
	"context"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
)

// band is one rank's part of the work.
//
// The ranks advance in passes of some phases and meet once in a pass instead of
// in every phase. In phase s of a pass a rank leaves out the s+1 rows next to a
// neighbour, because they depend on what the neighbour does meanwhile. What both
// leave out, a triangle on either side of the border, is the gap. When they have
// met, one of the two fills it. The rows that it needs of the other's, the edge,
// move to its machine, and it keeps them: in the next pass the border lies beyond
// them, and the other one fills the gap and takes them back. So the bands move up
// and down, nothing is computed twice, nothing is copied, and nothing but the
// edge, which has a row more than a pass has phases at most, goes from machine to
// machine. Two passes of three phases, one after the other; a line is a row:
//
//	       u u u | u u u
//	       u u u | u u U      u, d: by the upper, the lower rank
//	       u u u | u U U      before they meet
//	       u u u | U U U      U, D: the gaps, after they have met
//	             |-------
//	edge   u u u | U U U
//	edge   u u D | d U U
//	edge   u D D | d d U
//	edge   D D D | d d d
//	-------------|
//	       D D D | d d d
//	       d D D | d d d
//	       d d D | d d d
//
// What a rank computes before it has met its neighbours it does in parts: first
// what the gaps need of it, then the middle of the band, which nobody waits for.
// That is most of the work, and while it lasts the barrier opens and edges move:
// a neighbour may fill a gap meanwhile and begin its next pass, but not meet
// anybody again, and so far neither touches a row of the other's.
type band struct {
	*config
	team *team.Team
	grid *grid
	down bool // bands are where they lie in memory, not an edge further up
}

// edgeOf is how many rows an edge has, if passes should have so many phases and
// bands have room for that. Beside each border a band has the edge and as many
// rows again, so that its middle, which grows by a row in each phase, does not
// reach the edge before that has moved. Fewer than two rows are no edge.
func edgeOf(phases, rows, bands int) int {
	if bands == 1 {
		return 1 + phases // there is no border
	}
	return min(1+phases, rows/bands/4)
}

// iterate is the rank's part of that many iterations.
func (b *band) iterate(ctx context.Context, iterations int) error {
	for from, to := range passes(iterations, b.grid.edge-1) {
		if err := b.pass(ctx, from, to); err != nil {
			return err
		}
		b.down = !b.down
	}
	return nil
}

// pass runs phases [from, to).
func (b *band) pass(ctx context.Context, from, to int) error {
	update := func(a area) { b.grid.update(from, to, a, b.omega) }
	lo, hi := b.place()
	middle := area{lo, hi, 0, 0}
	if lo > 0 {
		middle.lo, middle.loStep = lo+2*b.grid.edge, -1
		update(area{lo + 1, middle.lo, 1, -1})
	}
	if hi < b.rows {
		middle.hi, middle.hiStep = hi-2*b.grid.edge, 1
		update(area{middle.hi, hi - 1, 1, -1})
	}
	border := hi
	if b.down {
		border = lo
	}
	fills := border > 0 && border < b.rows
	var hints []mome.Hint
	if fills && b.prefetch {
		hints = b.hints(border)
	}
	if err := b.team.Arrive(hints...); err != nil {
		return err
	}
	update(middle)
	if err := b.team.Wait(ctx); err != nil {
		return err
	}
	if fills {
		update(area{border - 1, border + 1, -1, 1})
	}
	return nil
}

// place is the rows of the band in the next pass.
func (b *band) place() (lo, hi int) {
	lo, hi = b.grid.split(b.team.Rank)
	if b.down {
		return lo, hi
	}
	if lo > 0 {
		lo -= b.grid.edge
	}
	if hi < b.rows {
		hi -= b.grid.edge
	}
	return lo, hi
}

// hints asks for the edge beyond a border, to fill the gap.
func (b *band) hints(border int) (hints []mome.Hint) {
	lo, hi := border, border+b.grid.edge
	if b.down {
		lo, hi = border-b.grid.edge, border
	}
	for colour := range b.grid.row {
		off, n := b.grid.span(colour, lo, hi)
		hints = append(hints, mome.Hint{Offset: off, Length: n, Write: true})
	}
	return hints
}
