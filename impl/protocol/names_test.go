package protocol_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
)

// specText is the text of a specification's module.
func specText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../spec/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// namesOf are the names of constants from first on, up to the last one.
func namesOf[T interface {
	~uint8
	fmt.Stringer
}](first T) (all []string) {
	for c := first; !strings.HasPrefix(c.String(), "invalid("); c++ {
		all = append(all, c.String())
	}
	return all
}

// TestMessageNames compares the messages of Manager.tla with the constants, both
// ways: their kinds, and what each field may say. Data has no kind there: it is
// lateral, in a variable of its own.
func TestMessageNames(t *testing.T) {
	types, manager := specText(t, "abstract/Types.tla"), specText(t, "strong/Manager.tla")
	var kinds []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+)Msg\(.*\) +== \[(?:kind \|-> "(\w+)")?`).FindAllStringSubmatch(manager, -1) {
		if m[2] != "" && m[2] != m[1] {
			t.Errorf("%sMsg has the kind %s", m[1], m[2])
		}
		kinds = append(kinds, m[1])
	}
	set := func(name string) (all []string) {
		m := regexp.MustCompile(`(?m)^` + name + ` +== \{(.*?)\}`).FindStringSubmatch(types)
		if m == nil {
			t.Fatalf("Types.tla has no %s", name)
		}
		for _, s := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(m[1], -1) {
			all = append(all, s[1])
		}
		return all
	}
	// Rights are numbers: their order is their meaning.
	var rights []string
	for _, m := range regexp.MustCompile(`(?m)^(None|Read|Owned|Write) +== (\d)`).FindAllStringSubmatch(types, -1) {
		if n, err := strconv.Atoi(m[2]); err != nil || n != len(rights) {
			t.Errorf("%s is %s, after %v", m[1], m[2], rights)
		}
		rights = append(rights, strings.ToLower(m[1]))
	}
	for _, c := range []struct {
		what       string
		spec, code []string
	}{
		{"kinds", kinds, namesOf(protocol.KindInvalid + 1)},
		{"ops", set("Ops"), namesOf(protocol.OpNone + 1)},
		{"sources", set("Sources"), namesOf(protocol.SourceNone + 1)},
		{"dsts", set("Dsts"), namesOf(protocol.ToNobody)},
		{"rights", rights, namesOf(protocol.None)},
	} {
		if !slices.Equal(c.spec, c.code) {
			t.Errorf("%s: the specification has %v, the code %v", c.what, c.spec, c.code)
		}
	}
}
