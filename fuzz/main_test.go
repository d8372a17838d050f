package fuzz

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// steps is how many actions a schedule has on average. Most schedules of
// rapid's own length end before the first page has moved. A fail file depends
// on it.
const steps = "400"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.steps"); f.Value.String() == f.DefValue {
		if err := flag.Set(f.Name, steps); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}
