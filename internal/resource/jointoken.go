package resource

import (
	"context"
	"strings"
	"time"
)

// JoinToken is a token with which machines join the cluster by kubeadm, for a limited time. Whoever has it can have a client certificate in the name of any node.
type JoinToken struct {
	API API `json:"api"`
	// TTL is how long it is good for; more than 0.
	TTL time.Duration `json:"ttl"`
}

// MadeToken is a token that the API knows.
type MadeToken struct {
	Token string    `json:"token"` // "abcdef.0123456789abcdef"
	Until time.Time `json:"until"`
}

// Make makes one, and has the API know it. It is kept nowhere else.
func (j JoinToken) Make(ctx context.Context, env *Env) (MadeToken, error) {
	c, err := j.API.open(ctx, env)
	if err != nil {
		return MadeToken{}, err
	}
	token, err := NewToken()
	if err != nil {
		return MadeToken{}, err
	}
	made := MadeToken{token, env.Kernel.Now().Add(j.TTL).UTC().Truncate(time.Second)}
	id, secret, _ := strings.Cut(token, ".")
	if _, err := c.Apply(ctx, tokenObject(id, secret, "Asked for by \"kubewright join-command\"", made.Until), false); err != nil {
		return MadeToken{}, tokenFailed(err)
	}
	return made, nil
}
