package resource

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/pki"
)

// KubeletIdentity is the first certificate of the kubelet of a machine that cannot ask an API server for one, since it is to run it: a control plane. The kubelet renews it
// by itself (/var/lib/kubelet/pki/kubelet-client-current.pem); it is made again when it has run out or is of another authority or node. /etc/kubernetes/kubelet.conf goes with it.
type KubeletIdentity struct {
	// Cluster and Server are those of a Kubeconfig.
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
	// Request is what the certificate says: system:node:NAME.
	Request pki.Request `json:"request"`
}

// ID is the same everywhere.
func (k KubeletIdentity) ID() ID { return ID{"kubelet-identity", "kubelet"} }

// Requested is what it says.
func (k KubeletIdentity) Requested() pki.Request { return k.Request }

// Keeps are the files that it may replace.
func (k KubeletIdentity) Keeps() []string { return []string{kubeletConf, currentPair} }

func (k KubeletIdentity) node() string { return strings.TrimPrefix(k.Request.CommonName, nodeUser("")) }

// Observe looks at the certificate in use, whoever made it, and at what leads the kubelet to it.
func (k KubeletIdentity) Observe(ctx context.Context, env *Env) (Observed, error) {
	return observeKubelet(ctx, env, k.node(), k.Server)
}

// Diff says why it is made anew.
func (k KubeletIdentity) Diff(o Observed) []Change {
	why := o.Value("certificate")
	switch {
	case why == "":
		return kubeletConfChanges(o)
	case why == noneThere && o.Value("conf") == noneThere:
		return []Change{{What: "present", Old: "absent", New: "present"}}
	case why == noneThere:
		return append([]Change{{What: "certificate", Old: "absent", New: "present"}}, kubeletConfChanges(o)...)
	}
	return append([]Change{{What: "renewed", Why: why}}, kubeletConfChanges(o)...)
}

// Apply makes it as the kubelet's own store does (Update of client-go/util/certificate of v0.37.1): certificate and key in one file that is named after the time, and a
// link to it.
func (k KubeletIdentity) Apply(ctx context.Context, env *Env) error {
	o, err := k.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	}
	if o.Value("certificate") != "" {
		certificate, key, err := certify(ctx, env, k.ID(), k.Request)
		if err != nil {
			return err
		}
		pair := kubeletPKIDir + "/" + pairPrefix + env.Kernel.Now().Format(pairTime) + ".pem"
		if err := env.Files.Write(pair, Attributes{Mode: 0o600}, bytes.NewReader(slices.Concat(certificate, key))); err != nil {
			return err
		}
		if err := env.Files.Link(pair, currentPair); err != nil {
			return err
		}
	}
	return writeKubeletConf(env, o, k.Cluster, k.Server, k.Request.CommonName)
}

// Undo takes it away, and what the kubelet renewed it by.
func (k KubeletIdentity) Undo(_ context.Context, env *Env, previous Observed) error {
	return undoKubelet(env, previous)
}
