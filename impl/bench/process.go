package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"
)

// The roles of Process.
const (
	roleApplication = "application"
	roleFloor       = "floor-application"
	roleNear        = "floor-near"
	roleFar         = "floor-far"
	rolePartner     = "floor-partner"
)

// socketFD is the descriptor of the socket that a floor's process shares with
// its neighbour.
const socketFD = 3

// orderTime bounds how long an order may take.
const orderTime = time.Minute

// Process is the main function of the processes that Run starts by
// Config.Process. It returns when Run is done with them.
func Process(role string) error {
	var carryOut func(*order) (*report, error)
	switch role {
	case roleApplication:
		a, err := newApplication()
		if err != nil {
			return err
		}
		defer a.close()
		carryOut = a.carryOut
	case roleFloor:
		carryOut = new(floorApplication).carryOut
	case roleNear:
		carryOut = new(near).carryOut
	case roleFar:
		carryOut = new(far).carryOut
	case rolePartner:
		go echo(socketFD)
		carryOut = func(*order) (*report, error) { return &report{}, nil }
	default:
		return fmt.Errorf("mome: bench: there is no role %q; this command is for bench itself", role)
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("mome: bench: %s: %w", role, err)
		}
		// A collection would stop the threads that are measured.
		percent := debug.SetGCPercent(-1)
		r, err := carryOut(&o)
		debug.SetGCPercent(percent)
		if err != nil {
			r = &report{Error: err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return fmt.Errorf("mome: bench: %s: %w", role, err)
		}
	}
}

// process is a started one, as Run sees it. Orders to one process follow each
// other.
type process struct {
	title   string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan answer
}

type answer struct {
	report report
	err    error
}

// startProcess starts one; it takes orders at once.
func startProcess(title string, cmd *exec.Cmd, files ...*os.File) (*process, error) {
	p := &process{title: title, cmd: cmd, answers: make(chan answer)}
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	endWithParent(cmd)
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("mome: bench: %s: %w", title, err)
	}
	go func() {
		defer close(p.answers)
		dec := json.NewDecoder(bufio.NewReader(out))
		for {
			var a answer
			a.err = dec.Decode(&a.report)
			p.answers <- a
			if a.err != nil {
				return
			}
		}
	}()
	return p, nil
}

// endWithParent lets no child survive this process, and leaves a ^C at the
// terminal to it. The caller's goroutine is locked to its thread for the
// child's life: to the kernel, a parent is a thread.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// order has the process do something and returns what it says.
func (p *process) order(ctx context.Context, o order) (*report, error) {
	return p.begin(o)(ctx)
}

// begin gives an order; the function returned waits for the report.
func (p *process) begin(o order) func(context.Context) (*report, error) {
	line, err := json.Marshal(&o)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	return func(ctx context.Context) (*report, error) {
		if err != nil {
			return nil, &lostError{fmt.Errorf("mome: bench: %s is gone: %w", p.title, err)}
		}
		limit := time.NewTimer(orderTime)
		defer limit.Stop()
		select {
		case a, ok := <-p.answers:
			switch {
			case !ok || a.err != nil:
				return nil, &lostError{fmt.Errorf("mome: bench: %s has ended in the middle of %q", p.title, o.Op)}
			case a.report.Error != "":
				return nil, fmt.Errorf("mome: bench: %s: %s: %s", p.title, o.Op, a.report.Error)
			}
			return &a.report, nil
		case <-limit.C:
			return nil, &lostError{fmt.Errorf("mome: bench: %s has not finished %q in %v", p.title, o.Op, orderTime)}
		case <-ctx.Done():
			return nil, &lostError{context.Cause(ctx)}
		}
	}
}

// lostError is one after which nothing more can be measured.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// stop ends the process and waits for it.
func (p *process) stop() {
	p.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.answers {
	}
	p.cmd.Wait()
}
