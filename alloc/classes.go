package alloc

import "math/bits"

const (
	// Alignment is that of every block.
	Alignment = 16
	// PageSize is the unit in which a heap gives memory to spans and runs.
	PageSize = 4096

	fineSteps  = 8 // classes of 16 to 128 bytes, one every 16
	doublings  = 8 // from 128 bytes to largest, eight classes in each
	numClasses = fineSteps + 8*doublings
	largest    = 128 << doublings // the greatest size that has a class
	minSpan    = 4                // pages
)

// classOf is the smallest class whose blocks have size bytes; size is 1 to largest.
// From 128 bytes on a class is an eighth of a power of two greater than the one before
// it, so less than an eighth of a block is lost.
func classOf(size int) int {
	if size <= 128 {
		return (size - 1) / 16
	}
	shift := bits.Len(uint(size-1)) - 4 // the three bits below the first choose the step
	return fineSteps + (shift-4)*8 + (size-1)>>shift - 8
}

// sizes and spanPages are what the blocks of each class have, and its spans.
var sizes, spanPages = func() (s, p [numClasses]int) {
	for c := range s {
		if c < fineSteps {
			s[c] = 16 * (c + 1)
		} else {
			s[c] = (9 + (c-fineSteps)%8) << (4 + (c-fineSteps)/8)
		}
		// At most a sixteenth of a span is left over at its end.
		n := max(minSpan, (s[c]+PageSize-1)/PageSize)
		for n*PageSize%s[c]*16 > n*PageSize {
			n++
		}
		p[c] = n
	}
	return s, p
}()

// reciprocals are 2^32 divided by the sizes, rounded up.
var reciprocals = func() (r [numClasses]uint32) {
	for c, size := range sizes {
		r[c] = uint32((1<<32 + size - 1) / size)
	}
	return r
}()

// begins tells whether a block begins in bytes behind the beginning of a span: whether
// in is a multiple of the class's size. For in = q*size + r the product is, modulo 2^32,
// r reciprocals and at most in more. That is less than one reciprocal only for r = 0:
// in is less than 2^32/size in every span, as TestClasses checks.
func begins(in, class int) bool {
	return uint32(in)*reciprocals[class] < reciprocals[class]
}
