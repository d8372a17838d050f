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
	r.SetVerified(false)
	var b strings.Builder
	if err := r.Print(&b, false); !errors.Is(err, ErrWrong) {
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
pages in               0         10       0      10
read faults            0          7       3       4
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}
