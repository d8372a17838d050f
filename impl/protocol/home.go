package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// fromHome supplies the page from the home: a virgin page is zeros and needs no
// data.
// Preconditions: no child is recorded owned or write, so the home is not stale;
// an intermediate never comes here.
func (m *manager) fromHome() {
	if !m.root || m.dir.Home == Stale {
		panic(fmt.Sprintf("mome: %v has no home to supply %v from\n%s", m.at, m.page,
			m.state()))
	}
	if m.dir.Home == Virgin {
		m.Busy.Source = Zero
		return
	}
	m.Busy.Source = Sent
	m.sendData(m.at, addr.Place{Node: m.Busy.Leaf, Tag: addr.Leaf}, m.page,
		Message{Version: m.dir.Version, Txn: m.Busy.Txn})
}

// homeStale records that the root grants write: a new master version is about
// to be made, elsewhere.
func (m *manager) homeStale() {
	if m.dir.Home == Valid {
		m.batch.add(Effect{Kind: HomeDrop, Page: m.page})
	}
	m.dir.Home = Stale
	m.prepare(m.at, m.page, 0)
	m.dir.Version++
}

// HomeRecvData is the spec's HomeRecvData(m): the page comes home.
// Preconditions: the home's Data is expected.
func (m *manager) HomeRecvData(d *Message, local bool) {
	m.prepare(m.at, m.page, d.Prepared)
	if !local {
		m.batch.add(Effect{Kind: HomeFill, Page: m.page})
	}
	m.dir.Home = Valid
	m.Busy.HomeDue--
	m.end()
}
