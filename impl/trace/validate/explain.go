package validate

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/spec/tlc"
)

const explainModule, explainConfig = "Explain", "Explain.cfg"

// explanationRE are the lines that ExplainNext prints.
var explanationRE = regexp.MustCompile(`(?m)^"(guard|part): (.*)"$`)

// explain finds out why the event that TLC stopped at is no step: a second run,
// which begins in the state before the event, prints what does not hold.
func (c *check) explain(ctx context.Context, state string) (*Refusal, error) {
	object, number, err := c.offender(state)
	if err != nil {
		return nil, err
	}
	_, body, _ := strings.Cut(state, "\n")
	if err := c.write(explainModule+".tla", func(f *os.File) error {
		_, err := fmt.Fprintf(f, "---- MODULE %s ----\nEXTENDS %s\nExplainInit ==\n%s\n====\n", explainModule, moduleName, body)
		return err
	}); err != nil {
		return nil, err
	}
	if err := c.write(explainConfig, func(f *os.File) error {
		return writeConfig(f, "ExplainInit", "ExplainNext", c.constants)
	}); err != nil {
		return nil, err
	}
	o, out, err := c.options.Tool.Run(ctx, tlc.Job{Dir: c.dir, Library: c.library, Module: explainModule, Config: explainConfig, Short: true})
	if err != nil {
		return nil, err
	}
	if o.Result != tlc.OK {
		return nil, fmt.Errorf("TLC refuses an event at %s and could not say why: %s", object.Events[number-1].Where(), o.Error)
	}
	r := &Refusal{Object: object.Name, Number: number, Event: object.Events[number-1], State: object.places(body)}
	var guards, parts []string
	for _, m := range explanationRE.FindAllStringSubmatch(string(out), -1) {
		text := object.places(strings.ReplaceAll(m[2], `\"`, `"`))
		if m[1] == "guard" {
			guards = append(guards, "does not hold: "+text)
		} else {
			parts = append(parts, text)
		}
	}
	// Where a guard does not hold the step is another one than was meant.
	r.Reasons = guards
	if len(guards) == 0 {
		r.Reasons = parts
	}
	if len(r.Reasons) == 0 {
		r.Reasons = []string{"no step of " + r.Event.Act + " is possible"}
	}
	slices.Sort(r.Reasons)
	r.Reasons = slices.Compact(r.Reasons)
	return r, nil
}
