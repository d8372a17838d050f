//go:build mutants

package mutants

import (
	"sync"
	"testing"

	"github.com/mome-dsm/mome/spec/tlc"
)

// findTLC is TLC, which Maven brings if need be. Without it there is no table.
func findTLC(t *testing.T) *tlc.Tool {
	t.Helper()
	cache, err := tlc.Cache()
	if err != nil {
		t.Fatal(err)
	}
	tool, err := tlc.Find(cache)
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// judges run TLC on recorded runs beside everything else: most of its time is
// that of a process that starts.
type judges struct {
	jobs chan func()
	done sync.WaitGroup
}

func newJudges() *judges {
	j := &judges{jobs: make(chan func(), 100)}
	for range 2 {
		j.done.Go(func() {
			for job := range j.jobs {
				job()
			}
		})
	}
	return j
}

func (j *judges) add(job func()) { j.jobs <- job }

func (j *judges) wait() {
	close(j.jobs)
	j.done.Wait()
}
