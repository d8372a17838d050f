// Command check explores the core at the bounds of the small models of
// spec/strong and compares what it finds with what TLC found. Package explore
// says how.
//
//	go run ./impl/explore/check [-class ci|nightly] [-only REGEX] [-graph STATES] [-json]
//
// It prints a line for each model. The counts of states, transitions and depth
// must be those of spec/manifest.json. For models of at most -graph states TLC
// also writes down its graph, which the core's must equal. A failure is shown as
// the actions that lead to it from the initial state. The exit status is 0 if
// all models are equal, 1 if one is not, 2 if the command line is wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/mome-dsm/mome/impl/explore"
	"github.com/mome-dsm/mome/spec/tlc"
)

// row is what is printed of a model.
type row struct {
	Model       string  `json:"model"`
	States      int64   `json:"states"`
	Transitions int64   `json:"transitions"` // the initial state is one of them, as TLC counts
	Depth       int64   `json:"depth"`
	Concrete    int64   `json:"concrete"`
	Steps       int64   `json:"steps"`
	Seconds     float64 `json:"seconds"`
	Equal       string  `json:"equal"` // counts, graph, or no
	Error       string  `json:"error,omitempty"`
}

// options are the command line's.
type options struct {
	spec    string
	nightly bool
	only    *regexp.Regexp
	graph   int64
	json    bool
}

func main() {
	var o options
	class := flag.String("class", "ci", "what to explore: ci, or nightly (everything)")
	only := flag.String("only", "", "explore only models with a name that this `regexp` matches")
	flag.Int64Var(&o.graph, "graph", 20_000, "have TLC write the graph of models of at most so many `states`; 0: of none")
	flag.BoolVar(&o.json, "json", false, "print one JSON object a line")
	flag.StringVar(&o.spec, "spec", "spec", "the `folder` of the specifications")
	flag.Parse()
	var err error
	o.only, err = regexp.Compile(*only)
	o.nightly = *class == "nightly"
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case *class != "ci" && *class != "nightly":
		err = fmt.Errorf("-class %s: it is ci or nightly", *class)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, o options) error {
	models, err := explore.Models(os.DirFS(o.spec))
	if err != nil {
		return fmt.Errorf("%w; -spec names the folder of the specifications", err)
	}
	var tool *tlc.Tool
	if o.graph > 0 {
		if tool, err = tlc.Find(); err != nil {
			return fmt.Errorf("%w; or compare counts only, with -graph 0", err)
		}
	}
	if !o.json {
		fmt.Fprintf(out, "explore: the core, every interleaving, beside TLC\n%-12s %9s %11s %5s %9s %10s %8s  %s\n",
			"model", "states", "transitions", "depth", "concrete", "core steps", "seconds", "equal")
	}
	explored, failed := 0, 0
	for _, m := range models {
		if !o.only.MatchString(m.Name) || m.Class == "nightly" && !o.nightly {
			continue
		}
		explored++
		start := time.Now()
		result, err := explore.Run(m)
		r := row{Model: m.Name, States: result.States, Transitions: result.Transitions + 1, Depth: result.Depth,
			Concrete: result.Concrete, Steps: result.Steps, Seconds: time.Since(start).Seconds(), Equal: "counts"}
		if m.Distinct <= o.graph {
			// The first difference says more than an invariant that breaks later.
			if differs := explore.SameGraph(ctx, tool, o.spec, m); differs != nil {
				err = differs
			}
			r.Equal = "graph"
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			failed++
			r.Equal, r.Error = "no", err.Error()
		}
		if err := show(out, r, err, o.json); err != nil {
			return err
		}
	}
	switch {
	case explored == 0:
		return fmt.Errorf("-only %s matches no model", o.only)
	case failed > 0:
		return fmt.Errorf("%d of %d models differ from what TLC found", failed, explored)
	}
	return nil
}

func show(out io.Writer, r row, failure error, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	fmt.Fprintf(out, "%-12s %9s %11s %5d %9s %10s %8.1f  %s\n", r.Model, grouped(r.States), grouped(r.Transitions), r.Depth,
		grouped(r.Concrete), grouped(r.Steps), r.Seconds, r.Equal)
	if f := (*explore.Failure)(nil); errors.As(failure, &f) {
		fmt.Fprint(out, f.Report())
	} else if failure != nil {
		fmt.Fprintln(out, failure)
	}
	return nil
}

// grouped is a number with a comma before every three digits, as TLC writes it.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
