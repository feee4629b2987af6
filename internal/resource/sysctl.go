package resource

// Sysctl is the value of a kernel parameter now. That it is there after a boot, too, is a File of /etc/sysctl.d.
type Sysctl struct {
	Name  string `json:"name"` // with dots: "net.ipv4.ip_forward"
	Value string `json:"value"`
	// Optional is why it is harmless not to have it. Where the machine has not got it or may not set it, people are told so, and that is all.
	Optional string `json:"optional,omitempty"`
	// Module is the kernel module that brings it; loading it may be planned.
	Module string `json:"module,omitempty"`
	unfinished
}

func (s Sysctl) ID() ID { return ID{"sysctl", s.Name} }
