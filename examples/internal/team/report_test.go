package team

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	r := Report{Program: "sor", Size: "8 x 8", Ranks: 2, Digest: "abc", Nodes: []Growth{
		{Node: 0, Counters: map[string]uint64{"read_faults": 3}},
		{Node: 4, Counters: map[string]uint64{"read_faults": 4, "pages_in": 10}},
	}}
	r.SetTimes(2*time.Second, 3*time.Second)
	r.Verify("abd", "3 keys out of order")
	var b strings.Builder
	if err := r.Print(&b, false); !errors.Is(err, ErrWrong) ||
		err.Error() != "the answer is wrong: 3 keys out of order; its digest is abc, and that of one process abd" {
		t.Errorf("a wrong answer is %v", err)
	}
	const want = `program        sor, 8 x 8
ranks          2
shared memory  2.000 s
one process    3.000 s
speed-up       1.50
digest         abc
answer         NOT verified

What moved
what         one process  all nodes  node 0  node 4
-----------  -----------  ---------  ------  ------
seconds            3.000      2.000
read faults            0          7       3       4
pages in               0         10       0      10
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestShort(t *testing.T) {
	var r Report
	r.SetTimes(1234567*time.Nanosecond, 7*time.Microsecond)
	r.Ranks = 2
	r.Verify("")
	var b strings.Builder
	if err := r.Print(&b, false); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"0.001235 s", "0.000007 s", "speed-up       0.0057"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestRatio(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.5: "1.50", 0.1: "0.10", 0.012: "0.012", 0.0000123: "0.000012"} {
		if got := ratio(v); got != want {
			t.Errorf("%v: %s, not %s", v, got, want)
		}
	}
}
