package linearizability

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
)

// parseBarrier reads one call of a party a word: a is client 0; aj0/2 joins as party 0
// of 2, aw0.1 waits in round 1 (a word is two operations then), aa0.1 arrives in it and
// has no answer, al0 leaves. With ! it is refused, or a party has died. Times are as in
// parse.
func parseBarrier(t *testing.T, text string) []Operation {
	t.Helper()
	var all []Operation
	for i, word := range strings.Fields(text) {
		o := Operation{File: "h", Line: i + 2, Operation: history.Operation{Client: int(word[0] - 'a'), Object: "x", Result: 1}}
		what, times, _ := strings.Cut(strings.TrimSuffix(word[1:], "]"), "[")
		if _, err := fmt.Sscanf(times, "%d,%d", &o.Call, &o.Return); err != nil {
			o.Return = Never
		}
		what, no := strings.CutSuffix(what, "!")
		if no {
			o.Result = 0
		}
		_, err := fmt.Sscanf(strings.NewReplacer("/", " ", ".", " ").Replace(what[1:]+" 0"), "%d %d", &o.Value, &o.Old)
		if err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		switch what[0] {
		case 'j':
			o.Op = history.OpJoin
		case 'l':
			o.Op = history.OpLeave
		case 'w', 'a':
			arrive := o
			arrive.Op = history.OpArrive
			all = append(all, arrive)
			o.Op = history.OpAwait
		}
		if what[0] == 'a' {
			all[len(all)-1].Return = Never
			continue
		}
		all = append(all, o)
	}
	return all
}

// TestBarriers: parties that use a name again and again are in one generation each
// time, and nobody is told of a loss that is not his.
func TestBarriers(t *testing.T) {
	const (
		joined = "aj0/2[1,2] bj1/2[1,2] "
		passed = joined + "aw0.1[3,6] bw1.1[4,5] "
	)
	for _, c := range []struct {
		name, history string
		verdict       Verdict
		line          int // of the call that has no place
	}{
		{"two rounds", passed + "aw0.2[7,9] bw1.2[8,9]", Linearizable, 0},
		{"again before the other has left", passed + "al0[7,8] aj0/2[9,10] bl1[11,12] bj1/2[13,14] aw0.1[15,17] bw1.1[16,17]", Linearizable, 0},
		{"of another size", passed + "al0[7,8] aj0/1[9,10] aw0.1[11,12] bl1[13,14]", Linearizable, 0},
		{"a party that is taken", joined + "cj1/2![3,4]", Linearizable, 0},
		{"another number of parties", joined + "cj2/3![3,4]", Linearizable, 0},
		{"no such party", joined + "cj2/2![3,4]", Linearizable, 0},
		{"missing", passed + "al0[7,8] bw1.2![9,10]", Linearizable, 0},
		{"arrived and left", "aj0/3[1,2] bj1/3[1,2] aa0.1[3] al0[4,5] bw1.1[6,12] cj2/3[7,8] cw2.1[9,11] bw1.2![13,14]", Linearizable, 0},
		{"gave up, and asked again", joined + "aa0.1[3] bw1.1[4,7] aw0.1[8,9]", Linearizable, 0},
		{"arrived without an answer, or not", joined + "aa0.1[3]", Linearizable, 0},

		{"over with nobody else there", joined + "aw0.1[3,4]", Violation, 4},
		{"over before the other has come", joined + "aw0.1[3,4] bw1.1[5,6]", Violation, 4},
		{"a round that was left out", passed + "aw0.3[7,8] bw1.3[7,8]", Violation, 6},
		{"refused since the other has not left", passed + "al0[7,8] aj0/2![9,10]", Violation, 7},
		{"died, and nobody has", passed + "aw0.2![7,9] bw1.2[8,9]", Violation, 6},
		{"died, and it was in the life before", passed + "al0[7,8] bl1[7,8] aj0/2[9,10] bj1/2[9,10] aw0.1![11,12]", Violation, 10},
		{"in two generations", passed + "al0[7,8] aj0/2[9,10] aw0.1[11,12]", Violation, 8},
		{"taken twice", joined + "cj1/2[3,4]", Violation, 4},
		{"a round that is over and was broken", passed + "al0[7,8] bw1.2[9,10]", Violation, 7},
		{"joined or not", "aj0/2[1] bj1/2[2,3]", Undecided, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Check(parseBarrier(t, c.history), Limits{})
			if r.Verdict != c.verdict {
				t.Fatalf("%v, want %v: %+v", r.Verdict, c.verdict, r.Findings)
			}
			if c.verdict != Violation {
				return
			}
			f := r.Findings[0]
			if f.Key.String() != `barrier "x"` || f.Model != modelBarrier || len(f.Contradiction) != 1 || f.Contradiction[0].Line != c.line {
				t.Errorf("%v, a %s: %v, want the call of line %d", f.Key, f.Model, f.Contradiction, c.line)
			}
		})
	}
}

// TestBarriersAreTold: what an operation says of itself.
func TestBarriersAreTold(t *testing.T) {
	var told []string
	for _, o := range parseBarrier(t, "aj0/2[1,2] bj0/2![1,2] aw0.1[3,4] aw0.2![5,6] al0[7,8]") {
		told = append(told, o.String())
	}
	want := []string{"join as 0 of 2 -> done", "join as 0 of 2 -> refused", "arrive as 0 in round 1", "await as 0 round 1 -> over",
		"arrive as 0 in round 2", "await as 0 round 2 -> a party died", "leave as 0"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", told, want)
	}
}
