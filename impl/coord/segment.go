package coord

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"

	"github.com/mome-dsm/mome/impl/addr"
)

var (
	// ErrExists: what was to be created is there already.
	ErrExists = errors.New("mome: exists already")
	// ErrNotFound: there is nothing of that name.
	ErrNotFound = errors.New("mome: not found")
	// ErrNoSpace: no range of that many free pages is left.
	ErrNoSpace = errors.New("mome: no space left")
	// ErrBadSize: not a size that a segment can have.
	ErrBadSize = errors.New("mome: bad segment size")
	// ErrBadName: not a name that a segment, or a cluster, can have.
	ErrBadName = errors.New("mome: bad name")
	// ErrBadAttrs: attributes that contradict what a segment can be.
	ErrBadAttrs = errors.New("mome: bad segment attributes")
)

// Attrs are the attributes of a segment. The zero value is a segment whose pages
// spread over all homes.
type Attrs struct {
	// Home is the policy that places the homes of the pages: spread or block.
	// Empty: spread.
	Home string `json:"home"`
	// Owner is the attachment of a program that the segment ends with. Empty: it
	// outlives programs.
	Owner string `json:"owner,omitempty"`
}

// normal fills in the defaults.
func (a Attrs) normal() (Attrs, error) {
	switch a.Home {
	case "":
		a.Home = "spread"
	case "spread", "block":
	default:
		return a, fmt.Errorf("%w: home policy %q: give spread or block", ErrBadAttrs, a.Home)
	}
	return a, nil
}

// Segment is a named range of the global page space.
type Segment struct {
	Name  string       `json:"name"`
	First addr.PageNum `json:"first"`
	// Pages is the length of the range, 1 to what the cluster's Base has.
	Pages uint64 `json:"pages"`
	// Generation grows with every creation in the cluster, from 1: it tells
	// the segments apart that had the same pages one after the other.
	Generation uint64 `json:"generation"`
	Attrs
}

// end is the page after the segment's last one.
func (s Segment) end() uint64 { return uint64(s.First) + s.Pages }

func (s Segment) String() string {
	return fmt.Sprintf("segment %s [%d, %d)", s.Name, s.First, s.end())
}

var segmentName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}$`)

// Create allots the smallest free range that has that many pages, and of those the
// lowest, to a new segment. It fails with ErrBadName, ErrBadSize, ErrBadAttrs, ErrExists and ErrNoSpace.
func (c *Config) Create(ctx context.Context, name string, pages uint64, attrs Attrs) (created Segment, err error) {
	if attrs, err = c.View().checkSegment(name, pages, attrs); err != nil {
		return Segment{}, err
	}
	err = c.update(ctx, "create segment "+name, func(v *View, h *head) (ops []Op, err error) {
		created, ops, err = v.create(h, name, pages, attrs)
		return ops, err
	})
	if err != nil {
		return Segment{}, err
	}
	return created, nil
}

// checkSegment says what is wrong with a segment that is to be created, and fills
// in the defaults of its attributes.
func (v *View) checkSegment(name string, pages uint64, attrs Attrs) (Attrs, error) {
	if !segmentName.MatchString(name) {
		return attrs, fmt.Errorf("%w: a segment's name is not %s: give up to 128 letters, digits and . _ @ -, beginning with a letter, a digit or _",
			ErrBadName, quote(name))
	}
	base := v.Cluster.Base
	space := uint64(base.Pages())
	if pages == 0 || pages > space {
		return attrs, fmt.Errorf("%w: segment %s of %d pages: give 1 to %d, which the space from %v on has",
			ErrBadSize, name, pages, space, base)
	}
	attrs, err := attrs.normal()
	if err != nil {
		return attrs, fmt.Errorf("segment %s: %w", name, err)
	}
	return attrs, nil
}

// create plans the transaction that creates a segment, and changes the head.
func (v *View) create(h *head, name string, pages uint64, attrs Attrs) (Segment, []Op, error) {
	if s, ok := v.Segment(name); ok {
		return Segment{}, nil, fmt.Errorf("%w: %v: remove it or take another name", ErrExists, s)
	}
	first, ok := v.room(pages)
	if !ok {
		return Segment{}, nil, fmt.Errorf("%w: segment %s of %d pages: no free range of the global space is that long; remove segments",
			ErrNoSpace, name, pages)
	}
	if h.Generation == math.MaxUint32 {
		return Segment{}, nil, fmt.Errorf("%w: segment %s: all %d generation numbers are used up; found a new cluster",
			ErrNoSpace, name, h.Generation)
	}
	h.Generation++
	s := Segment{Name: name, First: first, Pages: pages, Generation: h.Generation, Attrs: attrs}
	return s, []Op{Put(prefixSegments+name, encode(s))}, nil
}

// Remove takes a segment out of the configuration; its pages may be allotted
// again at once, with another generation. Without the segment: ErrNotFound.
func (c *Config) Remove(ctx context.Context, name string) error {
	return c.RemoveGeneration(ctx, name, 0)
}

// RemoveGeneration is Remove, and ErrNotFound where the name has another generation
// than this one (zero: whichever).
func (c *Config) RemoveGeneration(ctx context.Context, name string, generation uint64) error {
	return c.update(ctx, "remove segment "+name, func(v *View, _ *head) ([]Op, error) {
		return v.remove(name, generation)
	})
}

// remove plans the transaction that removes a segment.
func (v *View) remove(name string, generation uint64) ([]Op, error) {
	if s, ok := v.Segment(name); !ok || generation != 0 && s.Generation != generation {
		return nil, fmt.Errorf("%w: segment %q: list the segments for their names", ErrNotFound, name)
	}
	return []Op{Delete(prefixSegments + name)}, nil
}

// Disown removes the segment of that name if it is the owner's. None of the owner's
// is committed under the name afterwards: a Create whose outcome is not known either
// took place before or never will.
func (c *Config) Disown(ctx context.Context, name, owner string) error {
	return c.update(ctx, "remove temporary segment "+name, func(v *View, _ *head) ([]Op, error) {
		if s, ok := v.Segment(name); ok && s.Owner == owner {
			return []Op{Delete(prefixSegments + name)}, nil
		}
		return []Op{}, nil // another head, which no older transaction agrees with
	})
}
