package mome

import (
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	const node, nodes = 1, 3
	for _, c := range []struct {
		env        string
		rank, size int
		want       string // of the error
	}{
		{"", 1, 3, ""},
		{"MOME_RANK=2 MOME_SIZE=6", 2, 6, ""},
		{"SLURM_PROCID=5 SLURM_NTASKS=8", 5, 8, ""},
		{"SLURM_NTASKS=8", 1, 3, ""}, // of a job, whose script this may be
		{"PMIX_RANK=2", 2, 3, ""},
		{"PMIX_RANK=2 PMIX_SIZE=4", 2, 4, ""},
		{"PMIX_RANK=7 SLURM_PROCID=7 SLURM_NTASKS=8", 7, 8, ""},
		{"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 PMIX_RANK=3", 3, 4, ""},
		// mpirun within a job of Slurm.
		{"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 SLURM_PROCID=0 SLURM_NTASKS=2", 3, 4, ""},
		{"OMPI_COMM_WORLD_RANK=2 SLURM_PROCID=0 SLURM_NTASKS=1", 2, 3, ""},
		{"MOME_RANK=1 MOME_SIZE=2 SLURM_PROCID=5 SLURM_NTASKS=8", 1, 2, ""},
		{"MOME_SIZE=9 SLURM_PROCID=5 SLURM_NTASKS=8", 5, 9, ""},
		{"MOME_RANK=0 SLURM_PROCID=5 SLURM_NTASKS=8", 0, 3, ""},
		{"SLURM_PROCID=zero", 0, 0, `SLURM_PROCID="zero" is not a number`},
		{"SLURM_PROCID=0 SLURM_NTASKS=2(x3)", 0, 0, `SLURM_NTASKS="2(x3)" is not a number`},
		{"PMIX_RANK=-1", 0, 0, `PMIX_RANK="-1" is not a number`},
		{"OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=4", 0, 0, "OMPI_COMM_WORLD_RANK=4 and OMPI_COMM_WORLD_SIZE=4 do not fit"},
		{"PMIX_RANK=3", 0, 0, "rank 3 of 3 (PMIX_RANK=3)"},
		{"MOME_NODES=3", 0, 0, "let MOME_SIZE say"},
		{"MOME_SIZE=0", 0, 0, "MOME_RANK (not set) and MOME_SIZE=0 do not fit"},
	} {
		t.Setenv("MOME_NODES", "")
		for _, l := range launchers {
			t.Setenv(l.rank, "")
			t.Setenv(l.size, "")
		}
		for _, setting := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
		}
		p, err := placeOf()
		if err == nil {
			p, err = p.in(node, nodes)
		}
		switch {
		case c.want == "" && (err != nil || p.rank != c.rank || p.size != c.size):
			t.Errorf("%q: rank %d of %d, %v; want %d of %d", c.env, p.rank, p.size, err, c.rank, c.size)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %q", c.env, err, c.want)
		}
	}
}
