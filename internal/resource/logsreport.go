package resource

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// LogsReport looks at what everything on the machine said that carries a cluster: some units of systemd, the kernel, and all containers of the system's namespaces. It finds a list of
// NamedLog; what cannot be read says why instead.
type LogsReport struct {
	Units []string `json:"units"`
	// Socket is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
	// Lines of each, at most.
	Lines int `json:"lines"`
}

// NamedLog is a log, and a name for it that is a file's: "kubelet.service", "etcd", "etcd.1" for the container before.
type NamedLog struct {
	Name string `json:"name"`
	LogFound
	Problem string `json:"problem,omitempty"`
}

// ID is the same everywhere.
func (r LogsReport) ID() ID { return ID{"logs", "machine"} }

// Look reads them, one after the other.
func (r LogsReport) Look(ctx context.Context, env *Env) (any, error) {
	list := []NamedLog{}
	for _, name := range append([]string{KernelLog}, r.Units...) {
		l := NamedLog{Name: name}
		found, err := LogReport{Name: name, Socket: r.Socket, Lines: r.Lines}.Look(ctx, env)
		if err != nil {
			l.Problem = err.Error()
		} else if f, ok := found.(LogFound); ok {
			l.LogFound = f
		}
		list = append(list, l)
	}
	all, err := containers(ctx, env, r.Socket)
	if err != nil {
		return append(list, NamedLog{Name: "containers", Problem: err.Error()}), ctx.Err()
	}
	slices.SortStableFunc(all, func(a, b containerOf) int { return cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()) })
	seen := map[string]int{}
	for _, c := range all {
		if !c.ofSystem() {
			continue
		}
		// Static Pods are alone of their kind on a machine.
		name := c.GetMetadata().GetName()
		if c.pod.GetAnnotations()["kubernetes.io/config.source"] != "file" {
			name = c.pod.GetMetadata().GetName() + "_" + name
		}
		n := seen[name]
		seen[name]++
		l := NamedLog{Name: name}
		if n > 0 {
			l.Name = fmt.Sprintf("%s.%d", name, n)
		}
		l.Source = c.source()
		status, err := env.CRI.Container(ctx, r.Socket, c.GetId())
		if err == nil {
			l.Lines, _, err = readContainerLog(env, status.GetLogPath(), 0, maxLog)
			l.Lines = l.Lines[max(0, len(l.Lines)-max(r.Lines, 1)):]
		}
		if err != nil {
			l.Problem = err.Error()
		}
		list = append(list, l)
	}
	return list, ctx.Err()
}
