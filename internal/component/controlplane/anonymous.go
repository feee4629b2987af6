package controlplane

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
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

// authenticationFiles is the file, unless flags of the user's say who may ask, with which it does not go.
func authenticationFiles(c *cluster.Cluster) []resource.File {
	if len(ownAuthentication(c)) > 0 {
		return nil
	}
	return []resource.File{resource.NewFile(authenticationFile, authenticationConfig)}
}

// ownAuthentication are flags of the user's that an API server does not take together with a file that says who anonymous requests are (BuiltInAuthenticationOptions.Validate).
func ownAuthentication(c *cluster.Cluster) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(c.Cluster.APIServer.ExtraArgs) {
			if (name == "authentication-config" || name == "anonymous-auth" || strings.HasPrefix(name, "oidc-")) && !yield(name) {
				return
			}
		}
	})
}

// anonymousProblems says what comes of flags that were not meant to open anything.
func anonymousProblems(c *cluster.Cluster) []plan.Problem {
	own := ownAuthentication(c)
	if !slices.ContainsFunc(own, func(name string) bool { return strings.HasPrefix(name, "oidc-") }) || slices.Contains(own, "anonymous-auth") {
		return nil
	}
	return []plan.Problem{{
		Message: "with " + strings.Join(own, ", ") + ", API servers take requests of nobody for all paths, and not only for those of probes and kubeadm join",
		Remedy:  "Say it in a file instead, by authentication-config in apiServer.extraArgs, or set anonymous-auth there",
	}}
}
