package resource

// SELinux is the mode that SELinux is in, now and after a boot. A machine without SELinux, or where it is off, is as it shall be.
type SELinux struct {
	Mode string `json:"mode"` // "permissive" or "enforcing"
	unfinished
}

func (SELinux) ID() ID { return ID{"selinux", "mode"} }
