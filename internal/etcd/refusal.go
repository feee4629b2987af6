package etcd

import (
	"errors"
	"fmt"
	"strings"
)

// What etcd refuses, as far as it matters why.
var (
	// ErrNotInSync is that a learner lacks too much of what the leader has; it may not have been started yet.
	ErrNotInSync = errors.New("the learner is not in sync with the leader")
	// ErrNotLearner is that what shall vote does.
	ErrNotLearner = errors.New("the member is no learner")
	// ErrNotFound is that there is no member of that ID, or no longer.
	ErrNotFound = errors.New("there is no such member")
	// ErrTooManyLearners is that there are as many learners as may be: one (--max-learners).
	ErrTooManyLearners = errors.New("there are as many learners as may be")
	// ErrExists is that there is a member with that peer URL.
	ErrExists = errors.New("there is a member with that peer URL")
	// ErrUnhealthy is that too few members were started, or were connected with the one that was asked for the last 5 seconds (HealthInterval), for a change of which there are.
	ErrUnhealthy = errors.New("too few members are well")
	// ErrNotLeader is that another member leads.
	ErrNotLeader = errors.New("the member does not lead")
)

// refusal is the error that a message of etcd's stands for (api/v3rpc/rpctypes/error.go of etcd v3.7). Codes do not tell them apart.
func refusal(message string) error {
	said := strings.TrimPrefix(message, "etcdserver: ")
	switch said {
	case "can only promote a learner member which is in sync with leader":
		return ErrNotInSync
	case "can only promote a learner member":
		return ErrNotLearner
	case "member not found":
		return ErrNotFound
	case "too many learner members in cluster":
		return ErrTooManyLearners
	case "Peer URLs already exists", "member ID already exist": // the ID is made of peer URLs and the second
		return ErrExists
	case "re-configuration failed due to not enough started members", "unhealthy cluster":
		return fmt.Errorf("%w: %s", ErrUnhealthy, said)
	case "not leader":
		return ErrNotLeader
	}
	return errors.New(message)
}
