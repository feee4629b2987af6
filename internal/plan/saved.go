package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// savedKind tells a saved plan from a cluster file.
const savedKind = "SavedPlan"

// Saved is a plan to be executed later, if the world is still as it was. It holds what the plan was made of and what it comes to, not the
// steps: those may hold secrets.
type Saved struct {
	Kind    string    `json:"kind"`
	Version int       `json:"version"`
	Made    time.Time `json:"made"`
	// File is the cluster file's absolute path; Content what was in it.
	File    string `json:"file"`
	Content []byte `json:"content"`
	// Kubernetes names the bundle.
	Kubernetes string `json:"kubernetes"`
	Bundle     string `json:"bundle"`
	// Digest of the plan.
	Digest string `json:"digest"`
	Counts Counts `json:"counts"`
}

// Save makes a plan ready to be kept. One that is not certain cannot be.
func (p *Plan) Save(s Saved) (Saved, error) {
	n := p.Counts()
	switch {
	case len(p.Missing) > 0 || n.Unknown > 0:
		return s, errors.New("a plan in which something is unknown cannot be saved: it would be executed without anybody having seen it all")
	case p.Blocked() || n.Blocked > 0:
		return s, errors.New("a plan that cannot be executed cannot be saved")
	}
	s.Kind, s.Version, s.Digest, s.Counts = savedKind, 1, p.Digest(), n
	return s, nil
}

// ParseSaved reads a saved plan; ok is false if it is something else.
func ParseSaved(content []byte) (s Saved, ok bool, err error) {
	if json.Unmarshal(content, &s) != nil || s.Kind != savedKind {
		return Saved{}, false, nil
	}
	if s.Version != 1 {
		return s, true, fmt.Errorf("the plan is of version %d, which this version of kubewright does not know", s.Version)
	}
	return s, true, nil
}
