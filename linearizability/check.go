package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what is known of a history.
type Verdict uint8

const (
	Linearizable Verdict = iota
	Undecided            // nothing is known, which counts as a failure
	Violation            // it cannot have happened
)

func (v Verdict) String() string {
	return [...]string{"linearizable", "cannot decide", "violation"}[v]
}

// The checkers, as reports name them.
const (
	checkerZone   = "zone"
	checkerChain  = "chain"
	checkerSearch = "search"
)

// opinions is how many violations Porcupine is asked about.
const opinions = 16

// Limits are those of the search, which takes over where neither zones nor
// chains decide. It takes exponential time at worst.
type Limits struct {
	// Operations of one word that are searched at most; 0 is 2000.
	Operations int
	// Time for each word; 0 is ten seconds.
	Time time.Duration
}

// Result is the verdict on one word or lock.
type Result struct {
	Key        Key
	Model      string
	Checker    string
	Operations int
	Verdict    Verdict
	// Why says, of a violation, what cannot be, and of an undecided word what
	// would have to be different.
	Why string
	// Contradiction is operations that cannot all have happened, given those
	// that must be in between.
	Contradiction []*Operation
	// Confirmed says that Porcupine has found the same violation. It is asked
	// about the first of many only.
	Confirmed bool

	picture *picture
}

// ModelReport sums up the words of one model.
type ModelReport struct {
	Model        string
	Operations   int
	Words        int
	Clients      int
	Linearizable int
	Violations   int
	Undecided    int
	Checkers     map[string]int // words by the checker that decided
	Time         time.Duration

	clients map[int]bool
}

// Report is the verdict on a history.
type Report struct {
	Models []ModelReport
	// Findings are the words that are not linearizable, and those that are
	// undecided.
	Findings []*Result
	Verdict  Verdict
}

// Check judges a history word by word, and each lock, each name of a segment and
// each barrier like a word.
func Check(history []Operation, limits Limits) *Report {
	limits.Operations = cmp.Or(limits.Operations, MaxWindow)
	limits.Time = cmp.Or(limits.Time, 10*time.Second)
	r := new(Report)
	models := make(map[string]*ModelReport)
	keys, parts := byKey(history)
	for _, k := range keys {
		begin := time.Now()
		ops := parts[k]
		one := checkWord(k, ops, limits, len(r.Findings) < opinions)
		m := models[one.Model]
		if m == nil {
			m = &ModelReport{Model: one.Model, Checkers: make(map[string]int), clients: make(map[int]bool)}
			models[one.Model] = m
		}
		m.add(one, ops, time.Since(begin))
		if one.Verdict != Linearizable {
			r.Findings = append(r.Findings, one)
			r.Verdict = max(r.Verdict, one.Verdict)
		}
	}
	for _, m := range models {
		m.Clients = len(m.clients)
		r.Models = append(r.Models, *m)
	}
	order := []string{modelRegister, modelCAS, modelCounter, modelWord, modelLock, modelName, modelBarrier}
	slices.SortFunc(r.Models, func(a, b ModelReport) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Model), slices.Index(order, b.Model)), cmp.Compare(a.Model, b.Model))
	})
	return r
}

func (m *ModelReport) add(r *Result, ops []*Operation, took time.Duration) {
	m.Words++
	m.Operations += len(ops)
	m.Time += took
	m.Checkers[r.Checker]++
	for _, o := range ops {
		m.clients[o.Client] = true
	}
	switch r.Verdict {
	case Linearizable:
		m.Linearizable++
	case Violation:
		m.Violations++
	case Undecided:
		m.Undecided++
	}
}

