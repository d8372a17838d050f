package validate

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
)

// The generated module and its configuration.
const (
	moduleName = "Run"
	configName = "Run.cfg"
)

// lineEvents is how many events stand in one line of a module.
const lineEvents = 12

// writeModule writes the objects as a module of literals. TLC reads about
// 50,000 events a second as tuples of numbers; as records it would be a tenth.
func writeModule(w io.Writer, spec string, objects []*Object, constants []Constant) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "---- MODULE %s ----\nEXTENDS %s\n", moduleName, spec)
	for _, c := range constants {
		if c.Operator == "" {
			fmt.Fprintf(b, "%s%s == %s\n", moduleName, c.Name, c.Value)
		}
	}
	shapes := make(map[string]int)
	var order []string
	for i, o := range objects {
		fmt.Fprintf(b, "%sObject%d == <<\n", moduleName, i+1)
		for j := range o.Events {
			e := &o.Events[j]
			k := shapes[e.Shape]
			if k == 0 {
				order = append(order, e.Shape)
				k = len(order)
				shapes[e.Shape] = k
			}
			b.WriteString("<<")
			b.WriteString(strconv.Itoa(k))
			for _, n := range e.Numbers {
				b.WriteByte(',')
				b.WriteString(strconv.Itoa(n))
			}
			b.WriteString(">>")
			if j < len(o.Events)-1 {
				b.WriteByte(',')
				if j%lineEvents == lineEvents-1 {
					b.WriteByte('\n')
				}
			}
		}
		b.WriteString(">>\n")
	}
	fmt.Fprintf(b, "%sTrace == <<", moduleName)
	for i := range objects {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%sObject%d", moduleName, i+1)
	}
	fmt.Fprintf(b, ">>\n%sShapes == <<\n", moduleName)
	for i, s := range order {
		b.WriteString(s)
		if i < len(order)-1 {
			b.WriteString(",\n")
		}
	}
	b.WriteString(">>\n====\n")
	return b.Flush()
}

// writeConfig writes the configuration of TLC's run over the module.
func writeConfig(w io.Writer, constants []Constant) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "INIT TraceInit\nNEXT JudgeNext\nCONSTANTS\n")
	for _, c := range append(constants, Constant{Name: "Trace"}, Constant{Name: "Shapes"}) {
		value := c.Operator
		if value == "" {
			value = moduleName + c.Name
		}
		fmt.Fprintf(b, "    %s <- %s\n", c.Name, value)
	}
	return b.Flush()
}
