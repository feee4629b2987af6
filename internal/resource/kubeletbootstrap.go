package resource

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/internal/pki"
)

// BootstrapTokenSecret is the name of the secret that kubelets join with: "abcdef.0123456789abcdef".
const BootstrapTokenSecret = "bootstrap-token"

// KubeletBootstrap is what a kubelet asks for its first certificate with: /etc/kubernetes/bootstrap-kubelet.conf, with a token in it. It is wanted only while the
// kubelet has no certificate that is valid.
//
// The kubelet falls back to it if kubelet.conf leads to a certificate that has run out, but takes any other for valid, also one of another cluster or node (isClientConfigStillValid
// of pkg/kubelet/certificate/bootstrap of v1.37.1). So what is of no use is taken away here; the files with the keys stay.
type KubeletBootstrap struct {
	// Cluster and Server are those of a Kubeconfig.
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
	// Node is the name that the certificate has to be for.
	Node string `json:"node"`
}

// ID is the same everywhere.
func (k KubeletBootstrap) ID() ID { return ID{"kubelet-bootstrap", "kubelet"} }

// Secrets is the token.
func (k KubeletBootstrap) Secrets() []string { return []string{BootstrapTokenSecret} }

// tokenUser is what kubeadm calls the user of the token in the file (cmd/kubeadm/app/discovery of v1.37.1).
const tokenUser = "tls-bootstrap-token-user"

// tokenAge is how old a file with a token may be while a kubelet waits for its certificate by it. An older one was left by a run that ended before, and its token may be of no use
// any more.
const tokenAge = joinTime

func (k KubeletBootstrap) file() part { return part{"token", bootstrapKubeletConf, 0o600} }

// Keeps are the files that it may replace or take away.
func (k KubeletBootstrap) Keeps() []string {
	return []string{bootstrapKubeletConf, kubeletConf, currentPair}
}

// Observe looks at the credentials of the kubelet, and whether it could get some by what lies there. Which token that is, is not for plans.
func (k KubeletBootstrap) Observe(ctx context.Context, env *Env) (Observed, error) {
	o, err := observeKubelet(ctx, env, k.Node, k.Server)
	if err != nil {
		return Observed{}, err
	}
	text, err := k.file().observe(ctx, env, &o)
	if err != nil {
		return Observed{}, err
	}
	o.Values["token"], err = k.problem(env, text)
	return o, err
}

// problem is why a file with a token is of no use.
func (k KubeletBootstrap) problem(env *Env, text []byte) (string, error) {
	if text == nil {
		return noneThere, nil
	}
	found, err := readKubeconfig(text)
	if err != nil {
		return err.Error(), nil
	}
	if _, _, ok := splitToken(found.user.Token); !ok {
		return "there is no token in it", nil
	}
	authority, err := readIfThere(env, authorityPath(pki.Kubernetes))
	if err != nil {
		return "", err
	}
	if why := found.leads(k.Server, authority); why != "" {
		return why, nil
	}
	i, err := env.Files.Stat(bootstrapKubeletConf)
	if err != nil {
		return "", err
	}
	if env.Kernel.Now().Sub(i.ModTime).Abs() > tokenAge {
		return "it is of an earlier run", nil
	}
	return "", nil
}

// inTheWay says whether the kubelet would take what it has for valid.
func inTheWay(o Observed) bool {
	return o.Value("certificate") != noneThere || o.Value("conf") == noPair
}

// Diff says what the kubelet gets its credentials by, if it has none.
func (k KubeletBootstrap) Diff(o Observed) []Change {
	switch {
	case o.Value("certificate") == "":
		return kubeletConfChanges(o)
	case o.Value("token") == "" && !inTheWay(o):
		return k.file().changes(o)
	}
	c := Change{What: "kubelet credentials", New: "by bootstrap token"}
	switch {
	case o.Value("certificate") != noneThere:
		c.Old, c.Why = "of no use", o.Value("certificate")
	case o.Value("conf") == noPair:
		c.Old, c.Why = "of no use", o.Value("conf")
	case o.Value("token") != noneThere:
		c.Old, c.New, c.Why = "by bootstrap token", "by a new bootstrap token", o.Value("token")
	}
	return []Change{c}
}

// Apply writes the token and takes away what the kubelet would use instead. The link goes before what leads to it: alone it would be used.
func (k KubeletBootstrap) Apply(ctx context.Context, env *Env) error {
	o, err := k.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(k.Diff(o)) == 0:
		return nil
	case o.Value("certificate") == "":
		return writeKubeletConf(env, o, k.Cluster, k.Server, nodeUser(k.Node))
	}
	token, err := env.Secret(ctx, k.ID(), BootstrapTokenSecret)
	if err != nil {
		return fmt.Errorf("getting the token to join by: %w", err)
	}
	if _, _, ok := splitToken(string(token)); !ok {
		return errors.New("the token to join by that came is none; its form is abcdef.0123456789abcdef")
	}
	authority, err := needAuthority(env, pki.Kubernetes)
	if err != nil {
		return err
	}
	text, err := writeKubeconfig(k.Cluster, k.Server, tokenUser, authority, api.AuthInfo{Token: string(token)})
	if err != nil {
		return err
	}
	// Also if it is the same: it is of this run now.
	if err := env.Files.Write(bootstrapKubeletConf, Attributes{Mode: 0o600}, bytes.NewReader(text)); err != nil {
		return err
	}
	if !inTheWay(o) {
		return nil
	}
	if err := env.Files.Remove(currentPair); err != nil {
		return err
	}
	return env.Files.Remove(kubeletConf)
}

// Undo takes away what the kubelet got, and puts back what it had.
func (k KubeletBootstrap) Undo(_ context.Context, env *Env, previous Observed) error {
	if err := k.file().undo(env, previous); err != nil {
		return err
	}
	return undoKubelet(env, previous)
}
