package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadme compares the table of README.md with the manifest.
func TestReadme(t *testing.T) {
	const root = ".."
	m, err := readManifest(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	synced, wrong, err := m.syncReadme(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Errorf("spec/README.md: %s", w)
	}
	is, want := strings.Split(string(text), "\n"), strings.Split(synced, "\n")
	for i := range want {
		if is[i] != want[i] {
			t.Errorf("spec/README.md:%d: %s\n\tby manifest.json: %s", i+1, is[i], want[i])
		}
	}
	if t.Failed() {
		t.Log("go run ./spec/check -only REGEX -update runs models and writes their counts and classes here, too")
	}
}

func TestSyncReadme(t *testing.T) {
	m := &Manifest{Models: []*Model{
		{Name: "toy/small", Class: classCI, Expect: "ok", Distinct: 1234567, Depth: 12},
		{Name: "toy/large", Class: classNightly, Expect: "ok", Distinct: 999, Depth: 1000},
		{Name: "toy/reach", Class: classCI, Expect: "violation:ReachHigh"},
	}}
	table := func(rows ...string) string {
		return "# Toys\n\n" + proofHead + "\n|---|---|---|---|---|---|---|\n" + strings.Join(rows, "\n") + "\n\nMore.\n"
	}
	const (
		small = "| bounds | TLC | toy/small | 1 toy | 1,234,567 | 12 | ci |"
		large = "| bounds | TLC | toy/large | 2 toys | 999 | 1,000 | nightly |"
		paper = "| any number of toys | on paper | | | | | |"
	)
	good := table(small, paper, large)
	tests := []struct {
		name, text, synced string
		wrong              []string
	}{
		{"the same", good, good, nil},
		{"another class", strings.Replace(good, "nightly", "ci", 1), good, nil},
		{"other counts", strings.Replace(strings.Replace(good, "1,234,567", "1234567", 1), "| 12 |", "| 13 |", 1), good, nil},
		{"no row", table(small), table(small), []string{"toy/large has no row"}},
		{"two rows", table(small, large, small), table(small, large, small), []string{"toy/small has two rows"}},
		{"a probe", table(small, large, "| x | TLC | toy/reach | | | | ci |"), table(small, large, "| x | TLC | toy/reach | | | | ci |"),
			[]string{"toy/reach is no model of manifest.json that is expected to be ok"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synced, wrong, err := m.syncReadme(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if synced != tt.synced || !slices.Equal(wrong, tt.wrong) {
				t.Errorf("%q, and wrong are %q", synced, wrong)
			}
		})
	}
	for name, text := range map[string]string{"no table": "# Toys\n", "cells": table("| TLC | toy/small |")} {
		if _, _, err := m.syncReadme(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	unrun := &Manifest{Models: []*Model{{Name: "toy/small", Class: classCI, Expect: "ok"}}}
	if _, wrong, err := unrun.syncReadme(table(small)); err != nil || !slices.Equal(wrong, []string{"toy/small has no counts in manifest.json"}) {
		t.Errorf("without counts: wrong are %q (%v)", wrong, err)
	}
}
