package resource

import (
	"errors"
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/internal/pki"
)

// kubeconfigFile is what a kubeconfig says to who uses it: the context that is chosen.
type kubeconfigFile struct {
	server string
	// authority in PEM form, or the path of a file that has it.
	authority     []byte
	authorityFile string
	user          api.AuthInfo
}

// writeKubeconfig is a kubeconfig byte by byte as kubeadm writes it (cmd/kubeadm/app/util/kubeconfig of v1.37.1).
func writeKubeconfig(cluster, server, user string, authority []byte, credentials api.AuthInfo) ([]byte, error) {
	name := user + "@" + cluster
	text, err := clientcmd.Write(api.Config{
		Clusters:       map[string]*api.Cluster{cluster: {Server: server, CertificateAuthorityData: authority}},
		Contexts:       map[string]*api.Context{name: {Cluster: cluster, AuthInfo: user}},
		AuthInfos:      map[string]*api.AuthInfo{user: &credentials},
		CurrentContext: name,
	})
	if err != nil {
		return nil, errors.New("encoding a kubeconfig failed") // why might show what is in it
	}
	return text, nil
}

// readKubeconfig reads one. Its errors say nothing of what is in it.
func readKubeconfig(text []byte) (kubeconfigFile, error) {
	unreadable := errors.New("it cannot be read as a kubeconfig")
	c, err := clientcmd.Load(text)
	if err != nil {
		return kubeconfigFile{}, unreadable
	}
	chosen := c.Contexts[c.CurrentContext]
	if chosen == nil || c.Clusters[chosen.Cluster] == nil || c.AuthInfos[chosen.AuthInfo] == nil {
		return kubeconfigFile{}, unreadable
	}
	k := c.Clusters[chosen.Cluster]
	return kubeconfigFile{k.Server, k.CertificateAuthorityData, k.CertificateAuthority, *c.AuthInfos[chosen.AuthInfo]}, nil
}

// leads says why it does not lead to a server that is of an authority; nothing if it does.
func (k kubeconfigFile) leads(server string, authority []byte) string {
	switch {
	case k.server != server:
		return fmt.Sprintf("it leads to %s, not to %s", k.server, server)
	case k.authorityFile != "" && k.authorityFile == authorityPath(pki.Kubernetes):
		return ""
	case !pki.Same(k.authority, authority):
		return "it trusts another authority"
	}
	return ""
}
