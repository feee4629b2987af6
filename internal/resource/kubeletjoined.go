package resource

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// KubeletJoined is a kubelet that has its own certificate, and no token any more: it stands after the unit in the same step. Applying it waits for the kubelet to get
// it, two minutes at most, and removes the file with the token.
type KubeletJoined struct {
	// Node is the name that the certificate has to be for.
	Node string `json:"node"`
}

// ID is the same everywhere.
func (k KubeletJoined) ID() ID { return ID{"kubelet-joined", "kubelet"} }

// How long a kubelet may take to get its certificate, and how often is looked. On a machine that is not busy it takes two seconds once the API answers.
const (
	joinTime = 2 * time.Minute
	joinLook = 500 * time.Millisecond
)

// kubeletUnit is the unit of the kubelet, as everywhere.
const kubeletUnit = "kubelet.service"

// Observe looks for the certificate, and for the file with the token.
func (k KubeletJoined) Observe(ctx context.Context, env *Env) (Observed, error) {
	o, err := observeKubelet(ctx, env, k.Node, "")
	if err != nil {
		return Observed{}, err
	}
	_, err = k.token().observe(ctx, env, &o)
	return o, err
}

func (k KubeletJoined) token() part { return part{"token", bootstrapKubeletConf, 0o600} }

// missing is what the kubelet lacks to be one that joined.
func (k KubeletJoined) missing(o Observed) string {
	switch {
	case o.Value("certificate") == noneThere:
		return "it has no certificate"
	case o.Value("certificate") != "":
		return "its certificate: " + o.Value("certificate")
	case o.Value("conf") == noneThere:
		return "it has no " + kubeletConf
	case o.Value("conf") != "":
		return kubeletConf + ": " + o.Value("conf")
	}
	return ""
}

// Diff says whether it joined, and that the token goes.
func (k KubeletJoined) Diff(o Observed) []Change {
	switch {
	case k.missing(o) != "":
		return []Change{{What: "joined", Old: "no", New: "yes"}}
	case k.token().was(o).State == Present:
		return []Change{{What: "bootstrap token", Old: "present", New: "absent"}}
	}
	return nil
}

// Apply waits for the certificate, and removes the file with the token.
func (k KubeletJoined) Apply(ctx context.Context, env *Env) error {
	if err := k.wait(ctx, env); err != nil {
		return err
	}
	return env.Files.Remove(bootstrapKubeletConf)
}

func (k KubeletJoined) wait(ctx context.Context, env *Env) error {
	limited, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	look := time.NewTicker(joinLook)
	defer look.Stop()
	for start := time.Now(); ; {
		o, err := k.Observe(ctx, env)
		if err != nil {
			return err
		}
		why := k.missing(o)
		if why == "" {
			return nil
		}
		select {
		case <-look.C:
			env.progress(fmt.Sprintf("waiting for the kubelet to join for %v: %s", time.Since(start).Round(time.Second), why))
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the kubelet did not join within %v: %s. See whether a control plane answers where %s leads, and whether its request waits to be approved (kubectl get csr).%s",
				joinTime, why, bootstrapKubeletConf, k.logged(ctx, env))
		}
	}
}

// logged is the last thing that the kubelet said, if that is to be had.
func (k KubeletJoined) logged(ctx context.Context, env *Env) string {
	lines, err := env.Systemd.Log(ctx, kubeletUnit, 3)
	if err != nil || len(lines) == 0 {
		return ""
	}
	return " It logged:\n" + strings.Join(lines, "\n")
}

// Undo does nothing: the token is spent, and what the kubelet got goes with what it got it by.
func (k KubeletJoined) Undo(context.Context, *Env, Observed) error { return nil }
