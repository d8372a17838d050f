//go:build invariants || race || mutants

package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// chance makes the choices of a seed.
type chance struct{ *rand.Rand }

func chanceOf(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 0))} }

// pick implements choices: half of the time it is the ordinary thing.
func (c chance) pick(n int) int {
	if n == 1 || c.Uint32()&1 == 0 {
		return 0
	}
	return c.IntN(n)
}

// trouble implements choices.
func (c chance) trouble(n int) int {
	if c.Uint32()%16 != 0 {
		return 0
	}
	return 1 + c.IntN(n)
}

// next implements choices: who is in the middle of something mostly goes on, and
// time passes seldom while there is anything else to do.
func (c chance) next(ready []*task, last *task) *task {
	for {
		if last != nil && c.Uint32()%4 != 0 {
			return last
		}
		a := ready[c.IntN(len(ready))]
		if a.name != timeName || len(ready) == 1 || c.Uint32()%8 == 0 {
			return a
		}
	}
}

// enumeration makes the choices of all runs, one after the other, in which the order of
// turns differs from the plain one by so many delays at most (Emmi, Qadeer,
// Rakamaric, Delay-Bounded Scheduling, POPL 2011). In the plain order who is in the
// middle of something goes on, and else it is the turn of the next one; a delay
// passes over one who could go on. All else is the ordinary thing, and the kernel
// is in trouble every other time, as long as it may be.
type enumeration struct {
	bound int // less than zero: none
	left  int // delays
	path  []choice
	at    int
	asked int // for trouble
	from  int // whose turn it is in the plain order, if nobody is in the middle of something
	all   []*task
}

// choice is the one that was taken, of so many.
type choice struct{ taken, of int }

// again begins the next run; it is false behind the last.
func (o *enumeration) again() bool {
	if o.all != nil {
		for len(o.path) > 0 && o.path[len(o.path)-1].taken+1 == o.path[len(o.path)-1].of {
			o.path = o.path[:len(o.path)-1]
		}
		if len(o.path) == 0 {
			return false
		}
		o.path[len(o.path)-1].taken++
	}
	o.repeat()
	return true
}

// repeat has the next run be the last one again.
func (o *enumeration) repeat() { o.at, o.left, o.from, o.asked = 0, o.bound, 0, 0 }

func (o *enumeration) String() string {
	text := ""
	for i, c := range o.path {
		if c.taken > 0 {
			text += fmt.Sprintf(" %d at %d", c.taken, i)
		}
	}
	return "delays:" + text
}

func (o *enumeration) pick(int) int { return 0 }

func (o *enumeration) trouble(int) int {
	o.asked++
	return o.asked % 2
}

func (o *enumeration) next(ready []*task, last *task) *task {
	// In the order of the tasks, from the one on whose turn it is; time comes last.
	o.all = slices.Clone(ready)
	slices.SortStableFunc(o.all, func(a, b *task) int { return o.rank(a, last) - o.rank(b, last) })
	most := len(ready)
	if o.bound >= 0 {
		most = min(most, o.left+1)
	}
	if o.at == len(o.path) {
		o.path = append(o.path, choice{0, most})
	}
	i := o.path[o.at].taken
	o.at++
	o.left -= i
	o.from = o.all[i].number + 1
	return o.all[i]
}

func (o *enumeration) rank(a, last *task) int {
	switch {
	case a == last:
		return -1
	case a.name == timeName:
		return 1 << 20
	case a.number < o.from:
		return 1<<10 + a.number
	}
	return a.number
}
