package validate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/spec"
	"github.com/mome-dsm/mome/spec/tlc"
)

// ErrNothing: the run has no object of the kind.
var ErrNothing = errors.New("mome: nothing to judge")

// Verdict is what TLC says of the objects of one kind of a run.
type Verdict struct {
	Kind     Kind
	Accepted bool
	Refusal  *Refusal // why not
	Objects  int
	Events   int
	Longest  int // events of the object with the most
	Nodes    int
	Depth    int            // of the trees
	Acts     map[string]int // all but the end
	States   int64          // that TLC went through
	// UnderWay is how many messages about the objects had not arrived where the
	// logs of an accepted run end.
	UnderWay int
	// Unrest is why the run had not come to rest when it ended; empty: it had. Then
	// the specification has nothing under way either, or the run is refused.
	Unrest string
	// Reading is the time from the logs to the module, Checking that of TLC.
	Reading, Checking time.Duration
}

// Refusal is the first event found that is no step of the specification.
type Refusal struct {
	Object string // which
	Number int    // of the event among the object's, from 1
	Event  Event
	// State is that of the specification before the event, as TLA+ text, with
	// the managers by their places.
	State string
	// Reasons are what does not hold.
	Reasons []string
}

// Options are how a run is judged.
type Options struct {
	Tool    *tlc.Tool
	Workers int    // threads of TLC; 0 is 2
	Keep    string // new folder that the modules and TLC's output are left in; empty: none
}

// Run judges the objects of one kind of a run. An error means that there is no
// verdict.
func Run(ctx context.Context, run *trace.Run, kind Kind, o Options) (*Verdict, error) {
	start := time.Now()
	if err := run.Whole(); err != nil {
		return nil, err
	}
	projection, err := kind.Project(run)
	if err != nil {
		return nil, err
	}
	for ev, err := range kind.Records(run) {
		if err == nil {
			err = projection.Add(ev)
		}
		if err != nil {
			return nil, err
		}
	}
	objects, err := projection.Objects()
	if err != nil {
		return nil, err
	}
	v := &Verdict{Kind: kind, Unrest: run.UnderWay(), Objects: len(objects), Nodes: run.Conf.Members.Len(), Depth: run.Conf.Tree(0).Depth(), Acts: make(map[string]int)}
	for _, o := range objects {
		v.Events += len(o.Events)
		v.Longest = max(v.Longest, len(o.Events))
		for i := range o.Events {
			if act := o.Events[i].Act; act != endAct {
				v.Acts[act]++
			}
		}
	}
	if v.Events == 0 {
		return nil, fmt.Errorf("%w: %s: nothing happened to any of the %s", ErrNothing, run.Dir, kind.Name)
	}
	c, err := newCheck(kind, o, objects, projection.Constants())
	if err != nil {
		return nil, err
	}
	defer c.close()
	v.Reading = time.Since(start)
	err = c.judge(ctx, v)
	v.Checking = time.Since(start) - v.Reading
	return v, err
}

// check is the objects of one kind, written down for TLC.
type check struct {
	kind      Kind
	options   Options
	dir       string
	library   []string
	objects   []*Object
	constants []Constant
}

func newCheck(kind Kind, o Options, objects []*Object, constants []Constant) (_ *check, err error) {
	c := &check{kind: kind, options: o, objects: objects, constants: constants}
	if c.options.Workers == 0 {
		c.options.Workers = 2
	}
	if o.Keep != "" {
		c.dir = filepath.Join(o.Keep, kind.Name)
		if err = os.MkdirAll(o.Keep, 0o755); err == nil {
			err = os.Mkdir(c.dir, 0o755)
		}
		if err != nil {
			return nil, fmt.Errorf("keep the modules: %w; give a new folder", err)
		}
	} else if c.dir, err = os.MkdirTemp("", "mome-validate-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.unpack(); err != nil {
		return nil, err
	}
	if err := c.write(moduleName+".tla", func(f *os.File) error {
		return writeModule(f, kind.Spec, objects, constants)
	}); err != nil {
		return nil, err
	}
	return c, c.write(configName, func(f *os.File) error {
		return writeConfig(f, constants)
	})
}

func (c *check) close() {
	if c.options.Keep == "" {
		os.RemoveAll(c.dir)
	}
}

// unpack writes the specifications where TLC finds them.
func (c *check) unpack() error {
	root := filepath.Join(c.dir, "spec")
	if err := os.CopyFS(root, spec.Modules); err != nil {
		return err
	}
	folders, err := fs.Glob(spec.Modules, "*")
	if err != nil {
		return err
	}
	for _, f := range folders {
		c.library = append(c.library, filepath.Join(root, path.Base(f)))
	}
	return nil
}

func (c *check) write(name string, content func(*os.File) error) error {
	f, err := os.Create(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	if err := content(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// judge runs TLC.
func (c *check) judge(ctx context.Context, v *Verdict) error {
	o, out, err := c.options.Tool.Run(ctx, tlc.Job{Dir: c.dir, Library: c.library, Module: moduleName, Config: configName,
		Workers: c.options.Workers, Deadlock: true, Short: v.Events < shortRun})
	if err != nil {
		return err
	}
	if c.options.Keep != "" {
		if err := os.WriteFile(filepath.Join(c.dir, "TLC.txt"), out, 0o644); err != nil {
			return err
		}
	}
	v.States = o.Distinct
	switch o.Result {
	case tlc.OK:
		// Every event is a state, and so is the initial one of each object.
		if v.States < int64(v.Events+v.Objects) {
			return fmt.Errorf("TLC came to an end after %d states, and %d events of %d %s make more: this is a mistake of the validator",
				v.States, v.Events, v.Objects, c.kind.Name)
		}
		v.Accepted = true
		for _, m := range underWayRE.FindAllSubmatch(out, -1) {
			n, _ := strconv.Atoi(string(m[1]))
			v.UnderWay += n
		}
		return nil
	case tlc.Deadlock:
		v.Refusal, err = c.explain(o.LastState, out)
		return err
	}
	return fmt.Errorf("TLC could not judge the %s: %s", c.kind.Name, o.Error)
}

// shortRun is up to how many events the optimising compiler would not pay.
const shortRun = 50_000

var (
	objectRE   = regexp.MustCompile(`(?m)^/\\ object = (\d+)$`)
	nextRE     = regexp.MustCompile(`(?m)^/\\ next = (\d+)$`)
	underWayRE = regexp.MustCompile(`(?m)^"under way: (\d+)"$`)
	nameRE     = regexp.MustCompile(`"?\b(root|l\d+|m\d+_\d+)\b"?`)
)

// offender finds the object and the event that a state stands at.
func (c *check) offender(state string) (*Object, int, error) {
	o, n := objectRE.FindStringSubmatch(state), nextRE.FindStringSubmatch(state)
	if o != nil && n != nil {
		i, _ := strconv.Atoi(o[1])
		j, _ := strconv.Atoi(n[1])
		if i >= 1 && i <= len(c.objects) && j >= 1 && j <= len(c.objects[i-1].Events) {
			return c.objects[i-1], j, nil
		}
	}
	return nil, 0, fmt.Errorf("TLC names no event in the state that it stopped in: %.200q", state)
}

// places puts the places of managers where the specification has their names.
func (o *Object) places(text string) string {
	return nameRE.ReplaceAllStringFunc(text, func(quoted string) string {
		var at addr.Place
		at, ok := o.Place(nameRE.FindStringSubmatch(quoted)[1])
		if !ok {
			return quoted
		}
		return at.String()
	})
}
