package resource

import (
	"bytes"
	"cmp"
	"context"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/internal/pki"
)

// Kubeconfig is a file by which a program or a person reaches the API, with a certificate of its own in it, 0600 root:root. The key is made on the machine. It is
// renewed as a Certificate is.
type Kubeconfig struct {
	// Path of the file: "/etc/kubernetes/admin.conf".
	Path string `json:"path"`
	// Cluster is the cluster's name in it.
	Cluster string `json:"cluster"`
	// Server is its address: "https://api.prod.internal:6443".
	Server string `json:"server"`
	// Request is what its certificate says. The common name is the user's name in it.
	Request pki.Request `json:"request"`
}

// ID is the path.
func (k Kubeconfig) ID() ID { return ID{"kubeconfig", k.Path} }

// Requested is what its certificate says.
func (k Kubeconfig) Requested() pki.Request { return k.Request }

func (k Kubeconfig) file() part { return part{"file", k.Path, 0o600} }

// Keeps is what the file held before.
func (k Kubeconfig) Keeps() []string { return []string{k.Path} }

// text is the file with a certificate and its key.
func (k Kubeconfig) text(env *Env, certificate, key []byte) ([]byte, error) {
	authority, err := needAuthority(env, k.Request.Authority)
	if err != nil {
		return nil, err
	}
	return writeKubeconfig(k.Cluster, k.Server, k.Request.CommonName, authority, api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
}

// Observe reads it. A file is as it shall be if it is what would be written with the certificate and the key that are in it.
func (k Kubeconfig) Observe(ctx context.Context, env *Env) (Observed, error) {
	o, _, err := k.look(ctx, env)
	return o, err
}

// look also gives what would be written with the certificate and key that are there, if they can stay.
func (k Kubeconfig) look(ctx context.Context, env *Env) (Observed, []byte, error) {
	o := Observed{State: Absent}
	text, err := k.file().observe(ctx, env, &o)
	if err != nil || o.State == Absent || o.Blocked != "" {
		return o, nil, err
	}
	found, err := readKubeconfig(text)
	if err != nil {
		o.Values["problem"] = err.Error()
		return o, nil, nil
	}
	certificate, key := found.user.ClientCertificateData, found.user.ClientKeyData
	if o.Values["problem"], err = certificateProblem(env, certificate, key, k.Request); err != nil || o.Values["problem"] != "" {
		return o, nil, err
	}
	wanted, err := k.text(env, certificate, key)
	if err != nil || bytes.Equal(text, wanted) {
		return o, wanted, err
	}
	authority, err := needAuthority(env, k.Request.Authority)
	o.Values["content"] = cmp.Or(found.leads(k.Server, authority), "it was edited")
	return o, wanted, err
}

// Diff says why it is made anew, or written again.
func (k Kubeconfig) Diff(o Observed) []Change {
	switch {
	case o.State == Absent:
		return []Change{{What: "present", Old: "absent", New: "present"}}
	case o.Value("problem") != "":
		return []Change{{What: "renewed", Why: o.Value("problem")}}
	case o.Value("content") != "":
		return append([]Change{{What: "content", Why: o.Value("content")}}, k.file().changes(o)...)
	}
	return k.file().changes(o)
}

// Apply writes it, with the certificate that is in it if that can stay.
func (k Kubeconfig) Apply(ctx context.Context, env *Env) error {
	o, text, err := k.look(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(k.Diff(o)) == 0:
		return nil
	}
	if text == nil {
		certificate, key, err := certify(ctx, env, k.ID(), k.Request)
		if err != nil {
			return err
		}
		if text, err = k.text(env, certificate, key); err != nil {
			return err
		}
	}
	return k.file().write(env, o, text)
}

// Undo puts back what was there.
func (k Kubeconfig) Undo(_ context.Context, env *Env, previous Observed) error {
	return k.file().undo(env, previous)
}
