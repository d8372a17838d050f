package mome

import (
	"fmt"
	"os"
	"strconv"
)

// Environment variables that Connect and Record read. "momenode cluster" sets
// them.
const (
	EnvSocket  = "MOME_SOCKET"  // path of the node's socket
	EnvRank    = "MOME_RANK"    // number of this process among the program's, from 0
	EnvSize    = "MOME_SIZE"    // how many processes the program has
	EnvHistory = "MOME_HISTORY" // directory of the histories that Record writes, or unset
)

// launchers are who may have said rank and size, the first one that has said a
// rank counts. Those that run within others come first: what mpirun starts within
// a batch job has SLURM_PROCID of the job's script, and its own rank besides.
var launchers = [...]struct{ rank, size string }{
	{EnvRank, EnvSize},
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, // Open MPI
	{"PMIX_RANK", "PMIX_SIZE"},                       // PMIx, which says the rank alone
	{"SLURM_PROCID", "SLURM_NTASKS"},                 // Slurm
}

// place is what the environment says of this process among those of the program.
type place struct {
	rank, size         int
	haveRank, haveSize bool
	rankFrom, sizeFrom string // the variables
}

// placeOf reads the environment. A size is that of the launcher which has said the
// rank, or of a later one that says the same rank; MOME_SIZE is before all.
func placeOf() (p place, err error) {
	if os.Getenv("MOME_NODES") != "" && os.Getenv(EnvSize) == "" {
		return place{}, fmt.Errorf("mome: connect: MOME_NODES is set, and not read any more: let %s say how many processes the program has", EnvSize)
	}
	for _, l := range launchers {
		rank, haveRank, err := envInt(l.rank)
		if err != nil {
			return place{}, err
		}
		if haveRank && !p.haveRank {
			p.rank, p.haveRank, p.rankFrom = rank, true, l.rank
		}
		if p.haveSize || l.size != EnvSize && (!haveRank || rank != p.rank) {
			continue
		}
		size, haveSize, err := envInt(l.size)
		if err != nil {
			return place{}, err
		}
		if haveSize {
			p.size, p.haveSize, p.sizeFrom = size, true, l.size
		}
	}
	if p.haveSize && p.size < 1 || p.haveRank && p.haveSize && p.rank >= p.size {
		return place{}, fmt.Errorf("mome: connect: %s and %s=%d do not fit: ranks go from 0 to the number of processes - 1", p.said(), p.sizeFrom, p.size)
	}
	return p, nil
}

// said is the rank as the environment says it.
func (p place) said() string {
	if !p.haveRank {
		return EnvRank + " (not set)"
	}
	return fmt.Sprintf("%s=%d", p.rankFrom, p.rank)
}

// in fills in what the environment has not said: the node's number as the rank,
// and the number of nodes as the size.
func (p place) in(node, nodes int) (place, error) {
	said := p.haveRank || p.haveSize
	if !p.haveRank {
		p.rank = node
	}
	if !p.haveSize {
		p.size = nodes
	}
	if said && p.rank >= p.size {
		return p, fmt.Errorf("mome: connect: rank %d of %d (%s): ranks go from 0 to the number of processes - 1: set both %s and %s, or neither (then they are the node's number and the number of nodes)",
			p.rank, p.size, p.said(), EnvRank, EnvSize)
	}
	return p, nil
}

func envInt(name string) (value int, set bool, err error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false, nil
	}
	v, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, false, fmt.Errorf("mome: connect: %s=%q is not a number", name, text)
	}
	return int(v), true, nil
}
