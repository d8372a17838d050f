package sim

import (
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
)

func TestTurns(t *testing.T) {
	type step struct {
		ask     int               // a child, or -1
		waiting protocol.Children // after it
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

func TestTurnsOfRecall(t *testing.T) {
	type step struct {
		waits   bool
		granted protocol.Children
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  int // who was granted too much, or -1
	}{
		{"each once", []step{{true, 0}, {true, 1}, {true, 2}, {true, 4}, {false, 0}}, -1},
		{"two at once", []step{{true, 3}, {true, 4}}, -1},
		{"once more, and the recall is taken", []step{{true, 1}, {false, 1}, {false, 1}}, -1},
		{"the next recall", []step{{true, 1}, {false, 0}, {true, 1}}, -1},
		{"twice", []step{{true, 1}, {true, 2}, {true, 2}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s turns
			got := -1
			for _, step := range c.steps {
				if got = s.recall(step.waits, step.granted); got >= 0 {
					break
				}
			}
			if got != c.want {
				t.Errorf("child %d was granted too much, want %d", got, c.want)
			}
		})
	}
}
