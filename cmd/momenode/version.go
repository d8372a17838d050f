package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/internal/table"
)

// versions are those of a momenode, as they are printed.
type versions struct {
	Version  string `json:"version"`  // the release, or the commit if it is not one
	Commit   string `json:"commit"`   // empty: not known
	Time     string `json:"time"`     // of the commit
	Modified bool   `json:"modified"` // the source was not that of the commit
	Go       string `json:"go"`
	Wire     int    `json:"wire"`    // between nodes: the same at all of a cluster
	Attach   int    `json:"attach"`  // between a program and its node
	Trace    int    `json:"trace"`   // of what nodes record
	History  int    `json:"history"` // of what programs record
}

func newVersions() versions {
	v := versions{Version: "(unknown)", Go: runtime.Version(), Wire: wire.Version, Attach: client.Version, Trace: trace.Format, History: history.Format}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value
		case "vcs.time":
			v.Time = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Say which version this is, and which protocols it speaks",
		Long: `Version says of which release, or of which commit, this momenode is. All nodes of
a cluster speak the same version of the protocol between nodes; a program and its
node the same version of the attach protocol; traces and histories are read by a
momenode that has their format.`,
		Example: `  momenode version
  momenode version --json | jq .wire`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := newVersions()
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			commit := v.Commit
			switch {
			case commit == "":
				commit = "not known"
			case v.Modified:
				commit += ", modified"
			}
			rows := [][]any{{"momenode", v.Version}, {"commit", commit}}
			if v.Time != "" {
				rows = append(rows, []any{"of", v.Time})
			}
			return table.Print(cmd.OutOrStdout(), "", []string{"what ", "version "}, append(rows, [][]any{
				{"Go", v.Go},
				{"protocol between nodes", fmt.Sprint(v.Wire)}, {"attach protocol", fmt.Sprint(v.Attach)}, {"format of traces", fmt.Sprint(v.Trace)}, {"format of histories", fmt.Sprint(v.History)},
			}...))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
