//go:build linux

package memory

func daemonMain() {}
