package resource

// FirewallPorts is what a firewall of the machine lets in.
type FirewallPorts struct {
	Tool string `json:"tool"` // "firewalld" or "ufw"
	// Ports that all may reach: "6443/tcp", "30000-32767/tcp".
	Ports []string `json:"ports,omitempty"`
	// Sources are addresses or ranges (CIDR) that may reach all ports.
	Sources []string `json:"sources,omitempty"`
	unfinished
}

func (f FirewallPorts) ID() ID { return ID{"firewall", f.Tool} }
