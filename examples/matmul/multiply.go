package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/mome-dsm/mome/examples/internal/team"
)

// layout says where the rows of A, B and C lie in memory: by bands of rows, one
// per rank, and in a band its rows of A, of B and of C. Each of them begins on
// a page: no page holds rows of two ranks or of two matrices.
type layout struct {
	n, bands int
	offset   [3][]int64 // of the rows, in cells, by matrix and row
	size     int64      // cells
}

const (
	matrixA = iota
	matrixB
	matrixC
)

func newLayout(n, bands int) *layout {
	l := &layout{n: n, bands: bands}
	for m := range l.offset {
		l.offset[m] = make([]int64, n)
	}
	for b := range bands {
		lo, hi := team.Split(n, bands, b)
		for m := range l.offset {
			for i := lo; i < hi; i++ {
				l.offset[m][i] = l.size
				l.size += int64(n)
			}
			l.size = team.AlignUp(l.size*8) / 8
		}
	}
	return l
}

// span is where rows [lo, hi) of a band lie in a matrix, in bytes.
func (l *layout) span(matrix, lo, hi int) (off, n int64) {
	return l.offset[matrix][lo] * 8, int64(hi-lo) * int64(l.n) * 8
}

// matrices is a layout over memory, shared or not.
type matrices struct {
	*layout
	row [3][][]float64
}

func newMatrices(l *layout, cells []float64) *matrices {
	x := &matrices{layout: l}
	for m := range x.row {
		x.row[m] = make([][]float64, l.n)
		for i := range x.row[m] {
			off := l.offset[m][i]
			x.row[m][i] = cells[off : off+int64(l.n) : off+int64(l.n)]
		}
	}
	return x
}

// initialize sets rows [lo, hi) of A and B to assorted numbers whose products
// do not come out exact.
func (x *matrices) initialize(lo, hi int) {
	for i := lo; i < hi; i++ {
		for j := range x.n {
			x.row[matrixA][i][j] = float64((i*37+j*101)%997)/997 - 0.5
			x.row[matrixB][i][j] = float64((i*89+j*53)%1009)/1009 - 0.5
		}
	}
}

// Sizes of the blocks of B that are used while they are in the cache: 64 x 256
// cells are 128 KiB.
const (
	blockK = 64
	blockJ = 256
)

// multiply computes rows [lo, hi) of C. The order of the additions to a cell is
// that of k, whatever the rows.
func (x *matrices) multiply(lo, hi int) {
	a, b, c := x.row[matrixA], x.row[matrixB], x.row[matrixC]
	for i := lo; i < hi; i++ {
		clear(c[i])
	}
	for k := 0; k < x.n; k += blockK {
		endK := min(k+blockK, x.n)
		for j := 0; j < x.n; j += blockJ {
			endJ := min(j+blockJ, x.n)
			for i := lo; i < hi; i++ {
				block(c[i][j:endJ], a[i][k:endK], b[k:endK], j)
			}
		}
	}
}

// block adds to part of a row of C what a block of B contributes: its rows from
// column j on, each times its cell of a. Four rows at a time.
func block(c, a []float64, b [][]float64, j int) {
	n := len(c)
	k := 0
	for ; k+4 <= len(a); k += 4 {
		b0, b1, b2, b3 := b[k][j:j+n], b[k+1][j:j+n], b[k+2][j:j+n], b[k+3][j:j+n]
		a0, a1, a2, a3 := a[k], a[k+1], a[k+2], a[k+3]
		for i := range c {
			c[i] = c[i] + a0*b0[i] + a1*b1[i] + a2*b2[i] + a3*b3[i]
		}
	}
	for ; k < len(a); k++ {
		row, f := b[k][j:j+n], a[k]
		for i := range c {
			c[i] += f * row[i]
		}
	}
}

// digest is the SHA-256 of the cells of C in the order of rows and columns.
func (x *matrices) digest() string {
	h := sha256.New()
	line := make([]byte, 8*x.n)
	for _, row := range x.row[matrixC] {
		for j, v := range row {
			binary.LittleEndian.PutUint64(line[8*j:], math.Float64bits(v))
		}
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}
