package trace

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/protocol"
)

func BenchmarkAction(b *testing.B) {
	m := aMessage()
	e := protocol.Event{Action: protocol.ActRecvReq, At: leaf1, Page: 7, Message: &m, Lamport: 5}
	post := State(states(`{"right":"owned","marked":[0,2],"owner":2,"ownerRight":"owned","version":17}`))
	b.Run("log=off", func(b *testing.B) {
		var l *Log
		b.ReportAllocs()
		for b.Loop() {
			l.Action(&e, post)
		}
	})
	b.Run("log=on", func(b *testing.B) {
		r := newTestRecorder(b, b.TempDir(), 1)
		l := r.Shard(0)
		line := appendHead(nil, e.Lamport, e.At, 0, 1)
		line = appendTail(post.AppendState(appendMessage(line, &m), 0, leaf1), clock.Now())
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			l.Action(&e, post)
		}
	})
	b.Run("log=encode", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = appendMessage(buf[:0], &m)
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	m := aMessage()
	in := protocol.Input{Kind: protocol.InMessage, Msg: &m}
	effects := []protocol.Effect{{Kind: protocol.FrameDrop}, {Kind: protocol.Send, Msg: m}}
	r := newTestRecorder(b, b.TempDir(), 1)
	for _, l := range []*Log{nil, r.Shard(0)} {
		b.Run(fmt.Sprintf("on=%v", l != nil), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Output(&in, effects, nil)
			}
		})
	}
}

func BenchmarkContent(b *testing.B) {
	r := newTestRecorder(b, b.TempDir(), 1)
	page := make([]byte, addr.PageSize)
	for _, l := range []*Log{nil, r.Shard(0)} {
		b.Run(fmt.Sprintf("on=%v", l != nil), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Content(Give, 1, leaf1, page)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	r := newTestRecorder(b, dir, 1)
	m := aMessage()
	for i := range 10000 {
		r.Shard(0).Action(&protocol.Event{At: leaf1, Lamport: uint64(i), Message: &m}, states(`{"right":"none"}`))
	}
	if err := r.Close(nil); err != nil {
		b.Fatal(err)
	}
	h := testHeader()
	text, err := os.ReadFile(filepath.Join(dir, h.fileName()))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, all, err := ReadLog("bench", bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range all {
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
		}
	}
}
