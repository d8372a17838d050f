package tlc

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Results of a run of TLC.
const (
	OK        = "ok"
	Deadlock  = "deadlock"
	Violation = "violation"
	Error     = "error" // TLC came to no verdict
)

// Outcome is what one run of TLC came to.
type Outcome struct {
	Result string
	// Violated names what failed. TLC does not always say which temporal
	// property it was; then these are all that the run checked.
	Violated  []string
	Distinct  int64
	Generated int64
	Depth     int64
	// Error is the first line of TLC's complaint.
	Error string
	// LastState is the last state of the trace, with its heading.
	LastState string
}

var (
	countsRE     = regexp.MustCompile(`(?m)^([\d,]+) states generated, ([\d,]+) distinct states found, ([\d,]+) states left on queue`)
	depthRE      = regexp.MustCompile(`(?m)^The depth of the complete state graph search is (\d+)`)
	invariantRE  = regexp.MustCompile(`(?m)^Error: (?:Invariant|Property) (\S+) is violated`)
	actionRE     = regexp.MustCompile(`(?m)^Error: Action property (.+) is violated`)
	temporalRE   = regexp.MustCompile(`(?m)^Error: Temporal propert(?:y|ies) (?:were|was) violated`)
	deadlockRE   = regexp.MustCompile(`(?m)^Error: Deadlock reached`)
	completedRE  = regexp.MustCompile(`(?m)^Model checking completed\. No error has been found\.`)
	errorRE      = regexp.MustCompile(`(?m)^(?:Error: |Exception in thread|\*\*\* (?:Errors|Abort)).*$`)
	exceptionRE  = regexp.MustCompile(`(?m)^: .*$`)
	finishedRE   = regexp.MustCompile(`(?m)^Finished in .*$`)
	stateHeadRE  = regexp.MustCompile(`(?m)^(?:State \d+: (?:<.*>|Stuttering)|Back to state.*)$`)
	initialRE    = regexp.MustCompile(`(?m)^Error: .* is violated by the initial state:$`)
	blankStateRE = regexp.MustCompile(`\n\s*\n`)
)

// ParseOutcome reads TLC's output. properties are the temporal properties that
// the run checked.
func ParseOutcome(out string, properties []string) Outcome {
	var o Outcome
	if all := countsRE.FindAllStringSubmatch(out, -1); all != nil {
		last := all[len(all)-1]
		o.Generated, o.Distinct = number(last[1]), number(last[2])
	}
	if d := depthRE.FindStringSubmatch(out); d != nil {
		o.Depth = number(d[1])
	}
	o.Error = strings.TrimPrefix(errorRE.FindString(out), "Error: ")
	switch {
	case strings.HasPrefix(o.Error, "***"), strings.HasPrefix(o.Error, "Parsing"):
		o.Error = parserError(out)
	case strings.HasPrefix(o.Error, "TLC threw"):
		o.Error = strings.TrimPrefix(exceptionRE.FindString(out), ": ")
	}
	o.LastState = lastState(out)
	switch {
	case deadlockRE.MatchString(out):
		o.Result = Deadlock
	case invariantRE.MatchString(out):
		o.Result = Violation
		o.Violated = []string{invariantRE.FindStringSubmatch(out)[1]}
	case actionRE.MatchString(out):
		o.Result = Violation
		name := actionRE.FindStringSubmatch(out)[1]
		if slices.Contains(properties, name) {
			o.Violated = []string{name}
		} else {
			// TLC gives the place of a conjunct deep inside a property.
			o.Violated = properties
		}
	case temporalRE.MatchString(out):
		o.Result = Violation
		o.Violated = properties
	case o.Error != "":
		o.Result = Error
	case completedRE.MatchString(out) && finishedRE.MatchString(out):
		o.Result = OK
	default:
		o.Result = Error
		o.Error = "TLC stopped without a verdict"
	}
	return o
}

// Is says whether the outcome is the failure of the invariant or property
// name, or a deadlock.
func (o Outcome) Is(name string) bool {
	if name == Deadlock {
		return o.Result == Deadlock
	}
	return o.Result == Violation && slices.Contains(o.Violated, name)
}

// String is the result as the manifest would write it.
func (o Outcome) String() string {
	if o.Result == Violation {
		return o.Result + ":" + strings.Join(o.Violated, "|")
	}
	return o.Result
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64)
	return n
}

// parserError gives the lines of a complaint of the parser, as one.
func parserError(out string) string {
	_, rest, _ := strings.Cut(out, "***")
	rest, _, _ = strings.Cut(rest, "Starting...")
	words := strings.Fields(strings.Trim(rest, "*"))
	return strings.Join(words[:min(len(words), 40)], " ")
}

// lastState cuts the last state out of a trace.
func lastState(out string) string {
	heads := stateHeadRE.FindAllStringIndex(out, -1)
	var rest string
	switch {
	case heads != nil:
		i := len(heads) - 1
		// "Stuttering" and "Back to state" have no body; show the state
		// before them as well.
		head := out[heads[i][0]:heads[i][1]]
		if i > 0 && (strings.HasPrefix(head, "Back") || strings.HasSuffix(head, "Stuttering")) {
			i--
		}
		rest = out[heads[i][0]:]
	case initialRE.MatchString(out):
		rest = out[initialRE.FindStringIndex(out)[1]+1:]
	default:
		return ""
	}
	if end := blankStateRE.FindStringIndex(rest); end != nil {
		tail := rest[end[1]:]
		head := stateHeadRE.FindStringIndex(tail)
		rest = rest[:end[0]]
		if head != nil && head[0] == 0 {
			rest += "\n" + tail[:head[1]]
		}
	}
	return strings.TrimRight(rest, "\n")
}

// Properties lists the temporal properties of a configuration.
func Properties(cfg string) []string {
	keywords := []string{
		"CONSTANT", "CONSTANTS", "INIT", "NEXT", "SPECIFICATION", "INVARIANT", "INVARIANTS",
		"CONSTRAINT", "CONSTRAINTS", "ACTION_CONSTRAINT", "ACTION_CONSTRAINTS", "SYMMETRY", "VIEW",
		"CHECK_DEADLOCK", "ALIAS", "POSTCONDITION", "TYPE", "TYPE_CONSTRAINT",
	}
	var list []string
	in := false
	cfg = blockCommentRE.ReplaceAllString(cfg, " ")
	for _, line := range strings.Split(cfg, "\n") {
		line, _, _ = strings.Cut(line, `\*`)
		for _, word := range strings.Fields(line) {
			switch {
			case word == "PROPERTY" || word == "PROPERTIES":
				in = true
			case slices.Contains(keywords, word):
				in = false
			case in:
				list = append(list, word)
			}
		}
	}
	return list
}

var blockCommentRE = regexp.MustCompile(`(?s)\(\*.*?\*\)`)
