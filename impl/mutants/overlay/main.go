// Command overlay puts the mutants of Go packages into copies of their sources, below
// bin/_overlay, and prints the path of what go build -overlay reads.
//
// A package has mutants if it has a mutants.txt, of the format of internal/mutation.
//
// All of them are in one copy, so that one build serves all. A function that a mutant
// changes stands in the copy as it is and, under another name, as the mutant has it,
// and begins with the question which of them is meant. So a mutant changes functions,
// and nothing else. A generated file says how one is switched on:
//
//	type Bug                 a mutant; String is its name, 0 is none
//	func Bugs(group string)  those of a group, "" of a file that has no groups
//	func Named(name string)  the one of that name
//	func Break(Bug)          switches one on, and all others of the package off
//
// In a process that is told to by MOME_MUTANT=PACKAGE.NAME one is on from its start.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mome-dsm/mome/internal/mutation"
)

func main() {
	path, err := overlay(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

// folders are the packages with mutants: those of the daemon, and the heap.
func folders(root string) ([]string, error) {
	texts, err := filepath.Glob(filepath.Join(root, "impl", "*", mutation.Name))
	texts = append(texts, filepath.Join(root, "alloc", mutation.Name))
	for i := range texts {
		texts[i] = filepath.Dir(texts[i])
	}
	return texts, err
}

// overlay writes the copies of all packages below root.
func overlay(root string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	dirs, err := folders(root)
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", "_overlay")
	replace := make(map[string]string)
	for _, dir := range dirs {
		list, err := mutation.Read(dir)
		if err != nil {
			return "", err
		}
		copies, err := mutate(dir, list)
		if err != nil {
			return "", fmt.Errorf("%s: %w", dir, err)
		}
		for file, text := range copies {
			path := filepath.Join(dir, file)
			in, err := filepath.Rel(root, path)
			if err != nil {
				return "", err
			}
			replace[path] = filepath.Join(out, in)
			if err := write(replace[path], text); err != nil {
				return "", err
			}
		}
	}
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	path := filepath.Join(out, "overlay.json")
	return path, write(path, text)
}

// write leaves a file alone that has the content already: what was built from it is in
// the cache.
func write(path string, content []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
