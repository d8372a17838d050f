package linearizability

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/history"
)

// parse reads one operation a word: w5[1,2] writes 5 between 1 and 2, r5 reads 5,
// c4>5 swaps, n4>5 is refused, a2=7 adds 2 and gets 7, l3 and u3 lock and unlock
// with fence 3, d3 is a lock whose owner died. No return: [1,].
func parse(t *testing.T, text string) []Operation {
	t.Helper()
	var all []Operation
	for i, word := range strings.Fields(text) {
		o := Operation{File: "h", Line: i + 2, Operation: history.Operation{Client: i, Object: "x"}}
		what, times, _ := strings.Cut(strings.TrimSuffix(word, "]"), "[")
		call, end, _ := strings.Cut(times, ",")
		fmt.Sscan(call, &o.Call)
		if o.Return = Never; end != "" {
			fmt.Sscan(end, &o.Return)
		}
		var err error
		switch kind := what[0]; kind {
		case 'r', 'w', 'l', 'd', 'u':
			o.Op = map[byte]string{'r': history.OpRead, 'w': history.OpWrite, 'l': history.OpAcquire, 'd': history.OpAcquire, 'u': history.OpRelease}[kind]
			_, err = fmt.Sscanf(what[1:], "%d", &o.Value)
			if kind == 'd' {
				o.Old = 1
			}
			if kind == 'u' {
				o.Result = 1
			}
		case 'c', 'n':
			o.Op = history.OpCAS
			if kind == 'c' {
				o.Result = 1
			}
			_, err = fmt.Sscanf(what[1:], "%d>%d", &o.Old, &o.Value)
		case 'a':
			o.Op = history.OpAdd
			_, err = fmt.Sscanf(what[1:], "%d=%d", &o.Value, &o.Result)
		default:
			o.Op = what
		}
		if err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		all = append(all, o)
	}
	return all
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, history string
		verdict       Verdict
		checker       string
		why           string
		lines         []int // of the contradiction
	}{
		{"nothing", "", Linearizable, "", "", nil},
		{"register", "w1[1,2] r1[3,4] w2[3,6] r2[5,7]", Linearizable, "zone", "", nil},
		{"initial value", "r0[1,2] w1[3,4]", Linearizable, "zone", "", nil},
		{"stale read", "w1[1,2] w2[3,4] r1[5,6]", Violation, "zone", "must come before", []int{2, 3, 4}},
		{"stale initial value", "w1[1,2] r0[3,4]", Violation, "zone", "the initial value 0 must come before", []int{2, 3}},
		{"new then old", "w1[1,2] w2[3,20] r2[5,6] r1[7,8]", Violation, "zone", "", []int{2, 3, 4, 5}},
		{"same instant", "w1[1,2] w2[3,5] r1[5,6]", Linearizable, "zone", "", nil},
		{"read from nowhere", "w1[1,2] r7[3,4]", Violation, "chain", "7 was read, and nobody has put it there", []int{3}},
		{"read before its write", "r1[1,2] w1[3,4]", Violation, "zone", "seen before", []int{2, 3}},
		{"open write, seen", "w1[1,2] w2[3,] r2[8,9]", Linearizable, "zone", "", nil},
		{"open write, seen and then not", "w1[1,2] w2[3,] r2[8,9] r1[10,11]", Violation, "zone", "", []int{2, 3, 4, 5}},
		{"open write, not seen", "w1[1,2] w2[3,] r1[8,9]", Linearizable, "zone", "", nil},
		{"open read", "w1[1,2] r7[3,]", Linearizable, "zone", "", nil},

		{"chain", "c0>1[1,2] c1>2[3,4] r2[5,6]", Linearizable, "chain", "", nil},
		{"chain against time", "c1>2[1,2] c0>1[3,4]", Violation, "chain", "the value 2 comes after the value 1", []int{2, 3}},
		{"lost swap", "c0>1[1,2] c1>2[3,4] c1>3[3,4]", Violation, "chain", "1 was replaced 2 times", []int{2, 3, 4}},
		{"refused", "c0>1[1,5] n0>9[4,6]", Linearizable, "chain", "", nil},
		{"refused wrongly", "c0>1[1,2] n1>9[3,4]", Violation, "chain", "refused", []int{2, 3}},
		{"refused before", "w1[1,2] n2>9[3,4] w2[3,6]", Linearizable, "chain", "", nil},
		{"refused, in another order", "n0>9[2,3] w3[4,5] w2[3,6]", Linearizable, "chain", "", nil},
		{"circle", "c1>2[1,2] c2>1[3,4]", Violation, "chain", "came from itself", []int{2, 3}},
		{"counter", "a1=1[1,4] a1=2[1,4] a1=3[2,3] r3[5,6]", Linearizable, "chain", "", nil},
		{"lost update", "a1=1[1,4] a1=1[1,4]", Violation, "chain", "0 was replaced 2 times", []int{2, 3}},
		{"written and added to", "w10[1,2] a5=15[3,4] w20[5,6] c20>21[7,8] r21[9,10]", Linearizable, "chain", "", nil},
		{"a write in the middle", "w10[1,2] w20[3,4] a5=15[5,6] r15[7,8]", Violation, "chain", "", []int{2, 3, 5}},
		{"the open addition that is needed", "a1=1[1,2] a1=0[3,] r2[5,6]", Linearizable, "search", "", nil},

		{"values again", "w1[1,2] w2[3,4] w1[5,6] r1[7,8]", Linearizable, "search", "", nil},
		{"values again, wrong", "w1[1,2] w1[3,4] w2[5,6] r1[7,8]", Violation, "search", "no order", []int{5}},
		{"unknown", "swap[1,2]", Undecided, "", `no model has the operation "swap"`, []int{2}},

		{"lock", "l1[1,2] u1[3,4] l3[2,6] u3[7,8]", Linearizable, "chain", "", nil},
		{"two holders", "l1[1,2] l2[3,4] u1[5,6]", Violation, "chain", "the turn with fence 2 comes after the free lock", []int{3, 4}},
		{"never given up", "l1[1,2] l2[3,4]", Violation, "chain", "has not ended", []int{2, 3}},
		{"the owner died", "l1[1,2] d2[3,4] u2[5,6]", Linearizable, "chain", "", nil},
		{"fences against time", "l2[1,2] u2[3,4] l1[5,6] u1[7,8]", Violation, "chain", "", []int{2, 5}},
		{"one fence twice", "l1[1,2] u1[3,4] l1[5,6]", Violation, "chain", "two turns have the fence 1", []int{2, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := parse(t, c.history)
			r := Check(all, Limits{})
			if r.Verdict != c.verdict {
				t.Fatalf("%v, want %v", r.Verdict, c.verdict)
			}
			if len(r.Models) > 0 && c.checker != "" && r.Models[0].Checkers[c.checker] != 1 {
				t.Errorf("decided by %v, want %s", r.Models[0].Checkers, c.checker)
			}
			if c.verdict == Linearizable {
				return
			}
			f := r.Findings[0]
			var lines []int
			for _, o := range f.Contradiction {
				lines = append(lines, o.Line)
			}
			slices.Sort(lines)
			if !strings.Contains(f.Why, c.why) || !slices.Equal(lines, c.lines) {
				t.Errorf("%s, lines %d; want %s, lines %d", f.Why, lines, c.why, c.lines)
			}
			var page bytes.Buffer
			if n, err := f.Draw(&page); err != nil || f.Confirmed != (n > 0) || f.Confirmed != (c.verdict == Violation) {
				t.Errorf("a picture of %d operations, %v; confirmed: %v", n, err, f.Confirmed)
			}
		})
	}
}

