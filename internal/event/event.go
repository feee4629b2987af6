// Package event says what happens in a run, in one stream that the terminal, JSON lines and the journal all show. It knows nothing of who makes
// events or who shows them.
package event

import "time"

// Kind of an event.
type Kind string

// The kinds of events.
const (
	RunStarted       Kind = "run-started"
	RoundStarted     Kind = "round-started"     // a plan was made and its steps begin; Total is how many
	HostConnecting   Kind = "host-connecting"   // Message says what is being done
	HostConnected    Kind = "host-connected"    //
	HostFailed       Kind = "host-failed"       // it cannot be worked with; the others go on
	HostLost         Kind = "host-lost"         // its connection ended, and it is being tried again
	LockWaiting      Kind = "lock-waiting"      // Message says who holds the lock
	LockTaken        Kind = "lock-taken"        //
	StepWaiting      Kind = "step-waiting"      // Message says for what and why it does not hold yet
	StepStarted      Kind = "step-started"      // After is the step that it waited for last
	ResourceStarted  Kind = "resource-started"  //
	ResourceProgress Kind = "resource-progress" // Message says how far it is
	ResourceDone     Kind = "resource-done"     //
	StepDone         Kind = "step-done"         //
	StepFailed       Kind = "step-failed"       //
	StepRetried      Kind = "step-retried"      // it failed in a way that may pass; Message says why
	StepSkipped      Kind = "step-skipped"      // what it needs has failed; Message says what
	Note             Kind = "note"              // what a user should know
	RunInterrupted   Kind = "run-interrupted"   // what is in hand is finished, nothing else begins
	RunDeclined      Kind = "run-declined"      // the person who was asked did not want it; nothing was changed
	RunDone          Kind = "run-done"          // Error is empty if all is as it should be
)

// Event is something that happened.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	Host string    `json:"host,omitempty"`
	Step string    `json:"step,omitempty"`
	// Resource is what a step makes true: "file /etc/hosts".
	Resource string `json:"resource,omitempty"`
	// After is the step ("host step") that had to be done before this one, and was so last.
	After   string `json:"after,omitempty"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
	// Elapsed is how long what is done took.
	Elapsed time.Duration `json:"elapsed,omitempty"`
	// Total is how many steps a round has.
	Total int `json:"total,omitempty"`
}

// Sink takes events. It may be called from several goroutines at once and must not block for long.
type Sink func(Event)
