package main

import (
	"context"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
)

// band is one rank's part of the work.
//
// The ranks advance in passes of up to depth phases and meet once in a pass
// instead of in every phase. In phase s of a pass a rank leaves out the s+1 rows
// next to a neighbour, because they depend on what the neighbour does meanwhile.
// What both leave out, a triangle on either side of the border, is the gap. When
// they have met, one of the two fills it; of the other's rows it needs those
// next to the border, which move to its machine, and which it keeps: in the next
// pass the border lies beyond them, depth rows further, and the other one fills
// the gap and takes them back. So the bands move up and down, nothing is computed
// twice, nothing is copied, and the only rows that go from machine to machine
// are the edge, the depth rows between the two places of the border. Depth 3:
//
//	phase  0 1 2 | 0 1 2
//	       u u u | u u U      u, d: by the upper, the lower rank
//	       u u u | u U U      before they meet
//	       u u u | U U U      U, D: the gaps, after they have met
//	edge   u u D |------- border
//	edge   u D D | U U U
//	edge   D D D | d U U
//	border-------| d d U
//	       D D D | d d d
//	       d D D | d d d
//	       d d D | d d d
//
// What a rank computes before it has met its neighbours it does in parts: first
// what the gaps need of it, then the middle of the band, which nobody waits for.
// That is most of the work, and while it lasts the barrier opens and edges move.
type band struct {
	*config
	team *team.Team
	grid *grid
	down bool // bands are where they lie in memory, not depth rows above
}

// depthOf is in how many phases, at most depth, bands of so many rows can
// advance without their neighbours: a band has two parts of 2*depth rows. It is
// 0 if there is no room for that.
func depthOf(rows, bands, depth int) int { return min(depth, rows/bands/4) }

// iterate is the rank's part of that many iterations.
func (b *band) iterate(ctx context.Context, iterations int) error {
	for from, to := range passes(iterations, b.grid.depth) {
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
		middle.lo, middle.loStep = lo+2*b.grid.depth, -1
		update(area{lo + 1, middle.lo, 1, -1})
	}
	if hi < b.rows {
		middle.hi, middle.hiStep = hi-2*b.grid.depth, 1
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
		lo -= b.grid.depth
	}
	if hi < b.rows {
		hi -= b.grid.depth
	}
	return lo, hi
}

// hints asks for what the rank needs to fill the gap at a border: the edge and
// the row next to it on its own side, and a copy of the one on the other side.
func (b *band) hints(border int) (hints []mome.Hint) {
	lo, hi := border, border+b.grid.depth // the edge
	if b.down {
		lo, hi = border-b.grid.depth, border
	}
	for colour := range b.grid.row {
		ask := func(lo, hi int, write bool) {
			off, n := b.grid.span(colour, lo, hi)
			hints = append(hints, mome.Hint{Offset: off, Length: n, Write: write})
		}
		ask(lo-1, lo, !b.down)
		ask(lo, hi, true)
		ask(hi, hi+1, b.down)
	}
	return hints
}
