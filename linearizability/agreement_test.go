package linearizability

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mome-dsm/mome/impl/history"
)

var (
	seed   = flag.Uint64("seed", 0, "judge the histories of this seed only")
	rounds = flag.Int("rounds", 3000, "histories of each kind")
)

// kinds are the histories that the checkers must agree about.
var kinds = []struct {
	name   string
	ops    []string
	unique bool
	about  Kind
	// decided is how many of a hundred histories must be decided without a
	// search, as they are and corrupted.
	decided int
}{
	{"register", []string{history.OpRead, history.OpWrite}, true, OfWord, 90},
	{"cas register", []string{history.OpRead, history.OpCAS}, true, OfWord, 60},
	{"counter", []string{history.OpRead, history.OpAdd, history.OpAdd}, true, OfWord, 60},
	{"word", []string{history.OpRead, history.OpWrite, history.OpCAS, history.OpCAS, history.OpAdd}, true, OfWord, 30},
	{"blocks", []string{history.OpRead, history.OpWrite, history.OpCAS, history.OpCAS}, true, OfWord, 90},
	{"lock", []string{history.OpAcquire, history.OpRelease}, false, OfLock, 90},
	{"values again", []string{history.OpRead, history.OpWrite, history.OpCAS, history.OpAdd}, false, OfWord, 0},
}

// TestAgreement has Porcupine judge small histories that zones and chains decide
// about: as they happened, and corrupted.
func TestAgreement(t *testing.T) {
	for i, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			var accepted, rejected, undecided int
			n := *rounds
			for round := range uint64(n) {
				s := round
				if *seed > 0 {
					s = *seed
				}
				for _, corrupted := range []bool{false, true} {
					r := &random{Rand: rand.New(rand.NewPCG(s, uint64(i))), ops: kind.ops, unique: kind.unique, open: s%2 == 0}
					r.clients, r.count = 1+r.IntN(5), 1+r.IntN(24)
					all := r.history()
					if corrupted {
						r.corrupt(all)
					}
					again := fmt.Sprintf("go test ./linearizability -run 'TestAgreement/%s' -seed %d", t.Name()[len("TestAgreement/"):], s)
					verdict, decided := agree(t, Key{Kind: kind.about, Object: "it"}, all, again)
					switch {
					case !decided:
						undecided++
					case verdict == Linearizable:
						accepted++
					default:
						rejected++
					}
					if verdict == Violation && !corrupted {
						t.Fatalf("a history that happened is rejected:\n%srun again: %s", text(pointers(all)), again)
					}
				}
				if *seed > 0 {
					return
				}
			}
			t.Logf("histories: agreement with Porcupine: %-12s %5d linearizable, %5d not, %5d left to the search", kind.name, accepted, rejected, undecided)
			if (accepted+rejected)*100 < 2*n*kind.decided {
				t.Errorf("%d of %d were decided without a search, want %d%%", accepted+rejected, 2*n, kind.decided)
			}
			if accepted < n/100 && kind.decided > 0 || rejected < n/100 {
				t.Errorf("%d accepted and %d rejected: too few to say anything", accepted, rejected)
			}
		})
	}
}

// agree judges one history by zones or chains, and by Porcupine.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, k Key, all []Operation, again string) (verdict Verdict, decided bool) {
	t.Helper()
	ops := pointers(all)
	_, model, _ := modelOf(k, ops)
	want := porcupine.CheckOperationsTimeout(*model, forPorcupine(ops), time.Minute)
	if want == porcupine.Unknown {
		t.Fatalf("Porcupine has not ended\nrun again: %s", again)
	}
	r := &Result{Key: k}
	c, doubt := r.fast(ops)
	if doubt != "" {
		if want == porcupine.Illegal {
			verdict = Violation
		}
		return verdict, false
	}
	if c != nil {
		verdict = Violation
	}
	if (verdict == Violation) != (want == porcupine.Illegal) {
		why := ""
		if c != nil {
			why = ": " + c.why
		}
		t.Fatalf("the %s checker says %v%s, Porcupine says %v\n%srun again: %s", r.Checker, verdict, why, want, text(ops), again)
	}
	if c == nil || c.window == nil {
		return verdict, true
	}
	// The window that the picture shows has the violation, too.
	part := c.window.of(ops, c.ops)
	m := *model
	if c.window.start != 0 {
		m.Init = func() any { return c.window.start }
	}
	if got := porcupine.CheckOperationsTimeout(m, forPorcupine(part), time.Minute); got != porcupine.Illegal {
		t.Fatalf("the %s checker says %s; of the window\n%sPorcupine says %v\nall:\n%srun again: %s", r.Checker, c.why, text(part), got, text(ops), again)
	}
	return verdict, true
}

func text(ops []*Operation) string {
	s := ""
	for _, o := range ops {
		end := fmt.Sprint(o.Return)
		if o.open() {
			end = "-"
		}
		s += fmt.Sprintf("  client %d [%d,%s] %v\n", o.Client, o.Call, end, o)
	}
	return s
}

func pointers(all []Operation) []*Operation {
	ops := make([]*Operation, len(all))
	for i := range all {
		ops[i] = &all[i]
	}
	return ops
}
