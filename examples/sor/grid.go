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
// that a sweep over one colour is a sweep over memory.
//
// Invariants: a band begins on a page, and so do the halves of its first and
// last row, which share their pages with no other row: they are what the
// neighbours read, and only they.
type layout struct {
	rows, cols, bands int
	half              int        // cells of a half row
	offset            [2][]int64 // of the half rows, in cells, by colour and row
	size              int64      // cells
}

func newLayout(rows, cols, bands int) *layout {
	l := &layout{rows: rows, cols: cols, bands: bands, half: (cols + 1) / 2}
	const pageCells = team.PageSize / 8
	align := func() { l.size = (l.size + pageCells - 1) / pageCells * pageCells }
	for c := range l.offset {
		l.offset[c] = make([]int64, rows)
	}
	for b := range bands {
		lo, hi := team.Split(rows, bands, b)
		for c := range l.offset {
			align()
			for i := lo; i < hi; i++ {
				edge := i == lo || i == hi-1
				if edge {
					align()
				}
				l.offset[c][i] = l.size
				l.size += int64(l.half)
				if edge {
					align()
				}
			}
		}
	}
	align()
	return l
}

// span is where a half row lies, in bytes.
func (l *layout) span(colour, row int) (off, n int64) {
	return l.offset[colour][row] * 8, int64(l.half) * 8
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

// sweep updates the cells of one colour in the inner ones of rows [lo, hi).
func (g *grid) sweep(colour, lo, hi int, omega float64) {
	other := 1 - colour
	keep, gain := 1-omega, omega/4
	for i := max(lo, 1); i < min(hi, g.rows-1); i++ {
		// Cell k of the half row is in column 2k+shift. Above and below it, cell
		// k of the other colour; beside it, cells k-1+shift and k+shift.
		shift := (i + colour) & 1
		first := 1 - shift
		end := (g.cols - 2 - shift + 2) / 2 // columns up to cols-2
		if first >= end {
			continue
		}
		mid := g.row[other][i]
		relax(g.row[colour][i][first:end], g.row[other][i-1][first:end], g.row[other][i+1][first:end],
			mid[first-1+shift:end-1+shift], mid[first+shift:end+shift], keep, gain)
	}
}

// relax is the inner loop, of shared and serial runs alike. All slices have the
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
