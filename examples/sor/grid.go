package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/mome-dsm/mome/examples/internal/team"
)

// The colours of red-black ordering: cell (i, j) is red if i+j is even. A cell
// has neighbours of the other colour only, so all cells of one colour can be
// updated at once.
const (
	red   = 0
	black = 1
)

// layout says where the rows of a grid lie in memory: by bands of rows, one per
// rank, and in a band first the red halves of its rows, then the black ones, so
// that what is updated together lies together.
//
// Invariants: a band begins on a page, and so do the red and the black halves of
// its edge, its last rows, which are what the next band's rank works on too. The
// last band is laid out alike.
type layout struct {
	rows, cols, bands int
	edge              int        // rows
	half              int        // cells of a half row
	offset            [2][]int64 // of the half rows, in cells, by colour and row
	size              int64      // cells
}

func newLayout(rows, cols, bands, edge int) *layout {
	l := &layout{rows: rows, cols: cols, bands: bands, edge: edge, half: (cols + 1) / 2}
	const pageCells = team.PageSize / 8
	align := func() { l.size = (l.size + pageCells - 1) / pageCells * pageCells }
	for c := range l.offset {
		l.offset[c] = make([]int64, rows)
	}
	for b := range bands {
		lo, hi := l.split(b)
		for c := range l.offset {
			align()
			for i := lo; i < hi; i++ {
				if i == hi-edge {
					align()
				}
				l.offset[c][i] = l.size
				l.size += int64(l.half)
			}
		}
	}
	align()
	return l
}

// split is the rows of a band. They are equally many on average over the places
// that bands have in turn, where they lie in memory and an edge further up.
func (l *layout) split(band int) (lo, hi int) {
	lo, hi = team.Split(l.rows, l.bands, band)
	if lo > 0 {
		lo += l.edge / 2
	}
	if hi < l.rows {
		hi += l.edge / 2
	}
	return lo, hi
}

// bandSpan is where the rows of a band lie, in bytes.
func (l *layout) bandSpan(band int) (off, n int64) {
	lo, hi := l.split(band)
	return l.cells(l.offset[red][lo], l.offset[black][hi-1])
}

// span is where half rows [lo, hi) lie, of one band, in bytes.
func (l *layout) span(colour, lo, hi int) (off, n int64) {
	return l.cells(l.offset[colour][lo], l.offset[colour][hi-1])
}

// cells is where the cells of two half rows and all between them lie, in bytes.
func (l *layout) cells(first, last int64) (off, n int64) {
	return first * 8, (last + int64(l.half) - first) * 8
}

// grid is a layout over memory, shared or not.
type grid struct {
	*layout
	row [2][][]float64 // half rows by colour and row
}

func newGrid(l *layout, cells []float64) *grid {
	g := &grid{layout: l}
	for c := range g.row {
		g.row[c] = make([][]float64, l.rows)
		for i := range g.row[c] {
			off := l.offset[c][i]
			g.row[c][i] = cells[off : off+int64(l.half) : off+int64(l.half)]
		}
	}
	return g
}

// initialize sets rows [lo, hi) to the start: a boundary of assorted values and
// zeros inside.
func (g *grid) initialize(lo, hi int) {
	for i := lo; i < hi; i++ {
		clear(g.row[red][i])
		clear(g.row[black][i])
		for j := range g.cols {
			if i == 0 || j == 0 || i == g.rows-1 || j == g.cols-1 {
				g.row[(i+j)&1][i][j/2] = float64((i*31+j*17)%101) / 8
			}
		}
	}
}

// area is rows [lo, hi), whose ends move with each phase by loStep and hiStep,
// at most one row: then a band that knows nothing of its neighbours' phases can
// keep away from rows which depend on them.
type area struct{ lo, hi, loStep, hiStep int }

// update runs phases [from, to) on an area; a phase updates the cells of one
// colour, red in phases with an even number.
//
// The phases follow each other through the rows as a wave, each one row behind
// the phase before it, so that a row that has come into the cache is updated by
// all of them. Each cell still reads what it would if the phases ran one after
// another: row i in phase p needs rows i-1 to i+1 as phase p-1 has left them,
// the last of which phase p-1 has just updated, and no later phase has touched.
func (g *grid) update(from, to int, a area, omega float64) {
	end := a.hi + (to-from-1)*(a.hiStep+1)
	for front := a.lo; front < end; front++ {
		for s := range to - from {
			if i := front - s; i >= a.lo+s*a.loStep && i < a.hi+s*a.hiStep {
				g.updateRow((from+s)&1, i, omega)
			}
		}
	}
}

// updateRow updates the cells of one colour in a row, if it is an inner one.
func (g *grid) updateRow(colour, i int, omega float64) {
	if i < 1 || i >= g.rows-1 {
		return
	}
	// Cell k of the half row is in column 2k+shift. Above and below it, cell k of
	// the other colour; beside it, cells k-1+shift and k+shift.
	shift := (i + colour) & 1
	first := 1 - shift
	end := (g.cols - shift) / 2 // columns up to cols-2
	if first >= end {
		return
	}
	other := g.row[1-colour]
	mid := other[i]
	relax(g.row[colour][i][first:end], other[i-1][first:end], other[i+1][first:end],
		mid[first-1+shift:end-1+shift], mid[first+shift:end+shift], 1-omega, omega/4)
}

// relax is the kernel, of shared and serial runs alike. All slices have the
// length of x.
func relax(x, up, down, left, right []float64, keep, gain float64) {
	n := len(x)
	up, down, left, right = up[:n], down[:n], left[:n], right[:n]
	for k := range x {
		x[k] = keep*x[k] + gain*((up[k]+down[k])+(left[k]+right[k]))
	}
}

// digest is the SHA-256 of the cells in the order of rows and columns.
func (g *grid) digest() string {
	h := sha256.New()
	line := make([]byte, 8*g.cols)
	for i := range g.rows {
		for j := range g.cols {
			binary.LittleEndian.PutUint64(line[8*j:], math.Float64bits(g.row[(i+j)&1][i][j/2]))
		}
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}
