package validate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// explanationRE are the lines by which JudgeNext explains a refusal.
var explanationRE = regexp.MustCompile(`(?m)^"(\d+\.\d+) (guard|part): (.*)"$`)

// explain makes a refusal of the state that TLC stopped in and of what it has
// printed. Another of its threads may have stood at another refusal.
func (c *check) explain(state string, out []byte) (*Refusal, error) {
	object, number, err := c.offender(state)
	if err != nil {
		return nil, err
	}
	_, body, _ := strings.Cut(state, "\n")
	event := fmt.Sprintf("%d.%d", slices.Index(c.objects, object)+1, number)
	r := &Refusal{Object: object.Name, Number: number, Event: object.Events[number-1], State: object.places(body)}
	var guards, parts []string
	for _, m := range explanationRE.FindAllStringSubmatch(string(out), -1) {
		text := object.places(strings.ReplaceAll(m[3], `\"`, `"`))
		switch {
		case m[1] != event:
		case m[2] == "guard":
			guards = append(guards, "does not hold: "+text)
		default:
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
