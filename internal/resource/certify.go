package resource

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/internal/pki"
)

// authorityPath is where the certificate of an authority lies.
func authorityPath(name string) string { return PKIDir + "/" + name + ".crt" }

// needAuthority is the certificate of an authority that has to be there by now.
func needAuthority(env *Env, name string) ([]byte, error) {
	authority, err := readIfThere(env, authorityPath(name))
	if err == nil && authority == nil {
		err = fmt.Errorf("there is no authority %s on the machine; it has to be put there first", authorityPath(name))
	}
	return authority, err
}

// certificateProblem is why a certificate is not what it shall be; nothing if it is.
func certificateProblem(env *Env, certificate, key []byte, r pki.Request) (string, error) {
	authority, err := readIfThere(env, authorityPath(r.Authority))
	switch {
	case err != nil:
		return "", err
	case authority == nil:
		return fmt.Sprintf("there is no %s to check it with", authorityPath(r.Authority)), nil
	}
	return pki.Problem(certificate, key, authority, r, env.Kernel.Now()), nil
}

// certify makes a key, and has the certificate of a resource made for it. Nothing is written yet.
func certify(ctx context.Context, env *Env, of ID, r pki.Request) (certificate, key []byte, err error) {
	if _, err := needAuthority(env, r.Authority); err != nil {
		return nil, nil, err
	}
	if key, err = pki.NewKey(r.Algorithm); err != nil {
		return nil, nil, err
	}
	request, err := pki.NewRequest(key)
	if err != nil {
		return nil, nil, err
	}
	if certificate, err = env.Sign(ctx, of, request); err != nil {
		return nil, nil, fmt.Errorf("having the certificate of %s signed: %w", r.CommonName, err)
	}
	switch why, err := certificateProblem(env, certificate, key, r); {
	case err != nil:
		return nil, nil, err
	case why != "":
		return nil, nil, fmt.Errorf("the certificate of %s that was signed is of no use here: %s", r.CommonName, why)
	}
	return certificate, key, nil
}
