package controlplane

import (
	"cmp"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

const authenticationFile = kubernetesDir + "/authentication.yaml"

// authenticationConfig lets those who say nobody's name ask whether a server is well, as probes and balancers do, and read what "kubeadm join" finds a cluster by: the one object that
// kubeadm publishes (cmd/kubeadm/app/discovery/token).
const authenticationConfig = `# Kubewright wrote this, and writes it again when it is changed here: name a file of yours by authentication-config in apiServer.extraArgs.
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
  - path: /api/v1/namespaces/kube-public/configmaps/cluster-info
`

// authenticationPath is that file, or the one that the user names in its place.
func authenticationPath(c *cluster.Cluster) string {
	return cmp.Or(c.Cluster.APIServer.ExtraArgs["authentication-config"], authenticationFile)
}

// authenticationFiles is the file, unless there is one of the user's.
func authenticationFiles(c *cluster.Cluster) []resource.File {
	if authenticationPath(c) != authenticationFile {
		return nil
	}
	return []resource.File{resource.NewFile(authenticationFile, authenticationConfig)}
}
