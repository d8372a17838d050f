package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "spec/fanout:", err)
		os.Exit(1)
	}
}

// never are the moves that no state permits: what the proof says of them is nothing.
var never = map[bool]string{
	false: "ServeWrite, from the home",
	true:  "",
}

func run() error {
	path := flag.String("z3", "z3", "the solver")
	all := flag.Bool("mutants", false, "show also that the proof fails of every mutant")
	only := flag.String("only", "", "only the mutants whose names this `regexp` matches")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	wrong := 0
	for _, root := range []bool{false, true} {
		if *only != "" {
			break
		}
		start := time.Now()
		name := map[bool]string{false: "a manager", true: "a root"}[root]
		p := newProof(root, nil)
		failed, err := p.prove(*path, false)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		impossible, err := p.possible(*path)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if got := strings.Join(impossible, "; "); got != never[root] {
			failed = append(failed, fmt.Sprintf("moves that no state permits: %q, expected %q", got, never[root]))
		}
		verdict := "proved"
		if len(failed) > 0 {
			verdict = "NOT PROVED:\n  " + strings.Join(failed, "\n  ")
			wrong++
		}
		fmt.Printf("%-10s %d moves, %d lemmas, any number of children and leaves: %s (%.1f s)\n", name, len(p.moves), len(p.lemmas), verdict, time.Since(start).Seconds())
	}
	if *all || *only != "" {
		start, died := time.Now(), 0
		for i := range mutants {
			m := &mutants[i]
			if !pattern.MatchString(m.name) {
				continue
			}
			failed, err := newProof(m.root, m).prove(*path, true)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if len(failed) == 0 {
				fmt.Printf("FAIL  %s: the proof holds\n", m.name)
				wrong++
				continue
			}
			died++
			fmt.Printf("ok    %-40s %s\n", m.name, failed[0])
		}
		fmt.Printf("%d mutants, of each the proof fails (%.1f s)\n", died, time.Since(start).Seconds())
	}
	if wrong > 0 {
		return fmt.Errorf("%d of them failed", wrong)
	}
	return nil
}
