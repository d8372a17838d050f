package main

// class is a problem size of the NAS Parallel Benchmarks, kernel IS (NAS
// Technical Report 95-020; the constants are those of NPB 3.4), with the ranks
// that five of its keys are known to have.
type class struct {
	name       string
	keysLog    int // logarithm of the number of keys
	maxKeyLog  int // logarithm of the range of the keys
	testIndex  [tests]int
	testRank   [tests]int
	adjustment func(test, iteration int) int // of testRank, in an iteration
}

const (
	iterations = 10
	tests      = 5 // keys whose rank is checked in each iteration
)

func (c *class) keys() int   { return 1 << c.keysLog }
func (c *class) maxKey() int { return 1 << c.maxKeyLog }

// The two keys that each iteration changes push the ranks of the others up or
// down: by the iteration's number, give or take what the class starts from.
var classes = map[string]*class{
	"S": {
		name: "S", keysLog: 16, maxKeyLog: 11,
		testIndex:  [tests]int{48427, 17148, 23627, 62548, 4431},
		testRank:   [tests]int{0, 18, 346, 64917, 65463},
		adjustment: func(test, it int) int { return upOrDown(test <= 2, it) },
	},
	"W": {
		name: "W", keysLog: 20, maxKeyLog: 16,
		testIndex: [tests]int{357773, 934767, 875723, 898999, 404505},
		testRank:  [tests]int{1249, 11698, 1039987, 1043896, 1048018},
		adjustment: func(test, it int) int {
			if test < 2 {
				return it - 2
			}
			return -it
		},
	},
	"A": {
		name: "A", keysLog: 23, maxKeyLog: 19,
		testIndex:  [tests]int{2112377, 662041, 5336171, 3642833, 4250760},
		testRank:   [tests]int{104, 17523, 123928, 8288932, 8388264},
		adjustment: func(test, it int) int { return upOrDown(test <= 2, it-1) },
	},
	"B": {
		name: "B", keysLog: 25, maxKeyLog: 21,
		testIndex:  [tests]int{41869, 812306, 5102857, 18232239, 26860214},
		testRank:   [tests]int{33422937, 10244, 59149, 33135281, 99},
		adjustment: func(test, it int) int { return upOrDown(test == 1 || test == 2 || test == 4, it) },
	},
}

func upOrDown(up bool, by int) int {
	if up {
		return by
	}
	return -by
}

// The generator of the benchmarks: x' = multiplier * x mod 2^46, a number
// x / 2^46 between 0 and 1.
const (
	seed       = 314159265
	multiplier = 1220703125 // 5^13
	modulus    = 1<<46 - 1  // as a mask
)

// generate makes keys [first, first+len(keys)) of the class's sequence. A key
// is the mean of four random numbers, scaled to the range of the keys: their
// sum, which is below 2^48, shifted down.
func (c *class) generate(keys []int32, first int) {
	x := seed * power(multiplier, 4*uint64(first)) & modulus
	for i := range keys {
		var sum uint64
		for range 4 {
			x = x * multiplier & modulus
			sum += x
		}
		keys[i] = int32(sum >> (48 - c.maxKeyLog))
	}
}

// power is a^n mod 2^46.
func power(a, n uint64) uint64 {
	r := uint64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r = r * a & modulus
		}
		a = a * a & modulus
	}
	return r
}
