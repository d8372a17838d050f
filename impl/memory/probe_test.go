//go:build linux

package memory

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProbe(t *testing.T) {
	r := Probe()
	if r.Kernel == "" || len(r.Checks) < 5 {
		t.Fatalf("%+v", r)
	}
	for _, c := range r.Checks {
		if c.OK != (c.Why == "") || c.OK != (c.Remedy == "") {
			t.Errorf("%+v", c)
		}
	}
	if os.Getenv("MOME_REQUIRE_UFFD") == "1" && r.Err() != nil {
		t.Error(r.Err())
	}
}

func TestReportErr(t *testing.T) {
	r := Report{Checks: []Check{
		{Name: "first", OK: true},
		{Name: "second", Why: "it is not there", Remedy: "run: fetch it"},
		{Name: "third", Why: "neither", Remedy: "nothing"},
	}}
	if got, want := r.Err().Error(), "mome: memory: second: it is not there; run: fetch it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if (Report{}).Err() != nil {
		t.Error("an empty report is an error")
	}
}

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		release      string
		major, minor int
		want         bool
	}{
		{"6.18.44-fc-v669", 6, 7, true},
		{"6.7.0", 6, 7, true},
		{"6.7-rc1", 6, 7, true},
		{"6.6.99", 6, 7, false},
		{"5.15.0-100-generic", 6, 7, false},
		{"7.0.1", 6, 7, true},
		{"10.1", 6, 7, true},
		{"", 6, 7, false},
		{"six", 6, 7, false},
	} {
		if got := atLeast(c.release, c.major, c.minor); got != c.want {
			t.Errorf("%q is at least %d.%d: %v", c.release, c.major, c.minor, got)
		}
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		sys, dev     error
		says, remedy string
	}{
		{unix.ENOSYS, unix.ENOENT, "no userfaultfd", "CONFIG_USERFAULTFD"},
		{unix.EPERM, unix.ENOENT, "there is no /dev/userfaultfd", "sysctl -w vm.unprivileged_userfaultfd=1"},
		{unix.EPERM, unix.EACCES, "not open to this user", "sysctl -w vm.unprivileged_userfaultfd=1"},
		{unix.EPERM, unix.ENODEV, "no such device", "sysctl -w vm.unprivileged_userfaultfd=1"},
		{unix.EMFILE, unix.EMFILE, "too many open files", "raise"},
	} {
		why, remedy := refusalAndRemedy(c.sys, c.dev)
		if !strings.Contains(why, c.says) || !strings.Contains(remedy, c.remedy) {
			t.Errorf("%v, %v: %q; %q", c.sys, c.dev, why, remedy)
		}
	}
}

func TestFeaturesOf(t *testing.T) {
	got, err := featuresOf("pos:\t0\nflags:\t02\nmnt_id:\t1\npending:\t0\ntotal:\t0\nAPI:\taa:80005521:1c0000000000001ff\n")
	if err != nil || got != 0x80005521 {
		t.Errorf("%#x, %v", got, err)
	}
	for _, bad := range []string{"", "API:\taa\n", "API:\taa:zz:1\n"} {
		if _, err := featuresOf(bad); !errors.Is(err, ErrNotUserfaultfd) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