func checkWord(k Key, ops []*Operation, limits Limits, ask bool) *Result {
	r := &Result{Key: k, Operations: len(ops)}
	var model *porcupine.Model
	var odd *Operation
	if r.Model, model, odd = modelOf(k, ops); odd != nil {
		r.Verdict, r.Contradiction = Undecided, []*Operation{odd}
		r.Why = fmt.Sprintf("no model has the operation %q", odd.Op)
		return r
	}
	if k.Kind == OfBarrier {
		if i := slices.IndexFunc(ops, (*Operation).unclear); i >= 0 {
			r.Verdict, r.Contradiction = Undecided, []*Operation{ops[i]}
			r.Why = "it is not known whether a party has joined or left (let every operation return)"
			return r
		}
	}
	c, doubt := r.fast(ops)
	if doubt != "" {
		r.search(ops, model, limits, doubt)
		return r
	}
	if c == nil {
		return r
	}
	r.Verdict, r.Why, r.Contradiction = Violation, c.why, c.ops
	if ask {
		if err := r.secondOpinion(c, ops, model, limits.Time); err != nil {
			r.Verdict, r.Why = Undecided, err.Error()
		}
	}
	return r
}

// Why zones and chains do not decide, and what would help.
const (
	doubtValues = "values come more than once (let every write store another value)"
	doubtOpen   = "what had no answer may have been done or not (let every operation return)"
	doubtOrders = "the orders of the writes are too many to try (let fewer clients write at once)"
	doubtNames  = "names of segments are left to the search (use more of them)"
	doubtRounds = "barriers are left to the search (use more of them)"
)

// fast judges without a search. A doubt is why it cannot.
func (r *Result) fast(ops []*Operation) (c *conflict, doubt string) {
	switch r.Key.Kind {
	case OfName:
		return nil, doubtNames
	case OfBarrier:
		return nil, doubtRounds
	case OfWord:
		c, r.Checker, doubt = byValues(ops)
		return c, doubt
	}
	r.Checker = checkerChain
	c, decided := byFences(ops)
	if !decided {
		return nil, doubtOpen
	}
	return c, ""
}

// search judges by Porcupine alone.
func (r *Result) search(ops []*Operation, model *porcupine.Model, limits Limits, doubt string) {
	r.Checker = checkerSearch
	if len(ops) > limits.Operations {
		r.Verdict = Undecided
		r.Why = fmt.Sprintf("%s, and %d operations are too many to search (the limit is %d)", doubt, len(ops), limits.Operations)
		return
	}
	verdict, info := porcupine.CheckOperationsVerbose(*model, forPorcupine(ops), limits.Time)
	switch verdict {
	case porcupine.Ok:
		r.Verdict = Linearizable
	case porcupine.Unknown:
		r.Verdict = Undecided
		r.Why = fmt.Sprintf("%s, and the search of %d operations has not ended after %v", doubt, len(ops), limits.Time)
	case porcupine.Illegal:
		r.Verdict, r.Confirmed = Violation, true
		r.Why = "no order of the operations explains their answers"
		r.Contradiction = stuck(ops, &info)
		r.picture = &picture{*model, info, len(ops)}
	}
}

// stuck is the operation that returns first of those which have no place after
// the longest order that explains a part of them. Of orders that are as long, which
// come in no order themselves, it is the one that leaves the later operation.
func stuck(ops []*Operation, info *porcupine.LinearizationInfo) []*Operation {
	last, longest := firstBehind(ops, nil), 0
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) < longest {
				continue
			}
			first := firstBehind(ops, order)
			if len(order) > longest || first != nil && cmp.Or(cmp.Compare(first.Return, last.Return), cmp.Compare(first.Line, last.Line)) > 0 {
				longest, last = len(order), first
			}
		}
	}
	if last == nil {
		return nil
	}
	return []*Operation{last}
}

// firstBehind is the operation that returns first of those that an order lacks.
func firstBehind(ops []*Operation, order []porcupine.Operation) (first *Operation) {
	in := make(map[*Operation]bool, len(order))
	for _, o := range order {
		in[o.Input.(*Operation)] = true
	}
	for _, o := range ops {
		if !in[o] && (first == nil || o.Return < first.Return) {
			first = o
		}
	}
	return first
}
