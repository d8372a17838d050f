package tla

import "testing"

func TestParseState(t *testing.T) {
	const state = "/\\ home = [state |-> \"virgin\", val |-> 0]\n/\\ up = [ a |->\n  <<[hit |-> TRUE, kind |-> \"Ack\"]>>,\n b |-> <<>> ]\n/\\ data = {2, -1}"
	v, err := ParseState(state)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[data |-> {-1, 2}, home |-> [state |-> "virgin", val |-> 0], up |-> [a |-> <<[hit |-> TRUE, kind |-> "Ack"]>>, b |-> <<>>]]`
	if v.String() != want {
		t.Errorf("%v, want %s", v, want)
	}
	for i := range len(state) {
		cut, err := ParseState(state[:i])
		if err == nil && cut.String() == want {
			t.Errorf("a state cut after %q is complete", state[:i])
		}
	}
	for _, bad := range []string{"", "/\\ x", "/\\ x = ", "/\\ x = (1 :> 2)", "/\\ x = [a |-> 1", "/\\ x = <<1 2>>", "/\\ x = \"", "/\\ x = 1 y"} {
		if v, err := ParseState(bad); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
}
