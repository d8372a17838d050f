package sim

import "testing"

func TestTurns(t *testing.T) {
	type step struct {
		ask     int    // a child, or -1
		waiting uint64 // after it
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  int // who waited too long, or -1
	}{
		{"in order", []step{{0, 1}, {1, 3}, {2, 7}, {-1, 6}, {0, 7}, {-1, 5}, {-1, 1}, {-1, 0}}, -1},
		{"two at once", []step{{0, 1}, {1, 3}, {2, 7}, {-1, 4}, {0, 5}, {-1, 1}}, -1},
		{"at once, before others", []step{{0, 1}, {1, 1}}, -1},
		{"twice before another", []step{{0, 1}, {1, 1}, {1, 1}}, 0},
		{"the newest first", []step{{0, 1}, {1, 3}, {2, 3}, {2, 3}}, 0},
		{"asked again since", []step{{0, 1}, {1, 1}, {-1, 0}, {0, 1}, {1, 1}}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s turns
			got := -1
			for _, step := range c.steps {
				if step.ask >= 0 {
					s.ask(step.ask)
				}
				if got = s.grant(step.waiting); got >= 0 {
					break
				}
			}
			if got != c.want {
				t.Errorf("child %d waited too long, want %d", got, c.want)
			}
		})
	}
}
