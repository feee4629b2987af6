package resource

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/internal/kube"
)

// UserCertificate is a certificate by which the Kubernetes API knows a user. It is signed by the API's own signer for clients, so that the audit log says who was let in, and
// no key of an authority is needed. The key stays with who asks.
type UserCertificate struct {
	API API `json:"api"`
	// Request is for the certificate (PKCS #10, PEM): its common name is the user, its organizations are the groups.
	Request []byte `json:"request"`
	// TTL is how long it is valid: 10 minutes at least (ValidateCertificateSigningRequest in pkg/apis/certificates/validation of Kubernetes v1.37), and no longer than the controller manager
	// signs for (--cluster-signing-duration, a year by default).
	TTL time.Duration `json:"ttl"`
}

// MinUserTTL is the shortest time that the API takes.
const MinUserTTL = 10 * time.Minute

// clientSigner is the signer of certificates of clients of the API (KubeAPIServerClientSignerName of k8s.io/api/certificates/v1).
const clientSigner = "kubernetes.io/kube-apiserver-client"

// How long the controller manager may take to sign, and how often is looked. One that runs takes milliseconds; a new leader may have to be found first, which takes 15 s
// (--leader-elect-lease-duration).
const (
	signTime = 45 * time.Second
	signLook = 250 * time.Millisecond
)

// Issue has it signed, and returns it in PEM form. The request stays in the API for an hour, for people to see, and is taken away if nothing came of it.
func (u UserCertificate) Issue(ctx context.Context, env *Env) (certificate []byte, err error) {
	c, err := u.API.open(ctx, env)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 5)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	ref := kube.Ref{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest", Name: "kubewright-user-" + hex.EncodeToString(random)}
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": ref.APIVersion, "kind": ref.Kind, "metadata": map[string]any{"name": ref.Name},
		"spec": map[string]any{
			"request": base64.StdEncoding.EncodeToString(u.Request), "signerName": clientSigner,
			"expirationSeconds": int64(u.TTL / time.Second), "usages": []any{"client auth"},
		},
	}}
	if _, err := c.Apply(ctx, request, false); err != nil {
		return nil, passing(fmt.Errorf("asking the API for a certificate: %w", err))
	}
	defer func() {
		if err == nil {
			return
		}
		// Nobody should sign it later.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		if left := c.Delete(after, ref); left != nil {
			err = errors.Join(err, fmt.Errorf("the %s is left: %w", ref, left))
		}
	}()
	approval := []byte(`{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Kubewright","message":"asked for by \"kubewright kubeconfig\""}]}}`)
	if _, err := c.Patch(ctx, ref, types.MergePatchType, approval, "approval"); err != nil {
		return nil, passing(fmt.Errorf("approving the %s: %w", ref, err))
	}
	return u.signed(ctx, c, ref)
}

// signed waits for the certificate.
func (u UserCertificate) signed(ctx context.Context, c *kube.Client, ref kube.Ref) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	look := time.NewTicker(signLook)
	defer look.Stop()
	for {
		live, err := c.Get(limited, ref)
		switch {
		case err == nil:
			certificate, why := signedCertificate(live)
			if why != "" {
				return nil, fmt.Errorf("the API did not sign the certificate: %s", why)
			}
			if certificate != nil {
				return certificate, nil
			}
		case limited.Err() == nil:
			return nil, passing(fmt.Errorf("reading the %s: %w", ref, err))
		}
		select {
		case <-look.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("the certificate was not signed within %v: does kube-controller-manager run, with the key of the authority? \"kubewright status\" says", signTime)
		}
	}
}

// signedCertificate is the certificate of a request, if it is there, or why it never will be.
func signedCertificate(request *unstructured.Unstructured) (certificate []byte, why string) {
	for _, kind := range []string{"Denied", "Failed"} {
		if status, reason, message := condition(request, kind); status == "True" {
			return nil, join(reason, message)
		}
	}
	text, _, _ := unstructured.NestedString(request.Object, "status", "certificate")
	if text == "" {
		return nil, ""
	}
	certificate, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, "what it calls a certificate is none"
	}
	return certificate, ""
}
