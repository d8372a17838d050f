package node

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/client"
)

func noGuard(int) error { return nil }

func threadsHere(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// The threads that serve programs end with them.
func TestThreadsEnd(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	attach := func(count int) (most int) {
		var clients []*client.Client
		for range count {
			c, err := client.Dial(context.Background(), n.cfg.Socket, client.Config{Guard: noGuard})
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		most = threadsHere(t)
		for _, c := range clients {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return most
	}
	const many = 60
	attach(2)
	before := threadsHere(t)
	if most := attach(many); most < before+many/2 {
		t.Fatalf("%d threads with %d programs more, and %d before", most, many, before)
	}
	for end := time.Now().Add(patience); threadsHere(t) > before+many/4; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d threads when %d programs have ended, and %d before", threadsHere(t), many, before)
		}
	}
}

// A node that serves as many programs and mappings as it can refuses one more and
// says why; those that it serves go on, and as soon as one has ended there is room.
func TestServantsAreBounded(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	served := startProgram(t, n)
	served.do("store") // a program and a mapping
	n.servants.mu.Lock()
	n.servants.most = n.servants.taken + 1
	n.servants.mu.Unlock()
	unmapped := startProgram(t, n) // it fails by itself
	unmapped.mayFail = true
	unmapped.begin("load")
	text := unmapped.rest()
	for _, want := range []string{"no room", "node 0", "serves 3 programs and mappings"} {
		if !strings.Contains(text, want) {
			t.Errorf("a program that cannot map says %q, not %q", text, want)
		}
	}
	if err := unmapped.wait(); err == nil {
		t.Error("a program without a mapping has ended well")
	}
	c, err := client.Dial(context.Background(), n.cfg.Socket, client.Config{Guard: noGuard})
	for end := time.Now().Add(patience); errors.Is(err, client.ErrNoSpace) && time.Now().Before(end); runtime.Gosched() {
		// The program before is gone, and the node may still be about to notice.
		c, err = client.Dial(context.Background(), n.cfg.Socket, client.Config{Guard: noGuard})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial(context.Background(), n.cfg.Socket, client.Config{Guard: noGuard}); !errors.Is(err, client.ErrNoSpace) ||
		!strings.Contains(err.Error(), "node 0: no thread is left: this node serves 3 programs and mappings") {
		t.Errorf("one more attaches: %v", err)
	}
	served.do("load")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
