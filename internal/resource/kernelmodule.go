package resource

// KernelModule is a module that is loaded, or built into the kernel. That it is loaded at boot, too, is a File of /etc/modules-load.d.
type KernelModule struct {
	Name string `json:"name"`
	// Optional is why it is harmless not to have it. Where the machine has none, people are told so, and that is all.
	Optional string `json:"optional,omitempty"`
	unfinished
}

func (m KernelModule) ID() ID { return ID{"module", m.Name} }
