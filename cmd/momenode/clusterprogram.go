package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/mome-dsm/mome"
)

// rank is one copy of the program.
type rank struct {
	*child
	ended *os.ProcessState
	told  bool // to end, by this command
	pipes []*os.File
}

// runProgram runs the copies of the program until all have ended. Its
// error is a lost node, a signal, or the worst status of the copies.
func (c *cluster) runProgram(path string, args []string, stdout, stderr io.Writer) error {
	out, errs := &prefixer{out: stdout}, &prefixer{out: stderr}
	var failed error
	for i := range c.ranks() {
		if failed = c.startCopy(i, path, args, out, errs); failed != nil {
			failed = fmt.Errorf("program %s cannot be started: %w", args[0], failed)
			break
		}
	}
	if failed == nil {
		failed = c.wait(nil, func() bool { return c.failedRank() >= 0 || c.allEnded() })
	}
	if i := c.failedRank(); failed == nil && i >= 0 {
		failed = c.copyFailed(i, stderr)
	}
	sig := syscall.SIGTERM
	if errors.Is(failed, errInterrupted) {
		sig = c.interrupt
	}
	lost := c.endPrograms(sig)
	c.closeOutputs()
	switch {
	case failed != nil && !errors.Is(failed, errCopy):
		return failed
	case lost != nil:
		return lost
	}
	worst := 0
	for _, p := range c.programs {
		if !p.told {
			worst = max(worst, statusOf(p.ended))
		}
	}
	for _, p := range []*prefixer{out, errs} {
		if err := p.lost; err != nil {
			worst = max(worst, statusFailure)
			fmt.Fprintf(stderr, "momenode: output of the program is lost: %v\n", err)
		}
	}
	if worst == 0 && c.trace != "" { // a copy that failed has left its history as it was
		for _, err := range historiesCut(c.trace) {
			worst = statusFailure
			fmt.Fprintf(stderr, "momenode: %s\n", oneLine(err))
		}
	}
	if worst > 0 {
		return exitStatus(worst)
	}
	return nil
}

// errCopy says that a copy of the program has failed.
var errCopy = errors.New("a copy of the program failed")

// copyFailed reports the copy that failed first, and lets the others end by
// themselves for a while.
func (c *cluster) copyFailed(i int, stderr io.Writer) error {
	p := c.programs[i]
	if killedBy(p.ended, syscall.SIGKILL) {
		// A node that dies takes its copy with it: then the node is the news,
		// and it comes in a moment.
		moment := time.NewTimer(nodeNews)
		defer moment.Stop()
		if err := c.wait(moment, func() bool { return false }); err != nil {
			return err
		}
	}
	if c.allEnded() {
		fmt.Fprintf(stderr, "momenode: rank %d failed (%v)\n", i, p.ended)
		return errCopy
	}
	fmt.Fprintf(stderr, "momenode: rank %d failed (%v): the other copies have %v to end\n", i, p.ended, c.grace)
	grace := time.NewTimer(c.grace)
	defer grace.Stop()
	if err := c.wait(grace, c.allEnded); err != nil {
		return err
	}
	return errCopy
}

// nodeNews is how long the end of a node may come after that of its copy.
const nodeNews = 300 * time.Millisecond

func (c *cluster) startCopy(i int, path string, args []string, out, errs *prefixer) error {
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = os.Environ()
	for name, value := range c.environment(i) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if c.trace != "" {
		dir, err := filepath.Abs(c.trace)
		if err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, mome.EnvHistory+"="+dir)
	}
	prefix := fmt.Sprintf("%*d| ", len(strconv.Itoa(c.ranks()-1)), i)
	p := &rank{}
	for _, stream := range []struct {
		end *io.Writer
		to  *prefixer
	}{{&cmd.Stdout, out}, {&cmd.Stderr, errs}} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		*stream.end = w
		p.pipes = append(p.pipes, r)
		c.outputs.Add(1)
		go func() {
			defer c.outputs.Done()
			defer r.Close()
			_ = stream.to.copy(prefix, r)
		}()
	}
	var err error
	p.child, err = c.family.start(cmd, func(state *os.ProcessState) { c.events <- event{rank: p, ended: state} })
	if err == nil {
		c.programs = append(c.programs, p)
	}
	return err
}

func (c *cluster) failedRank() int {
	for i, p := range c.programs {
		if p.ended != nil && !p.ended.Success() {
			return i
		}
	}
	return -1
}

func (c *cluster) allEnded() bool {
	for _, p := range c.programs {
		if p.ended == nil {
			return false
		}
	}
	return true
}

// endPrograms ends the copies that still run: with sig, and after the grace or
// a further signal to this command with SIGKILL. Its error is a node that was
// lost meanwhile.
func (c *cluster) endPrograms(sig syscall.Signal) (lost error) {
	grace := time.NewTimer(c.grace)
	defer grace.Stop()
	for _, sig := range []syscall.Signal{sig, syscall.SIGKILL} {
		for _, p := range c.programs {
			if p.ended == nil {
				p.told = true
				p.signal(sig)
			}
		}
		if sig == syscall.SIGKILL {
			grace = nil // nothing survives that
		}
		for !c.allEnded() {
			err := c.wait(grace, c.allEnded)
			if err == nil || errors.Is(err, errInterrupted) && sig != syscall.SIGKILL {
				break
			}
			if !errors.Is(err, errInterrupted) && lost == nil {
				lost = err
			}
		}
	}
	return lost
}

// closeOutputs waits for the output of the copies. One that left its process
// group may keep it open; it is not waited for.
func (c *cluster) closeOutputs() {
	deadline := time.Now().Add(outputGrace)
	for _, p := range c.programs {
		for _, pipe := range p.pipes {
			_ = pipe.SetReadDeadline(deadline)
		}
	}
	c.outputs.Wait()
}

// outputGrace is how long output may come after its program has ended.
const outputGrace = 2 * time.Second
