package node

import (
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

func TestHotPages(t *testing.T) {
	var h hotPages
	for i := range 1000 {
		h.count(7)
		h.count(addr.PageNum(1000 + i)) // a crowd of pages that are never hot
	}
	for i, p := range h.pages {
		if p == 7 {
			if h.counts[i] < 1000 {
				t.Errorf("the hot page has %d of 1000 recalls", h.counts[i])
			}
			return
		}
	}
	t.Error("the hot page was forgotten")
}
