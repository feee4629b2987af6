package resource

// Hostname is the name of the machine: the kernel's, and the one in /etc/hostname.
type Hostname struct {
	Name string `json:"name"`
	unfinished
}

func (Hostname) ID() ID { return ID{"hostname", "static"} }
