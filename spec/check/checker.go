package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mome-dsm/mome/spec/tlc"
)

// checker runs TLC over the specifications below root.
type checker struct {
	root    string // the folder spec
	tool    *tlc.Tool
	library []string // the folders of modules
	limit   time.Duration
}

func newChecker(root string, limit time.Duration) (*checker, error) {
	tool, err := tlc.FindIn(filepath.Join(root, ".tlc"))
	if err != nil {
		return nil, err
	}
	c := &checker{root: root, tool: tool, limit: limit}
	modules, err := filepath.Glob(filepath.Join(root, "*", "*.tla"))
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		c.library = append(c.library, filepath.Dir(m))
	}
	slices.Sort(c.library)
	c.library = slices.Compact(c.library)
	if err := os.MkdirAll(c.logDir(), 0o755); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *checker) logDir() string { return filepath.Join(c.root, ".tlc", "log") }

// run checks a model, with a mutant's change if there is one. The output goes
// to the log file that it returns the path of.
func (c *checker) run(ctx context.Context, name string, m *Model, mutant *Mutant) (tlc.Outcome, string, error) {
	dir, err := os.MkdirTemp("", "mome-tlc-")
	if err != nil {
		return tlc.Outcome{}, "", err
	}
	defer os.RemoveAll(dir)
	// Modules are looked for in the working directory first.
	work := filepath.Join(dir, m.Folder)
	if err := os.CopyFS(work, os.DirFS(filepath.Join(c.root, m.Folder))); err != nil {
		return tlc.Outcome{}, "", err
	}
	library := slices.Clone(c.library)
	if mutant != nil {
		changed := work
		if mutant.Folder != m.Folder {
			changed = filepath.Join(dir, mutant.Folder)
			if err := os.CopyFS(changed, os.DirFS(filepath.Join(c.root, mutant.Folder))); err != nil {
				return tlc.Outcome{}, "", err
			}
		}
		if err := mutant.apply(changed); err != nil {
			return tlc.Outcome{}, "", err
		}
		library = replaceDir(library, filepath.Join(c.root, mutant.Folder), changed)
	}
	cfg, err := os.ReadFile(filepath.Join(work, m.Cfg))
	if err != nil {
		return tlc.Outcome{}, "", err
	}
	if mutant != nil && mutant.only != "" {
		cfg = []byte(withOnly(string(cfg), mutant.only))
	}
	if m.Invariant != "" {
		cfg = append(cfg, "\nINVARIANT "+m.Invariant+"\n"...)
	}
	if m.Property != "" {
		cfg = append(cfg, "\nPROPERTY "+m.Property+"\n"...)
	}
	if err := os.WriteFile(filepath.Join(work, m.Cfg), cfg, 0o644); err != nil {
		return tlc.Outcome{}, "", err
	}

	limited, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	o, out, runErr := c.tool.Run(limited, tlc.Job{
		Dir: work, Library: library, Module: m.Module, Config: m.Cfg,
		Deadlock: m.Deadlock && (mutant == nil || mutant.only == ""), Short: mutant != nil || m.Expect != tlc.OK, Args: m.Args,
	})
	log := filepath.Join(c.logDir(), strings.ReplaceAll(name, "/", "-")+".txt")
	if err := os.WriteFile(log, out, 0o644); err != nil {
		return tlc.Outcome{}, "", err
	}
	switch {
	case ctx.Err() != nil:
		return tlc.Outcome{}, log, ctx.Err()
	case limited.Err() != nil:
		o.Result, o.Error = tlc.Error, fmt.Sprintf("no result within %v (see -limit)", c.limit)
	case runErr != nil:
		return tlc.Outcome{}, log, runErr
	}
	return o, log, nil
}

func replaceDir(list []string, from, to string) []string {
	for i, d := range list {
		if d == from {
			list[i] = to
		}
	}
	return list
}
