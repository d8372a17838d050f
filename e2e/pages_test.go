package e2e

func init() {
	programs["fill"] = fillProgram
}

// tagged is the content of a word that tells where it belongs and which version
// it is. It is never zero.
func tagged(page, word int, version int64) int64 {
	return int64(page+1)<<48 | int64(word)<<32 | version
}

// fill stores a version to every word of pages [from, to).
func fill(w []int64, from, to int, version int64) {
	for p := from; p < to; p++ {
		for i := range pageWords {
			w[p*pageWords+i] = tagged(p, i, version)
		}
	}
}

// verify loads every word of pages [from, to), which must have the version.
func verify(w []int64, from, to int, version int64) {
	for p := from; p < to; p++ {
		for i := range pageWords {
			if got, want := w[p*pageWords+i], tagged(p, i, version); got != want {
				fatalf("page %d word %d is %#x, want %#x", p, i, got, want)
			}
		}
	}
}

// home is the node of a page's root manager, in a segment of so many pages whose
// homes are in blocks (mome.Block): nodes have equal runs of pages, in order.
func home(page, pages, nodes int) int { return page * nodes / pages }

// fillProgram stores to all pages of the segment, says so, and stays. Each line
// that it hears is a version to check and then the next one to store.
func fillProgram(p *program) {
	pages := p.number(1)
	w := words(p.open(int64(pages) * pageSize))
	fill(w, 0, pages, 1)
	p.say("filled")
	for p.in.Scan() {
		switch p.in.Text() {
		case "verify 2":
			verify(w, 0, pages, 2)
			p.say("verified")
		case "end":
			return
		}
	}
}
