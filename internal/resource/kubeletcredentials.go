package resource

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/internal/pki"
)

// Where a kubelet has its credentials, as kubeadm tells it (cmd/kubeadm/app/constants of v1.37.1) and as the kubelet keeps them (client-go/util/certificate).
const (
	kubeletConf          = "/etc/kubernetes/kubelet.conf"
	bootstrapKubeletConf = "/etc/kubernetes/bootstrap-kubelet.conf"
	kubeletPKIDir        = "/var/lib/kubelet/pki"
	// currentPair is a link to the file with the certificate and the key in use.
	currentPair = kubeletPKIDir + "/kubelet-client-current.pem"
	// pairPrefix and pairTime name those files; the time is the machine's own.
	pairPrefix = "kubelet-client-"
	pairTime   = "2006-01-02-15-04-05"
)

// noneThere is a problem that something is missing; others say what is wrong with it.
const noneThere = "absent"

// kubeletConfPart is the kubeconfig of the kubelet. It holds no key: it leads to the pair.
func kubeletConfPart() part { return part{"kubelet.conf", kubeletConf, 0o600} }

// currentPairPart is the link.
func currentPairPart() part { return part{"pair", currentPair, 0o600} }

// kubeletCertificate says why the kubelet of a machine has no certificate of its own that it can work with; nothing if it has. It has to be the node's, of the authority that
// lies on the machine, and not run out: the kubelet renews it in time.
func kubeletCertificate(env *Env, node string) (why string, err error) {
	i, err := env.Files.Stat(currentPair)
	if errors.Is(err, fs.ErrNotExist) {
		return noneThere, nil
	}
	if err != nil {
		return "", err
	}
	if i.Type&fs.ModeSymlink == 0 {
		return "it is no link, so that the kubelet could not renew it", nil
	}
	pair, err := readIfThere(env, currentPair)
	if err != nil {
		return "", err
	}
	if pair == nil {
		return noneThere, nil
	}
	authority, err := readIfThere(env, authorityPath(pki.Kubernetes))
	switch {
	case err != nil:
		return "", err
	case authority == nil:
		return "there is no " + authorityPath(pki.Kubernetes) + " to check it with", nil
	}
	return pki.Invalid(pair, pair, authority, nodeUser(node), env.Kernel.Now()), nil
}

// nodeUser is the user that a node is for Kubernetes, by which the node authorizer knows it.
func nodeUser(node string) string { return "system:node:" + node }

// observeKubelet looks at the credentials of a kubelet: "certificate" and "conf" are what is wrong with them, or empty, "pairs" the files that there are. Where it leads counts
// only if a server is given.
func observeKubelet(ctx context.Context, env *Env, node, server string) (Observed, error) {
	o := Observed{State: Absent, Values: map[string]string{}}
	if _, err := currentPairPart().observe(ctx, env, &o); err != nil {
		return Observed{}, err
	}
	conf, err := kubeletConfPart().observe(ctx, env, &o)
	if err != nil {
		return Observed{}, err
	}
	if o.Values["certificate"], err = kubeletCertificate(env, node); err != nil {
		return Observed{}, err
	}
	if o.Values["conf"], err = kubeletConfProblem(env, conf, server); err != nil {
		return Observed{}, err
	}
	pairs, err := kubeletPairs(env)
	o.Values["pairs"] = strings.Join(pairs, " ")
	return o, err
}

// noPair is a problem of a kubelet.conf by which the kubelet would neither use the pair nor renew it.
const noPair = "it does not lead to the certificate that the kubelet renews"

func kubeletConfProblem(env *Env, text []byte, server string) (string, error) {
	if text == nil {
		return noneThere, nil
	}
	conf, err := readKubeconfig(text)
	if err != nil {
		return err.Error(), nil
	}
	if conf.user.ClientCertificate != currentPair || conf.user.ClientKey != currentPair {
		return noPair, nil
	}
	if server == "" {
		return "", nil
	}
	authority, err := readIfThere(env, authorityPath(pki.Kubernetes))
	return conf.leads(server, authority), err
}

// kubeletPairs are the names of files with certificates and keys of the kubelet, and with a key on its way to one.
func kubeletPairs(env *Env) ([]string, error) {
	names, err := env.Files.List(kubeletPKIDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, pairPrefix) && name != "kubelet-client.key.tmp" || name == path.Base(currentPair)
	}), nil
}

// kubeletConfChanges are what is wrong with kubelet.conf.
func kubeletConfChanges(o Observed) []Change {
	switch why := o.Value("conf"); why {
	case "":
		return kubeletConfPart().changes(o)
	case noneThere:
		return []Change{{What: "kubelet.conf", Old: "absent", New: "present"}}
	default:
		return []Change{{What: "kubelet.conf", Why: why}}
	}
}

// writeKubeletConf has the kubelet use the pair, as kubeadm leaves it (kubelet-finalize of kubeadm v1.37.1).
func writeKubeletConf(env *Env, o Observed, cluster, server, user string) error {
	if len(kubeletConfChanges(o)) == 0 {
		return nil
	}
	authority, err := needAuthority(env, pki.Kubernetes)
	if err != nil {
		return err
	}
	text, err := writeKubeconfig(cluster, server, user, authority, api.AuthInfo{ClientCertificate: currentPair, ClientKey: currentPair})
	if err != nil {
		return err
	}
	if o.Value("conf") == "" { // only its permissions
		if text, err = readIfThere(env, kubeletConf); err != nil {
			return err
		}
	}
	return kubeletConfPart().write(env, o, text)
}

// undoKubelet takes away what the kubelet and others put there, and puts back what was.
func undoKubelet(env *Env, previous Observed) error {
	if err := kubeletConfPart().undo(env, previous); err != nil {
		return err
	}
	if err := currentPairPart().undo(env, previous); err != nil {
		return err
	}
	were := strings.Fields(previous.Value("pairs"))
	pairs, err := kubeletPairs(env)
	if err != nil {
		return err
	}
	for _, name := range pairs {
		if slices.Contains(were, name) {
			continue
		}
		if err := env.Files.Remove(path.Join(kubeletPKIDir, name)); err != nil {
			return err
		}
	}
	return nil
}