// TestUndecided: what cannot be decided is no success.
func TestUndecided(t *testing.T) {
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "w%d[%d,%d] r%d[%d,%d] ", i%3, 10*i, 10*i+5, i%3, 10*i+6, 10*i+7)
	}
	all := parse(t, text.String())
	if r := Check(all, Limits{}); r.Verdict != Linearizable {
		t.Fatalf("%v", r.Verdict)
	}
	r := Check(all, Limits{Operations: 79})
	if r.Verdict != Undecided || !strings.Contains(r.Findings[0].Why, "80 operations are too many") {
		t.Errorf("%v %v", r.Verdict, r.Findings)
	}
	// Each value is written four times, two of them are read five times in turn.
	text.Reset()
	for i := range 120 {
		fmt.Fprintf(&text, "w%d[1,1000] ", 1+i%30)
	}
	for i := range 10 {
		fmt.Fprintf(&text, "r%d[%d,%d] ", 1+i%2, 2*i+2, 2*i+2)
	}
	r = Check(parse(t, text.String()), Limits{Time: time.Nanosecond})
	if r.Verdict != Undecided || !strings.Contains(r.Findings[0].Why, "has not ended") {
		t.Errorf("%v %v", r.Verdict, r.Findings)
	}
}

// TestTooManyOrders: forty writes at once have too many orders to try, all of
// which leave the operation that was refused before them without a place.
func TestTooManyOrders(t *testing.T) {
	var text strings.Builder
	text.WriteString("w1[1,2] n1>90[3,4] ")
	for i := range 40 {
		fmt.Fprintf(&text, "w%d[10,20] ", 100+i)
	}
	all := parse(t, text.String())
	r := Check(all, Limits{Operations: len(all) - 1})
	if r.Verdict != Undecided || !strings.Contains(r.Findings[0].Why, doubtOrders) {
		t.Errorf("%v %v", r.Verdict, r.Findings)
	}
}

// TestPartition: words and locks are judged by themselves, and a clock bound
// widens what is judged.
func TestPartition(t *testing.T) {
	all := parse(t, "w1[1,2] w2[3,4] r1[5,6] l1[1,2] u1[3,4]")
	all[2].Word = 8
	r := Check(all, Limits{})
	if r.Verdict != Violation || len(r.Findings) != 1 || r.Findings[0].Key != (Key{Object: "x", Word: 8}) {
		t.Errorf("%v", r.Findings)
	}
	if len(r.Models) != 2 || r.Models[0].Words != 2 || r.Models[0].Linearizable != 1 || r.Models[1].Model != "lock" || r.Models[1].Clients != 2 {
		t.Errorf("%+v", r.Models)
	}
}
