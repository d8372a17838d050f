package replay

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/trace"
)

// Summary counts what was replayed and agrees.
type Summary struct {
	Nodes          int `json:"nodes"`
	Logs           int `json:"logs"`
	Configurations int `json:"configurations"`
	// Steps is the inputs, each with one batch of effects that was compared.
	Steps   int `json:"steps"`
	Actions int `json:"actions"`
	Effects int `json:"effects"`
	Refused int `json:"refused"` // steps that ended in an error, the same one
}

func (s *Summary) add(o Summary) {
	s.Configurations += o.Configurations
	s.Steps += o.Steps
	s.Actions += o.Actions
	s.Effects += o.Effects
	s.Refused += o.Refused
}

// ErrNoStep: there is nothing to replay, and so no verdict.
var ErrNoStep = errors.New("mome: no step was recorded")

// Run replays all logs of the run that a directory holds.
//
// The error is a *Difference where a core does something else than a log says:
// of several logs the one whose difference comes first by the Lamport clock. Any
// other error is that of a log that cannot be replayed to its end.
func Run(dir string) (Summary, error) {
	run, err := trace.OpenRun(dir)
	if err != nil {
		return Summary{}, err
	}
	files := slices.Concat(run.Files, run.Sync)
	done := make([]Summary, len(files))
	errs := make([]error, len(files))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		workers.Go(func() {
			for i := range next {
				done[i], errs[i] = File(files[i])
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	workers.Wait()

	sum := Summary{Logs: len(files)}
	nodes := make(map[addr.NodeID]bool)
	for i, f := range files {
		nodes[f.Header.Node] = true
		sum.add(done[i])
	}
	sum.Nodes = len(nodes)
	if err := worst(errs); err != nil {
		return sum, err
	}
	if sum.Steps == 0 {
		return sum, fmt.Errorf("%w in %s", ErrNoStep, dir)
	}
	if err := run.Whole(); err != nil {
		return sum, fmt.Errorf("%w; no verdict, the %d steps of the logs that are here agree", err, sum.Steps)
	}
	return sum, nil
}

// worst is the error to show of those of all logs.
func worst(errs []error) error {
	var first error
	var earliest *Difference
	for _, err := range errs {
		var d *Difference
		switch {
		case errors.As(err, &d):
			if earliest == nil || cmp.Less(d.Input.Lamport, earliest.Input.Lamport) {
				earliest = d
			}
		case first == nil:
			first = err
		}
	}
	if earliest != nil {
		return earliest
	}
	return first
}
