// Package resource is what can be true of a machine, one file a kind: a file, a unit, a sysctl. A resource says what shall be, looks at what is, names
// the difference in words that people understand, and makes it so; what it made can be undone. Resources act through an Env and know nothing of
// clusters, hosts' names, order or connections: they run on the machine, in the agent.
package resource

import (
	"context"
	"fmt"
	"strings"
)

// ID names a resource; it is unique on a machine.
type ID struct {
	Kind string `json:"kind"` // "file"
	Name string `json:"name"` // "/etc/hosts"
}

func (id ID) String() string { return id.Kind + " " + id.Name }

// Resource is one thing about a machine. Its exported fields are what shall be true; as JSON they travel to the agent, but for content, which goes by digest.
type Resource interface {
	ID() ID
	// Observe looks and never writes. An error means that it could not be found out, which is not the same as absence.
	Observe(ctx context.Context, env *Env) (Observed, error)
	// Diff says what Apply would change: nothing, if what was observed is as it shall be. It is pure. Secrets do not appear in it.
	Diff(o Observed) []Change
	// Apply makes it so. It may have been begun before, and is safe to be cut off anywhere.
	Apply(ctx context.Context, env *Env) error
	// Undo makes it as it was when it was observed before the first Apply. It is a no-op where that holds already.
	Undo(ctx context.Context, env *Env, previous Observed) error
}

// Keeper is a resource that replaces files whose content must be kept for Undo, which finds it with Env.Kept.
type Keeper interface {
	// Keeps are the paths of files.
	Keeps() []string
}

// Filler is a resource that what runs fills: a directory. It may have been found as it shall be, and still has to be emptied.
type Filler interface {
	// Empty takes away what it was filled with since it was observed before the first Apply.
	Empty(ctx context.Context, env *Env, previous Observed) error
}

// Runs is a resource that is what runs by means of others: Pods. What other resources put there must not be taken from under it, so it is undone before all of them,
// whenever it came.
type Runs interface {
	// Runs says so.
	Runs()
}

// OfCluster is a resource that is not the machine's but the cluster's, whichever machine applies it: an object of the API. The machine does not remember it, and
// keeps it when it leaves.
type OfCluster interface {
	// OfCluster says so.
	OfCluster()
}

// Passing is a resource that is the machine's, and leaves nothing to put back: that something ended, or was started.
type Passing interface {
	// Passing says so.
	Passing()
}

// Remembered says whether a machine remembers a resource, so as to undo it.
func Remembered(r Resource) bool {
	_, cluster := r.(OfCluster)
	_, passing := r.(Passing)
	return !cluster && !passing
}

// Triggered is a resource that takes effect of others only when it is applied after them: a unit that reads a file when it starts.
type Triggered interface {
	// TriggeredBy are resources of the same step. When one of them changes, this one has to be applied.
	TriggeredBy() []ID
	// Trigger is the change that this means, such as a restart. It is pure.
	Trigger(o Observed, by []ID) Change
	// Fire is Apply such that what changed, some of these resources, takes effect.
	Fire(ctx context.Context, env *Env, by []ID) error
	// Ran says whether it ran when it was observed before the first Apply; the zero Observed is that it was as it shall be.
	Ran(previous Observed) bool
	// Refire has what is there take effect, if it runs: what it reads was undone after it.
	Refire(ctx context.Context, env *Env) error
}

// State of what was observed.
type State string

// What can be observed.
const (
	Present State = "present"
	Absent  State = "absent"
	Unknown State = "unknown" // it could not be found out: Reason says why
)

// Observed is what a resource found.
type Observed struct {
	State State `json:"state"`
	// Reason of Unknown.
	Reason string `json:"reason,omitempty"`
	// Values are what it is like, by names that the kind of resource gives them. They hold no secrets.
	Values map[string]string `json:"values,omitempty"`
	// Text is the content, where people may see it and it is text of at most MaxText bytes.
	Text string `json:"text,omitempty"`
	// Note is what people should know although nothing can be done about it: what this kernel cannot set, and why that is harmless.
	Note string `json:"note,omitempty"`
	// Blocked says why it cannot be made so on this machine, and what to do; Apply is not tried.
	Blocked string `json:"blocked,omitempty"`
	// Pending are resources that changed without this one having been applied after them.
	Pending []ID `json:"pending,omitempty"`
}

// MaxText is how many bytes of a text are shown to people.
const MaxText = 64 << 10

// Value of a name; empty if it was not observed.
func (o Observed) Value(name string) string { return o.Values[name] }

// Change is a difference in words.
type Change struct {
	// What changes: "content", "mode", "state". A whole thing that comes or goes is "present".
	What string `json:"what"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	// Lines are changed lines of a text in unified form: " same", "-old", "+new", "@@ … @@".
	Lines []string `json:"lines,omitempty"`
	// Why it has to be, where that is not plain: "because /etc/containerd/config.toml changes".
	Why string `json:"why,omitempty"`
	// Disturbs says that something that runs will not for a moment.
	Disturbs bool `json:"disturbs,omitempty"`
}

func (c Change) String() string {
	var s strings.Builder
	s.WriteString(c.What)
	if c.Old != "" || c.New != "" {
		fmt.Fprintf(&s, ": %s → %s", orNone(c.Old), orNone(c.New))
	}
	if c.Why != "" {
		fmt.Fprintf(&s, " (%s)", c.Why)
	}
	return s.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// BlockedError is why a resource cannot be made true on this machine at all; trying again does not help.
type BlockedError struct{ Reason string }

func (e BlockedError) Error() string { return e.Reason }

// TransientError is a failure that may pass by itself: another program holds a lock.
type TransientError struct{ Err error }

func (e TransientError) Error() string { return e.Err.Error() }

func (e TransientError) Unwrap() error { return e.Err }

// Probe asks whether something that runs is well. Like a resource it travels to the agent as JSON.
type Probe interface {
	// ID names what is asked: {"answers", "containerd"}.
	ID() ID
	// Check returns why it is not well yet, or nothing. An error means that it never will be by waiting.
	Check(ctx context.Context, env *Env) (why string, err error)
}

// Follower is a probe that cannot hold before a resource is as it shall be. While that is still to be changed, it says nothing of whether what runs until then is well.
type Follower interface {
	// Follows names the resource.
	Follows() ID
}

// Curable is a probe that knows what helps if waiting does not.
type Curable interface {
	// Cure is applied once when it has not come true for a while.
	Cure() Resource
}
