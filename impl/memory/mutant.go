//go:build linux

package memory

import "fmt"

// Bug is a mistake that Broken can put into this package, or into the order in
// which impl/node uses it. Without the build tag mutants no bug can be switched
// on and the questions cost nothing.
type Bug uint8

const (
	BugNone Bug = iota
	// BugForgetMapping: of several mappings one is not protected.
	BugForgetMapping
	// BugSkipProtect: no mapping is.
	BugSkipProtect
	// BugLetStoresThrough: a page to read is mapped without protection.
	BugLetStoresThrough
	// BugSkipWake: who waits for a page that is mapped already is not woken.
	BugSkipWake
	// BugSkipPunch: pages stay, in every mapping.
	BugSkipPunch
	// BugSendBeforeProtect: the content is read while stores go on.
	BugSendBeforeProtect
	// BugPunchBeforeSend: the content is read when it is gone.
	BugPunchBeforeSend
	// BugAckBeforePunch: a page is given up that can still be read.
	BugAckBeforePunch
	// BugGrantBeforeFill: a page is mapped before its content is in it.
	BugGrantBeforeFill
	numBugs
)

var bugNames = [...]string{"none", "ForgetMapping", "SkipProtect", "LetStoresThrough", "SkipWake", "SkipPunch",
	"SendBeforeProtect", "PunchBeforeSend", "AckBeforePunch", "GrantBeforeFill"}

func (b Bug) String() string {
	if b < numBugs {
		return bugNames[b]
	}
	return fmt.Sprintf("Bug(%d)", uint8(b))
}
