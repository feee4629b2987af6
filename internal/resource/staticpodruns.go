package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/bundle"
)

// StaticPodRuns asks whether the Pod of a manifest runs as the manifest says now: a ready sandbox bears the manifest's annotation (ManifestAnnotation), and all of its containers run.
// If they do not, it says why, with the last lines that the container wrote.
type StaticPodRuns struct {
	// Name of the Pod without the node's: "etcd".
	Name string `json:"name"`
	// Digest is the value of the annotation.
	Digest string `json:"digest"`
}

// ManifestAnnotation is the annotation of static Pods that says which manifest they come from.
const ManifestAnnotation = "kubewright.dev/manifest"

// staticPodLines is how many of the last lines of a container that ended are shown.
const staticPodLines = 3

// ID names the Pod.
func (p StaticPodRuns) ID() ID { return ID{"static-pod", p.Name} }

// sandbox is one as the CRI describes it (PodSandbox of k8s.io/cri-api/pkg/apis/runtime/v1), as far as it is needed.
type sandbox struct {
	ID          string            `json:"id"`
	State       string            `json:"state"`
	CreatedAt   string            `json:"createdAt"` // in nanoseconds
	Annotations map[string]string `json:"annotations"`
	Labels      map[string]string `json:"labels"`
}

// container is one as the CRI describes it (Container), as far as it is needed.
type container struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Metadata struct {
		Name    string `json:"name"`
		Attempt int    `json:"attempt"`
	} `json:"metadata"`
}

// containerRunning is the state of one that runs.
const containerRunning = "CONTAINER_RUNNING"

// Check asks the container runtime.
func (p StaticPodRuns) Check(ctx context.Context, env *Env) (string, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	why, err := p.check(limited, env)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return fmt.Sprintf("the container runtime does not say within %v how %s is", answerTime, p.Name), nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the container runtime cannot be asked for %s: %w", p.Name, err)
	case err != nil:
		return err.Error(), nil
	}
	return why, nil
}

func (p StaticPodRuns) check(ctx context.Context, env *Env) (string, error) {
	pods, err := staticPods(ctx, env, p.Name)
	if err != nil {
		return "", err
	}
	old := false
	var now *sandbox
	for _, s := range pods {
		// Sandboxes of Pods that go are still there for a while, not ready; the newest is the one that counts.
		switch {
		case s.Annotations[ManifestAnnotation] != p.Digest:
			old = old || s.State == "SANDBOX_READY"
		case now == nil || later(s.CreatedAt, now.CreatedAt):
			now = &s
		}
	}
	switch {
	case now == nil && old:
		return p.Name + " still runs by an older manifest", nil
	case now == nil:
		return fmt.Sprintf("the kubelet has not started %s; \"journalctl -u kubelet\" says why", p.Name), nil
	case now.State != "SANDBOX_READY":
		return fmt.Sprintf("the Pod of %s stopped, and the kubelet has not started it again", p.Name), nil
	}
	return p.containers(ctx, env, now.ID)
}

// staticPods are the sandboxes of a static Pod, by its name without the node's.
func staticPods(ctx context.Context, env *Env, name string) ([]sandbox, error) {
	var pods struct {
		Items []sandbox `json:"items"`
	}
	err := crictl(ctx, env, &pods, "pods", "--label", "io.kubernetes.pod.namespace=kube-system", "--name", "^"+name+"-", "-o", "json")
	// Pods of the same beginning that came by the API are others'.
	return slices.DeleteFunc(pods.Items, func(s sandbox) bool { return s.Annotations["kubernetes.io/config.source"] != "file" }), err
}

// containersOf are those of a sandbox, also those that ended.
func containersOf(ctx context.Context, env *Env, pod string) ([]container, error) {
	var list struct {
		Containers []container `json:"containers"`
	}
	err := crictl(ctx, env, &list, "ps", "--all", "--pod", pod, "-o", "json")
	return list.Containers, err
}

// later compares numbers as they are written.
func later(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a > b }

// containers looks at those of a sandbox: the last attempt of each has to run.
func (p StaticPodRuns) containers(ctx context.Context, env *Env, pod string) (string, error) {
	list, err := containersOf(ctx, env, pod)
	if err != nil {
		return "", err
	}
	last := map[string]container{}
	for _, c := range list {
		if l, ok := last[c.Metadata.Name]; !ok || c.Metadata.Attempt > l.Metadata.Attempt {
			last[c.Metadata.Name] = c
		}
	}
	if len(last) == 0 {
		return fmt.Sprintf("no container of %s was started yet; its image may be missing: \"journalctl -u kubelet\" says more", p.Name), nil
	}
	for _, c := range list {
		if c.ID != last[c.Metadata.Name].ID || c.State == containerRunning {
			continue
		}
		if c.State != "CONTAINER_EXITED" {
			return fmt.Sprintf("the container %s of %s is being started", c.Metadata.Name, p.Name), nil
		}
		return p.ended(ctx, env, c), nil
	}
	return "", nil
}

// ended says how a container ended. What cannot be found out about that is left out.
func (p StaticPodRuns) ended(ctx context.Context, env *Env, c container) string {
	why := fmt.Sprintf("the container %s of %s ended", c.Metadata.Name, p.Name)
	var details struct {
		Status struct {
			ExitCode *int   `json:"exitCode"`
			Reason   string `json:"reason"`
			Message  string `json:"message"`
		} `json:"status"`
	}
	if err := crictl(ctx, env, &details, "inspect", "-o", "json", c.ID); err == nil && details.Status.ExitCode != nil {
		why += fmt.Sprintf(" with code %d", *details.Status.ExitCode)
		if r := details.Status.Reason; r != "" && r != "Error" && r != "Completed" {
			why += " (" + join(r, details.Status.Message) + ")"
		}
	}
	if c.Metadata.Attempt > 0 {
		why += fmt.Sprintf(", for the %d. time", c.Metadata.Attempt+1)
	}
	o, err := env.Exec.Run(ctx, Command{Name: bundle.ProgramPath("crictl"), Args: []string{"logs", "--tail", fmt.Sprint(staticPodLines), c.ID}})
	if err == nil && o.Code == 0 {
		// A container's errors come out as errors.
		if said := strings.TrimSpace(strings.TrimSpace(o.Stdout) + "\n" + strings.TrimSpace(o.Stderr)); said != "" {
			why += ": " + strings.Join(strings.Split(said, "\n"), " | ")
		}
	}
	return why
}

// crictl asks the container runtime, by the socket that crictl's own configuration names.
func crictl(ctx context.Context, env *Env, into any, args ...string) error {
	o, err := env.Exec.Run(ctx, Command{Name: bundle.ProgramPath("crictl"), Args: args})
	if err != nil {
		return fmt.Errorf("running crictl: %w", err)
	}
	if o.Code != 0 {
		return fmt.Errorf("the container runtime: crictl %s: %s", args[0], withoutWarnings(o).last())
	}
	if err := json.Unmarshal([]byte(o.Stdout), into); err != nil {
		return fmt.Errorf("crictl %s says what is no JSON: %w", args[0], err)
	}
	return nil
}
