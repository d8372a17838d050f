package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/internal/table"
)

func traceCoverageCommand(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "coverage DIR...",
		Short: "Count the actions of the specifications that recorded runs have taken",
		Long: `Coverage counts the actions in the traces below the directories, each of which
holds one run: by the level of the manager that took the action, and by what the
manager was doing when it began. A dash is what cannot be otherwise than zero.
Below that it counts what the messages said, and names the actions that no
manager of a level has ever taken.

The status is 1 if a log is not whole, since what is missing would count as never
taken.`,
		Example: `  momenode cluster --nodes 4 --fanout 2 --trace run -- bin/sor
  momenode trace coverage run
  momenode trace coverage run another-run --json | jq '.[].never'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return badUsage("DIR is missing: name the directories that nodes have recorded to with --trace")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := coverage.Read(args...)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), coverageJSON(runs))
			}
			return printCoverage(cmd.OutOrStdout(), runs)
		},
	}
}

// specCoverage is the coverage of a specification as JSON.
type specCoverage struct {
	Spec     string           `json:"spec"`
	Logs     int              `json:"logs"`
	Nodes    int              `json:"nodes"` // of the largest run
	Depth    int              `json:"depth"` // of the deepest tree, in links
	Total    int              `json:"actions"`
	Counts   []actionCoverage `json:"counts"`
	Messages []messageCount   `json:"messages"`
	Never    []actionLevel    `json:"never"`
}

type actionLevel struct {
	Action string `json:"action"`
	Level  string `json:"level"`
}

type actionCoverage struct {
	actionLevel
	Phases map[string]int `json:"phases"` // those that are not zero
}

type messageCount struct {
	Action  string `json:"action"`
	Message string `json:"message"`
	Count   int    `json:"count"`
}

func coverageJSON(runs []*coverage.Recorded) []specCoverage {
	all := []specCoverage{}
	for _, r := range runs {
		s := specCoverage{Spec: r.Name, Logs: r.Logs, Nodes: r.Nodes, Depth: r.Depth, Total: r.Total(),
			Counts: []actionCoverage{}, Messages: []messageCount{}, Never: []actionLevel{}}
		for _, row := range r.Rows() {
			c := actionCoverage{actionLevel{row.Action, row.Level.String()}, make(map[string]int)}
			for _, ph := range r.Phases {
				if n := r.Cells[coverage.Cell{Action: row.Action, Level: row.Level, Phase: ph}]; n > 0 {
					c.Phases[ph.String()] = n
				}
			}
			s.Counts = append(s.Counts, c)
		}
		for _, k := range r.SortedCases() {
			s.Messages = append(s.Messages, messageCount{k.Action, k.Message(), r.Cases[k]})
		}
		for _, row := range r.Never(r.Depth) {
			s.Never = append(s.Never, actionLevel{row.Action, row.Level.String()})
		}
		all = append(all, s)
	}
	return all
}

func printCoverage(w io.Writer, runs []*coverage.Recorded) error {
	out := &errorWriter{w: w}
	for i, r := range runs {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s: %s in %s, up to %s, trees of depth %d\n", r.Name, plural(r.Total(), "action"),
			plural(r.Logs, "log"), plural(r.Nodes, "node"), r.Depth)
		names := []string{"action ", "level "}
		for _, ph := range r.Phases {
			names = append(names, ph.String())
		}
		if len(r.Phases) == 1 {
			names[2] = "count"
		}
		var rows [][]any
		for _, row := range r.Rows() {
			line := []any{row.Action, row.Level}
			for _, ph := range r.Phases {
				line = append(line, r.Text(coverage.Cell{Action: row.Action, Level: row.Level, Phase: ph}))
			}
			rows = append(rows, line)
		}
		table.Print(out, "Actions, by level and by what the manager was doing", names, rows)
		rows = nil
		for _, k := range r.SortedCases() {
			rows = append(rows, []any{k.Action, k.Message(), r.Cases[k]})
		}
		if len(rows) > 0 {
			table.Print(out, "What the messages said, or the kernel", []string{"action ", "message ", "count"}, rows)
		}
		fmt.Fprintln(out)
		never := r.Never(r.Depth)
		for _, row := range never {
			fmt.Fprintf(out, "never taken: %s at %v\n", row.Action, row.Level)
		}
		if len(never) == 0 {
			fmt.Fprintln(out, "every action was taken, at every level that can")
		}
	}
	return out.err
}
