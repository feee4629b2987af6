package resource

// Unit is a unit of systemd that runs or does not, now and after a boot.
type Unit struct {
	Name string `json:"name"` // in full: "containerd.service"
	// Active says whether it shall run now.
	Active bool `json:"active,omitempty"`
	// Enabled says whether it shall be started at boot.
	Enabled bool `json:"enabled,omitempty"`
	// Masked says that nothing may start it; it goes with neither Active nor Enabled.
	Masked bool `json:"masked,omitempty"`
	// RestartOn are resources of the same step that it reads only when it starts.
	RestartOn []ID `json:"restartOn,omitempty"`
	unfinished
}

func (u Unit) ID() ID { return ID{"unit", u.Name} }
