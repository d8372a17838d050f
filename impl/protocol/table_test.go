package protocol

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// A table is a map, whatever it has at hand, and wherever pages are in its keys.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		is, want := newTable[uint8, uint8](rapid.IntRange(0, 4).Draw(t, "shift")), map[uint8]uint8{}
		key := rapid.Uint8()
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
				from, to := key.Draw(t, "from"), key.Draw(t, "to")
				gone := func(k uint8) bool { return from <= k && k < to }
				is.forget(gone)
				maps.DeleteFunc(want, func(k, _ uint8) bool { return gone(k) })
			},
			"all": func(t *rapid.T) {
				if got := maps.Collect(is.all); !maps.Equal(got, want) || is.len() != len(want) {
					t.Fatalf("%d entries, %v, want %v", is.len(), got, want)
				}
				if runs, most := len(is.index), len(want)+1; runs > most {
					t.Fatalf("%d runs hold %d entries", runs, len(want))
				}
				made := 0
				for _, slab := range is.runs {
					made += len(slab)
				}
				if made != len(is.index)+len(is.spare) {
					t.Fatalf("%d runs were made, %d are in use and %d spare", made, len(is.index), len(is.spare))
				}
			},
		})
	})
}
