package facts

// Ways are what a machine has of ways to the API: for itself, or for others that are led to it until they are led elsewhere.
type Ways struct {
	// Balancer says that it has a balancer of Kubewright's (BalancerUnit), whether that runs or not.
	Balancer bool `json:"balancer,omitempty"`
	// Ports of TCP that the balancer has for others, as its configuration says, in order.
	Ports []int `json:"ports,omitempty"`
	// Address says that it may hold the address that wanders (AddressUnit).
	Address bool `json:"address,omitempty"`
}

// Units of ways to the API, in UnitDir, and the configuration of the balancer.
const (
	UnitDir        = "/etc/systemd/system"
	BalancerUnit   = "kubewright-endpoint.service"
	AddressUnit    = "kubewright-endpoint-address.service"
	BalancerConfig = "/etc/kubewright/endpoint.cfg"
)
