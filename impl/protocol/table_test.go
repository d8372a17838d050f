package protocol

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// A table is a map, whatever it has at hand.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		is, want := newTable[uint8, uint8](), map[uint8]uint8{}
		key := rapid.Uint8Range(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				if k := key.Draw(t, "key"); is.get(k) != want[k] {
					t.Fatalf("entry %d is %d, want %d", k, is.get(k), want[k])
				}
			},
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.Uint8Range(0, 2).Draw(t, "value")
				is.set(k, v)
				if want[k] = v; v == 0 {
					delete(want, k)
				}
			},
			"forget": func(t *rapid.T) {
				k := key.Draw(t, "key")
				is.forget(func(e uint8) bool { return e == k })
				delete(want, k)
			},
			"all": func(t *rapid.T) {
				if got := maps.Collect(is.all); !maps.Equal(got, want) || is.len() != len(want) {
					t.Fatalf("%d entries, %v, want %v", is.len(), got, want)
				}
			},
		})
	})
}
