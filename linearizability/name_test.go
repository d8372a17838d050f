package linearizability

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
)

// parseNames reads one operation of a name a word: create3 makes generation 3 and
// create0 is refused, open3 finds it and open0 nothing. ensure3! is openOrCreate
// that makes it, ensure3 finds it and ensure0 is refused for its size. remove1 and
// remove0 are done and refused. Times are as in parse.
func parseNames(t *testing.T, text string) []Operation {
	t.Helper()
	ops := map[string]string{"create": history.OpCreate, "open": history.OpOpen, "ensure": history.OpOpenOrCreate, "remove": history.OpRemove}
	var all []Operation
	for i, word := range strings.Fields(text) {
		o := Operation{File: "h", Line: i + 2, Operation: history.Operation{Client: i, Object: "x"}}
		what, times, _ := strings.Cut(strings.TrimSuffix(word, "]"), "[")
		call, end, _ := strings.Cut(times, ",")
		fmt.Sscan(call, &o.Call)
		if o.Return = Never; end != "" {
			fmt.Sscan(end, &o.Return)
		}
		what, made := strings.CutSuffix(what, "!")
		at := strings.IndexAny(what, "0123456789")
		var number uint64
		if _, err := fmt.Sscan(what[at:], &number); err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		o.Op = ops[what[:at]]
		switch {
		case o.Op == history.OpRemove:
			o.Result = number
		case made || o.Op == history.OpCreate && number > 0:
			o.Value, o.Result = number, 1
		default:
			o.Value = number
		}
		all = append(all, o)
	}
	return all
}

// TestNames: a name that is free can be used, and one that is gone is gone.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, history string
		verdict       Verdict
		line          int // of the operation that has no place
	}{
		{"two lives", "open0[1,2] create1[3,4] open1[5,6] create0[7,8] remove1[9,10] open0[11,12] remove0[13,14] create2[15,16] open2[17,18]", Linearizable, 0},
		{"at the same time", "create1[1,2] remove1[3,8] open1[4,6] open0[5,7] create2[6,9]", Linearizable, 0},
		{"open or create", "ensure1![1,4] ensure1[2,5] ensure0[6,7] remove1[8,9] ensure2![10,11]", Linearizable, 0},
		{"found after its removal", "create1[1,2] remove1[3,4] open1[5,6]", Violation, 4},
		{"the life before", "create1[1,2] remove1[3,4] create2[5,6] open1[7,8]", Violation, 5},
		{"not found", "create1[1,2] open0[3,4]", Violation, 3},
		{"not found on another node, and then found", "create1[1,9] open1[2,3] open0[4,5]", Violation, 4},
		{"made twice", "create1[1,2] create2[3,4]", Violation, 3},
		{"made twice by open or create", "ensure1![1,2] ensure2![1,3]", Violation, 3},
		{"found where it must be made", "remove0[1,2] ensure1[3,4]", Violation, 3},
		{"another size, and there is none", "create1[1,2] remove1[3,4] ensure0[5,6]", Violation, 4},
		{"taken, and there is none", "create0[1,2]", Violation, 2},
		{"removed twice", "create1[1,2] remove1[3,4] remove1[5,6]", Violation, 4},
		{"removed without effect", "create1[1,2] remove0[3,4]", Violation, 3},
		{"a generation again", "create2[1,2] remove1[3,4] create2[5,6]", Violation, 4},
		{"an older generation", "create2[1,2] remove1[3,4] create1[5,6]", Violation, 4},
		{"made without an answer", "create0[1,] open0[2,3] open4[4,5] open4[6,7]", Linearizable, 0},
		{"made without an answer, once", "create0[1,] open4[4,5] remove1[6,7] open5[8,9]", Violation, 5},
		{"made without an answer, as one generation", "create0[1,] open4[4,5] open5[6,7]", Violation, 4},
		{"removed without an answer", "create1[1,2] remove0[3,] open1[4,5] open0[6,7] create2[8,9]", Linearizable, 0},
		{"removed without an answer, and found again", "create1[1,2] remove0[3,] open0[4,5] open1[6,7]", Violation, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops := parseNames(t, c.history)
			r := Check(ops, Limits{})
			if r.Verdict != c.verdict {
				t.Fatalf("%v, want %v: %+v", r.Verdict, c.verdict, r.Findings)
			}
			if c.verdict == Linearizable {
				return
			}
			f := r.Findings[0]
			if f.Key.String() != `name "x"` || f.Model != modelName || len(f.Contradiction) != 1 || f.Contradiction[0].Line != c.line {
				t.Errorf("%v, a %s: %v, want the operation of line %d", f.Key, f.Model, f.Contradiction, c.line)
			}
		})
	}
}

// A word, a lock and a name that are called the same have nothing to do with each
// other, nor have two names.
func TestNamesApart(t *testing.T) {
	all := parseNames(t, "create1[1,2] open1[3,4]")
	other := parseNames(t, "open0[5,6]")
	other[0].Object = "y"
	all = append(all, other...)
	all = append(all, parse(t, "w5[1,2] r5[3,4] l1[5,6] u1[7,8]")...)
	r := Check(all, Limits{})
	if r.Verdict != Linearizable || len(r.Models) != 3 || r.Models[2].Model != modelName || r.Models[2].Words != 2 {
		t.Errorf("%v: %+v, want a register, a lock and two names", r.Verdict, r.Models)
	}
}
