package client

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// TestNotice: what took no time is not said, and of the rest each state once.
func TestNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		n := NewNotice(time.Second, func(waits string) { said = append(said, waits) })
		waits := func(who string) {
			n.Event(&attachpb.Reply{Body: &attachpb.Reply_Waiting{Waiting: &attachpb.Waiting{Waits: who}}})
		}
		waits("a")
		waits("b")
		time.Sleep(2 * time.Second) // of the bubble's clock
		synctest.Wait()
		n.Event(&attachpb.Reply{Body: &attachpb.Reply_ClusterFailed{}})
		waits("c")
		n.Stop()
		waits("d")
		if want := []string{"b", "c"}; !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
	})
}
