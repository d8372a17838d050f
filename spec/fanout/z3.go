package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// solver is z3, told in SMT-LIB what to do.
type solver struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newSolver(path string, declare []string) (*solver, error) {
	z := &solver{cmd: exec.Command(path, "-in", "-smt2")}
	var err error
	if z.in, err = z.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := z.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	z.out = bufio.NewReader(out)
	if err := z.cmd.Start(); err != nil {
		return nil, err
	}
	z.say("(set-option :timeout 60000)")
	z.say("(declare-sort Kid 0)")
	z.say("(declare-sort Leaf 0)")
	for _, d := range declare {
		z.say(d)
	}
	return z, nil
}

func (z *solver) say(s string) { fmt.Fprintln(z.in, s) }

func (z *solver) assert(t *Term) { z.say("(assert " + t.String() + ")") }

// check says sat, unsat or unknown.
func (z *solver) check() (string, error) {
	z.say("(check-sat)")
	line, err := z.out.ReadString('\n')
	line = strings.TrimSpace(line)
	if err == nil && strings.HasPrefix(line, "(error") {
		err = fmt.Errorf("z3: %s", line)
	}
	return line, err
}

func (z *solver) close() error {
	z.in.Close()
	return z.cmd.Wait()
}
