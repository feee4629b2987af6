package ssh

import (
	"fmt"
	"strings"
)

// Reason is why a host cannot be connected to.
type Reason string

// The reasons.
const (
	Unreachable    Reason = "unreachable"      // no answer, or not from sshd
	HostKeyUnknown Reason = "host key unknown" // it answers for the first time, and nobody said that it is the right one
	HostKeyChanged Reason = "host key changed" // it is not who answered before
	LoginRefused   Reason = "login refused"
	Misconfigured  Reason = "misconfigured" // on this side
)

// Error is why a host cannot be connected to, and what to do.
type Error struct {
	Host, Address string
	Reason        Reason
	Err           error
	Remedy        string
}

func (e *Error) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s", e.Host)
	if e.Address != "" && !strings.HasPrefix(e.Host, e.Address) {
		fmt.Fprintf(&s, " (%s)", e.Address)
	}
	fmt.Fprintf(&s, ": %s: %v", e.Reason, e.Err)
	if e.Remedy != "" {
		fmt.Fprintf(&s, ". %s", e.Remedy)
	}
	return s.String()
}

func (e *Error) Unwrap() error { return e.Err }
