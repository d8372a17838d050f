package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
)

// Config says what Run measures, and how the processes are started.
type Config struct {
	Nodes     int    // of the cluster; at least 2
	Transport string // of the links; empty for the default
	Quick     bool   // a short run, to see that it runs
	Cases     []Case

	// Daemon is the command that starts a node of the cluster.
	Daemon func(Node) *exec.Cmd
	// Process is a command whose main function calls Process with the role.
	Process func(role string) *exec.Cmd
	// Progress, if not nil, is called before each block.
	Progress func(c *Case, block, blocks int)
}

// Run measures the cases, one after the other. A case that fails has an error in
// its result. The error returned says that the run came to an end before all
// cases were measured; the results up to there are valid.
func Run(ctx context.Context, cfg *Config) ([]Result, error) {
	if cfg.Nodes < 2 {
		return nil, fmt.Errorf("mome: bench: %d nodes: what is measured is between nodes; give 2 or more", cfg.Nodes)
	}
	// The children end with this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b, err := start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	p := newPlan(cfg.Quick)
	var results []Result
	for i := range cfg.Cases {
		c := &cfg.Cases[i]
		r, err := b.measure(ctx, c, p)
		if err != nil {
			r = Result{Name: c.Name, Unit: c.Unit, Floor: c.Floor, Help: c.Help, Error: err.Error()}
		}
		results = append(results, r)
		var lost *lostError
		if errors.As(err, &lost) {
			return results, err
		}
	}
	return results, nil
}

func (b *bed) measure(ctx context.Context, c *Case, p *plan) (Result, error) {
	var cluster, floor measured
	// The first block warms both sides up.
	for block := -1; block < p.blocks; block++ {
		if b.cfg.Progress != nil && block >= 0 {
			b.cfg.Progress(c, block, p.blocks)
		}
		for side := range 2 {
			work, to := c.cluster, &cluster
			if (block+side)%2 == 0 {
				work, to = c.floor, &floor
			}
			b.used = usage{}
			samples, n, err := work(ctx, b, p)
			if err != nil {
				return Result{}, err
			}
			if block >= 0 {
				to.add(samples, n, b.used)
			}
		}
	}
	return newResult(c, &cluster, &floor), nil
}
