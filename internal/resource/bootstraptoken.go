package resource

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// BootstrapToken is the token (Secret of type bootstrap.kubernetes.io/token in kube-system) that kubelets join with, for an hour.
type BootstrapToken struct {
	API API `json:"api"`
}

const (
	// tokenLife is for how long a token is good.
	tokenLife = time.Hour
	// tokenLeft is how much of that has to be left when a run begins to use it.
	tokenLeft = 10 * time.Minute
)

// ID is the same everywhere.
func (b BootstrapToken) ID() ID { return ID{"bootstrap-token", "kubelets"} }

// Secrets is the token.
func (b BootstrapToken) Secrets() []string { return []string{BootstrapTokenSecret} }

// OfCluster says that it is the cluster's.
func (b BootstrapToken) OfCluster() {}

// splitToken divides a token that kubelets join with, if it is one: BootstrapTokenPattern of k8s.io/cluster-bootstrap/token/api of v1.37.1.
func splitToken(token string) (id, secret string, ok bool) {
	id, secret, ok = strings.Cut(token, ".")
	return id, secret, ok && len(id) == 6 && len(secret) == 16 && strings.Trim(id+secret, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// token asks for the token.
func (b BootstrapToken) token(ctx context.Context, env *Env) (id, secret string, err error) {
	if env.Secret == nil {
		return "", "", errors.New("nobody is there to ask for the token that kubelets join with")
	}
	value, err := env.Secret(ctx, b.ID(), BootstrapTokenSecret)
	if err != nil {
		return "", "", fmt.Errorf("asking for the token that kubelets join with: %w", err)
	}
	id, secret, ok := splitToken(string(value))
	if !ok {
		return "", "", errors.New("the token that kubelets join with is not of the form ID.SECRET")
	}
	return id, secret, nil
}

// Letters of tokens (k8s.io/cluster-bootstrap/token/api), and how many there are of them in both parts.
const (
	tokenLetters = "abcdefghijklmnopqrstuvwxyz0123456789"
	tokenID      = 6
	tokenSecret  = 16
)

// NewToken makes one that kubelets can join with, when the API knows it: "abcdef.0123456789abcdef".
func NewToken() (string, error) {
	letters := make([]byte, tokenID+tokenSecret)
	for i := range letters {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(tokenLetters))))
		if err != nil {
			return "", err
		}
		letters[i] = tokenLetters[n.Int64()]
	}
	return string(letters[:tokenID]) + "." + string(letters[tokenID:]), nil
}

func tokenRef(id string) kube.Ref {
	return kube.Ref{APIVersion: "v1", Kind: secretKind, Namespace: "kube-system", Name: "bootstrap-token-" + id}
}

// Observe looks whether the token is known and for how long. The token is made for each run: before there is one to ask, there is none.
func (b BootstrapToken) Observe(ctx context.Context, env *Env) (Observed, error) {
	c, err := b.API.open(ctx, env)
	if b.API.unmade(err) || err == nil && env.Secret == nil {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	id, secret, err := b.token(ctx, env)
	if err != nil {
		return Observed{}, err
	}
	live, err := c.Get(ctx, tokenRef(id))
	if kube.IsNotFound(err) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, passing(fmt.Errorf("reading the token that kubelets join with: %w", err))
	}
	until, err := time.Parse(time.RFC3339, dataOf(live, "expiration"))
	if err != nil || dataOf(live, "token-secret") != secret || until.Sub(env.Kernel.Now()) < tokenLeft {
		return Observed{State: Absent}, nil
	}
	return Observed{State: Present}, nil
}

// dataOf is a value of a Secret.
func dataOf(secret *unstructured.Unstructured, key string) string {
	s, _, _ := unstructured.NestedString(secret.Object, "data", key)
	b, _ := base64.StdEncoding.DecodeString(s) // what is no base64 is not what was looked for
	return string(b)
}

// Diff says that it comes.
func (b BootstrapToken) Diff(o Observed) []Change {
	if o.State == Absent {
		return []Change{{What: "present", Old: "absent", New: "present", Why: "for an hour"}}
	}
	return nil
}

// Apply has the API know the token.
func (b BootstrapToken) Apply(ctx context.Context, env *Env) error {
	c, err := b.API.open(ctx, env)
	if err != nil {
		return err
	}
	id, secret, err := b.token(ctx, env)
	if err != nil {
		return err
	}
	token := tokenObject(id, secret, "The token that kubelets join with while Kubewright applies", env.Kernel.Now().Add(tokenLife))
	if _, err := c.Apply(ctx, token, false); err != nil {
		return tokenFailed(err)
	}
	return nil
}

// tokenObject is a token as the API knows it, as kubeadm makes it (BootstrapTokenToSecret and the defaults of cmd/kubeadm/app/apis/bootstraptoken/v1).
func tokenObject(id, secret, description string, until time.Time) *unstructured.Unstructured {
	r := tokenRef(id)
	data := map[string]any{}
	for key, value := range map[string]string{
		"token-id":                       id,
		"token-secret":                   secret,
		"description":                    description,
		"expiration":                     until.UTC().Format(time.RFC3339),
		"usage-bootstrap-authentication": "true",
		"usage-bootstrap-signing":        "true",
		"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
	} {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": r.APIVersion, "kind": r.Kind, "metadata": map[string]any{"namespace": r.Namespace, "name": r.Name},
		"type": "bootstrap.kubernetes.io/token", "data": data,
	}}
}

// tokenFailed says why the API did not take a token.
func tokenFailed(err error) error {
	if kube.QuotesObject(err) {
		return errors.New("the API does not take the token that kubelets join with; what it says is not shown, because it is of a secret")
	}
	return passing(fmt.Errorf("giving the API the token that kubelets join with: %w", err))
}

// Undo leaves it: it expires.
func (b BootstrapToken) Undo(context.Context, *Env, Observed) error { return nil }
