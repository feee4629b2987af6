package resource

import "io/fs"

// Directory is a directory that exists.
type Directory struct {
	Path string `json:"path"`
	// Mode is its permissions; 0755 if 0.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Owner and Group by name; root if empty.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
	// Purge says that undoing it takes away all that it holds by then; otherwise it stays unless it is empty.
	Purge bool `json:"purge,omitempty"`
	unfinished
}

func (d Directory) ID() ID { return ID{"directory", d.Path} }
