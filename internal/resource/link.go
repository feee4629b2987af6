package resource

// Link is a symbolic link.
type Link struct {
	Path string `json:"path"`
	// Target is where it points; relative ones start at the directory of Path.
	Target string `json:"target"`
	// MustExist says that the machine has to have the target already: a time zone.
	MustExist bool `json:"mustExist,omitempty"`
	unfinished
}

func (l Link) ID() ID { return ID{"link", l.Path} }
