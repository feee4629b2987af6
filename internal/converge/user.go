package converge

import (
	"context"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// Issued is a certificate of a user.
type Issued struct {
	// Certificate, and Authority of the API's own certificates; PEM.
	Certificate, Authority []byte
	// Host is the control plane that had it signed.
	Host v1alpha1.Host
}

// Issue has the API sign a user's certificate: the first control plane asks whose API server is ready; if it dies, the next. It takes no locks.
func (s *Session) Issue(ctx context.Context, request []byte, ttl time.Duration) (Issued, error) {
	var issued Issued
	err := s.asking(ctx, func(client *agent.Client, from v1alpha1.Host, api resource.API) error {
		certificate, err := client.Certify(ctx, resource.UserCertificate{API: api, Request: request, TTL: ttl})
		if err == nil {
			issued = Issued{certificate, s.authority(from.Name), from}
		}
		return err
	})
	return issued, err
}

// authority is the certificate of the authority of the API's own certificates, as a control plane has it.
func (s *Session) authority(host string) []byte {
	hosts, _ := s.Facts()
	return []byte(hosts[host].Kubernetes.Authorities[pki.Kubernetes].Certificate)
}

// answering are the control planes whose API servers are ready.
func answering(c *cluster.Cluster, hosts map[string]facts.Host) []v1alpha1.Host {
	var list []v1alpha1.Host
	for _, h := range c.With(v1alpha1.ControlPlane) {
		if hosts[h.Name].Kubernetes.API {
			list = append(list, h)
		}
	}
	return list
}

// unready is why the API servers of control planes are not, as far as is known.
func unready(c *cluster.Cluster, hosts map[string]facts.Host, missing map[string]string) []string {
	var reasons []string
	for _, h := range c.With(v1alpha1.ControlPlane) {
		why := "its API server does not say that it is ready"
		if _, answered := hosts[h.Name]; !answered {
			why = "the host does not answer: " + strings.TrimPrefix(missing[h.Name], h.Name+": ")
		} else if hosts[h.Name].Kubernetes.Manifests["kube-apiserver.yaml"] == "" {
			why = "it has no API server"
		}
		reasons = append(reasons, h.Name+": "+why)
	}
	return reasons
}
