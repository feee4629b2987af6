package converge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// Joining is what a machine needs to become a worker by kubeadm.
type Joining struct {
	// Command is a line of a shell. The token in it lets in whoever has it.
	Command string `json:"command"`
	// Hosts is the line that the machine needs in /etc/hosts before: no name server knows the endpoint. Empty if one does.
	Hosts string `json:"hosts"`
	// Until is when the token ends.
	Until time.Time `json:"until"`
}

// Join has the API know a new token, and says how to join by it. It takes no locks.
func (s *Session) Join(ctx context.Context, ttl time.Duration) (Joining, error) {
	var j Joining
	err := s.asking(ctx, func(client *agent.Client, from v1alpha1.Host, api resource.API) error {
		hosts, _ := s.Facts()
		pins, err := pki.Pins(s.authority(from.Name))
		if err != nil {
			return fmt.Errorf("the certificate of the authority: %w", err)
		}
		made, err := client.Join(ctx, resource.JoinToken{API: api, TTL: ttl})
		if err == nil {
			j = joinBy(complete(s.o.Cluster, hosts), from.Name, pins, made)
		}
		return err
	})
	return j, err
}

// joinBy is how to join by a token: as kubeadm says it (token create --print-join-command), with the endpoint's own address for its name if nodes are led to that, and that of a control plane otherwise.
func joinBy(c *cluster.Cluster, from string, pins []string, made resource.MadeToken) Joining {
	command := "kubeadm join " + c.EndpointAddress() + " --token " + made.Token
	for _, pin := range pins {
		command += " --discovery-token-ca-cert-hash " + pin
	}
	j := Joining{Command: command, Until: made.Until}
	as := v1alpha1.Host{Roles: []v1alpha1.Role{v1alpha1.Worker}}
	switch addresses := c.EndpointAddresses(as); {
	case !c.LedToEndpoint(as):
		j.Hosts = strings.TrimSpace(cluster.NodeAddress(*c.Host(from)) + " " + c.Endpoint.Name)
	case len(addresses) > 0:
		j.Hosts = addresses[0] + " " + c.Endpoint.Name
	}
	return j
}
