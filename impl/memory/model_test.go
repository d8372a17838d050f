//go:build linux

package memory

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"pgregory.net/rapid"
)

type right uint8

const (
	nothing right = iota
	read
	write
)

// model is a segment as its contracts describe it: what is present, what its
// first word is, and what each process may do.
type model struct {
	present [modelPages]bool
	content [modelPages]uint64
	right   [modelProcesses][modelPages]right
}

const (
	modelPages     = 6
	modelProcesses = 2
)

func granted(writable bool) right {
	if writable {
		return write
	}
	return read
}

// Whatever is done in whatever order, to whatever ranges: accesses fault when
// and as the model says, loads read what was stored last, and operations on
// several pages stop where and how they should.
func TestOperationsAgainstModel(t *testing.T) {
	s := newSegment(t, modelPages)
	var apps [modelProcesses]*application
	for i := range apps {
		apps[i] = startApplication(t, s, applicationOptions{})
	}
	rapid.Check(t, func(t *rapid.T) {
		var m model
		if err := s.Punch(testFirst, modelPages); err != nil {
			t.Fatal(err)
		}
		span := func(t *rapid.T) (p, n int) {
			p = rapid.IntRange(0, modelPages-1).Draw(t, "page")
			return p, rapid.IntRange(0, modelPages-p).Draw(t, "n")
		}
		process := func(t *rapid.T) int { return rapid.IntRange(0, modelProcesses-1).Draw(t, "process") }
		check := func(t *rapid.T, err, want error) {
			t.Helper()
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Fatalf("error %v, want %v", err, want)
			}
		}
		num := func(p int) addr.PageNum { return testFirst + addr.PageNum(p) }
		next := uint64(1)

		// access runs a load or store and answers the fault that it must raise.
		access := func(t *rapid.T, r request, i, p int) reply {
			t.Helper()
			a := apps[i]
			isStore := r.Op == "store"
			want := read
			if isStore {
				want = write
			}
			r.Off = int64(p) << addr.PageShift
			c := a.begin(r)
			if m.right[i][p] < want {
				kind := Missing
				switch {
				case m.right[i][p] == read:
					kind = WriteProtect
				case m.present[p]:
					kind = Minor
				}
				select {
				case f := <-a.faults:
					f.Thread = 0
					if wanted := (Fault{Page: num(p), Write: isStore, Kind: kind}); f != wanted {
						t.Fatalf("fault %v, want %v", f, wanted)
					}
				case r := <-c:
					t.Fatalf("%s of page %d did not fault: %+v", r.Err, p, r)
				case <-time.After(patience):
					t.Fatal("neither a fault nor an answer")
				}
				var err error
				switch kind {
				case Missing:
					_, err = a.Zero(num(p), 1, isStore)
					m.present[p], m.content[p] = true, 0
				case Minor:
					err = a.Install(num(p), 1, isStore)
				case WriteProtect:
					err = a.Unprotect(num(p), 1)
				}
				check(t, err, nil)
				m.right[i][p] = want
			}
			select {
			case answer := <-c:
				if answer.Err != "" {
					t.Fatal(answer.Err)
				}
				return answer
			case f := <-a.faults:
				t.Fatalf("unexpected fault %v", f)
			case <-time.After(patience):
				t.Fatal("no answer")
			}
			panic("unreachable")
		}

		t.Repeat(map[string]func(*rapid.T){
			"load": func(t *rapid.T) {
				i, p := process(t), rapid.IntRange(0, modelPages-1).Draw(t, "page")
				got := access(t, request{Op: "load"}, i, p).Val
				if got != m.content[p] {
					t.Fatalf("process %d reads %d on page %d, want %d", i, got, p, m.content[p])
				}
			},
			"store": func(t *rapid.T) {
				i, p := process(t), rapid.IntRange(0, modelPages-1).Draw(t, "page")
				next++
				access(t, request{Op: "store", Val: next}, i, p)
				m.content[p] = next
			},
			"copy": func(t *rapid.T) {
				i, w := process(t), rapid.Bool().Draw(t, "writable")
				zero := rapid.Bool().Draw(t, "zero")
				p, n := span(t)
				src := make([]byte, n*addr.PageSize)
				var (
					wantN int
					want  error
				)
				for k := range n {
					if m.present[p+k] {
						want = ErrExists
						break
					}
					wantN++
					value := uint64(0)
					if !zero {
						next++
						value = next
						binary.NativeEndian.PutUint64(src[k*addr.PageSize:], value)
					}
					m.present[p+k], m.content[p+k], m.right[i][p+k] = true, value, granted(w)
				}
				var (
					got int64
					err error
				)
				if zero {
					got, err = apps[i].Zero(num(p), int64(n), w)
				} else {
					got, err = apps[i].Copy(num(p), src, w)
				}
				check(t, err, want)
				if int(got) != wantN {
					t.Fatalf("%d pages, want %d", got, wantN)
				}
			},
			"fill": func(t *rapid.T) {
				p := rapid.IntRange(0, modelPages-1).Draw(t, "page")
				next++
				binary.NativeEndian.PutUint64(s.Page(num(p)), next)
				m.present[p], m.content[p] = true, next
			},
			"install": func(t *rapid.T) {
				i, w := process(t), rapid.Bool().Draw(t, "writable")
				p, n := span(t)
				var (
					want error
					met  bool // a page that was mapped already
				)
				for k := range n {
					r := &m.right[i][p+k]
					if *r != nothing {
						// A write grant that has met a mapped page lets stores
						// through to all mapped pages of its range at once,
						// those behind a hole included.
						if want == nil || met && w {
							met = true
							*r = max(*r, granted(w))
						}
						continue
					}
					if !m.present[p+k] {
						want = ErrHole
					}
					if want == nil {
						*r = granted(w)
					}
				}
				check(t, apps[i].Install(num(p), int64(n), w), want)
			},
			"protect": func(t *rapid.T) {
				p, n := span(t)
				check(t, s.Protect(num(p), int64(n)), nil)
				for i := range m.right {
					for k := range n {
						m.right[i][p+k] = min(m.right[i][p+k], read)
					}
				}
			},
			"protect one": func(t *rapid.T) {
				i := process(t)
				p, n := span(t)
				check(t, apps[i].Protect(num(p), int64(n)), nil)
				for k := range n {
					m.right[i][p+k] = min(m.right[i][p+k], read)
				}
			},
			"unprotect": func(t *rapid.T) {
				i := process(t)
				p, n := span(t)
				check(t, apps[i].Unprotect(num(p), int64(n)), nil)
				for k := range n {
					if m.right[i][p+k] == read {
						m.right[i][p+k] = write
					}
				}
			},
			"wake": func(t *rapid.T) {
				i := process(t)
				p, n := span(t)
				check(t, apps[i].Wake(num(p), int64(n)), nil)
			},
			"punch": func(t *rapid.T) {
				p, n := span(t)
				check(t, s.Punch(num(p), int64(n)), nil)
				for k := range n {
					m.present[p+k] = false
					for i := range m.right {
						m.right[i][p+k] = nothing
					}
				}
			},
		})
	})
}
