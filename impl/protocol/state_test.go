package protocol

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// fill gives every field of a state a value that is not zero, but for those that
// its JSON leaves out on purpose, and limits those that have names or few values.
func fill(v reflect.Value, random *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), random)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			fill(v.Index(i), random)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8:
		v.SetInt(1 + random.Int64N(60))
	case reflect.Uint8:
		v.SetUint(1 + random.Uint64N(2))
	default:
		v.SetUint(1 + random.Uint64N(1<<15))
	}
}

// TestStateJSON demands that states come back from their JSON, every field.
func TestStateJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var m, m2 ManagerState
		fill(reflect.ValueOf(&m).Elem(), random)
		for i := range m.Queue { // a request has some fields, and a recall others
			if q := &m.Queue[i]; i == 1 {
				q.Op, q.Child, q.Have = OpNone, 0, None
			} else {
				q.Keep, q.Dst = None, ToNobody
			}
		}
		if text := m.AppendJSON(nil); json.Unmarshal(text, &m2) != nil || !reflect.DeepEqual(m, m2) {
			t.Fatalf("%s\n%+v came back as\n%+v", text, m, m2)
		}
		var l, l2 LeafState
		fill(reflect.ValueOf(&l).Elem(), random)
		if text := l.AppendJSON(nil); json.Unmarshal(text, &l2) != nil || !reflect.DeepEqual(l, l2) {
			t.Fatalf("%s\n%+v came back as\n%+v", text, l, l2)
		}
	}
	for _, zero := range []interface{ AppendJSON([]byte) []byte }{&ManagerState{}, &LeafState{}} {
		back := reflect.New(reflect.TypeOf(zero).Elem()).Interface()
		if text := zero.AppendJSON(nil); json.Unmarshal(text, back) != nil || !reflect.DeepEqual(zero, back) {
			t.Errorf("%s came back as %+v", text, back)
		}
	}
	for _, bad := range []string{`{"right":"all"}`, `{"marked":[64]}`, `{"marked":[-1]}`, `{"owner":64}`, `{"owner":-2}`, `{"busy":{"op":"steal"}}`,
		`{"busy":{"source":"nowhere"}}`, `{"recall":{"dst":"moon"}}`, `{"home":"full"}`} {
		if err := json.Unmarshal([]byte(bad), new(ManagerState)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestServices compares the rows with StrongServices of Strong.tla, both ways.
func TestServices(t *testing.T) {
	text, err := os.ReadFile("../../spec/strong/Strong.tla")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(text), "StrongServices == [")
	rows, _, _ = strings.Cut(rows, "\n]")
	spec := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)(\w+) +\|-> \[(.*?)\]`).FindAllStringSubmatch(rows, -1) {
		spec[m[1]] = strings.ToLower(regexp.MustCompile(`\s+`).ReplaceAllString(m[2], " "))
	}
	whom := map[whom]string{supplier: "supplier", others: "others", asker: "asker"}
	right := func(r Right) string {
		if r == atHome {
			return "athome"
		}
		return r.String()
	}
	code := make(map[string]string)
	for op := OpNone + 1; op.known(); op++ {
		r := op.row()
		code[op.String()] = fmt.Sprintf(`needs |-> %s, grants |-> %s, supplies |-> %v, least |-> %s, most |-> %s, recalls |-> "%s", keep |-> %s`,
			right(r.needs), right(r.grants), r.supplies, right(r.least), right(r.most), whom[r.recalls], right(r.keep))
	}
	if len(spec) == 0 || !reflect.DeepEqual(spec, code) {
		t.Errorf("the specification has\n%v\nthe code\n%v", spec, code)
	}
}
