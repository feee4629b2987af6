package resource

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// LogReport looks at what something on the machine said: a unit of systemd, the kernel, or a container, whether an API server knows of it or not. It finds a LogFound.
type LogReport struct {
	// Name of it: "kubelet.service", "kernel", or that of a container: "etcd", "coredns".
	Name string `json:"name"`
	// Socket is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
	// Lines are how many at most, the last ones; at least 1. Of lines after a cursor, the first ones.
	Lines int `json:"lines"`
	// Previous is the container before the one that runs, or ran last.
	Previous bool `json:"previous,omitempty"`
	// After is the cursor that was found before: only what was said since.
	After string `json:"after,omitempty"`
}

// LogFound is what something said.
type LogFound struct {
	// Source is what it is: "unit kubelet.service", "container etcd of Pod kube-system/etcd-m1 (running, attempt 2)".
	Source string   `json:"source"`
	Lines  []string `json:"lines"`
	// Cursor is where it ended.
	Cursor string `json:"cursor,omitempty"`
}

// KernelLog is the name of the kernel's log.
const KernelLog = "kernel"

// ID is the name.
func (r LogReport) ID() ID { return ID{"log", r.Name} }

// maxLog is how many bytes of a log are read at once.
const maxLog = 8 << 20

// Look reads it.
func (r LogReport) Look(ctx context.Context, env *Env) (any, error) {
	switch {
	case r.Name == KernelLog:
		return r.journal(ctx, env, "the kernel", "--dmesg")
	case strings.Contains(r.Name, "."):
		u, err := env.Systemd.Unit(ctx, r.Name)
		if err != nil {
			return nil, err
		}
		found, err := r.journal(ctx, env, "unit "+r.Name, "--unit="+r.Name)
		if u.Load == "not-found" && len(found.Lines) == 0 { // one that was removed may have said something
			return nil, fmt.Errorf("systemd knows no unit %s, and none of that name said anything", r.Name)
		}
		return found, err
	}
	return r.container(ctx, env)
}

// journal asks systemd's. It says where it ended on a line of its own ("-- cursor: …", journalctl(1)).
func (r LogReport) journal(ctx context.Context, env *Env, source string, of string) (LogFound, error) {
	args := []string{of, "--output=short-iso", "--no-pager", "--quiet", "--show-cursor"}
	if r.After == "" {
		args = append(args, "--lines="+strconv.Itoa(max(r.Lines, 1)))
	} else {
		args = append(args, "--after-cursor="+r.After)
	}
	o, err := env.Exec.Run(ctx, Command{Name: "journalctl", Args: args})
	if err != nil {
		return LogFound{}, err
	}
	if o.Code != 0 && strings.TrimSpace(o.Stderr) != "" { // of what said nothing, the code is 1, too
		return LogFound{}, fmt.Errorf("reading the log of %s: %s", source, o.last())
	}
	f := LogFound{Source: source, Lines: []string{}, Cursor: r.After}
	for line := range strings.Lines(o.Stdout) {
		line = strings.TrimRight(line, "\n")
		if cursor, ok := strings.CutPrefix(line, "-- cursor: "); ok {
			f.Cursor = cursor
		} else {
			f.Lines = append(f.Lines, line)
		}
	}
	return f, nil
}

// container reads the log of the newest container of a name.
func (r LogReport) container(ctx context.Context, env *Env) (LogFound, error) {
	all, err := containers(ctx, env, r.Socket)
	if err != nil {
		return LogFound{}, err
	}
	list := slices.DeleteFunc(slices.Clone(all), func(c containerOf) bool { return c.GetMetadata().GetName() != r.Name })
	// Anybody may call a container kube-proxy: those of the system come first.
	rank := func(c containerOf) int { return slices.Index([]bool{true, false}, c.ofSystem()) }
	slices.SortFunc(list, func(a, b containerOf) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()))
	})
	if r.Previous && len(list) > 0 {
		newest := list[0]
		list = slices.DeleteFunc(list, func(c containerOf) bool {
			return c.GetId() == newest.GetId() || c.pod.GetMetadata().GetName() != newest.pod.GetMetadata().GetName()
		})
		if len(list) == 0 {
			return LogFound{}, fmt.Errorf("there is no container of %s before the one that is there now (%s)", r.Name, state(newest.Container))
		}
	}
	if len(list) == 0 {
		names := map[string]bool{}
		for _, c := range all {
			names[c.GetMetadata().GetName()] = true
		}
		return LogFound{}, fmt.Errorf("there is no container %s; there are %s", r.Name, orNone(strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
	}
	c := list[0]
	status, err := env.CRI.Container(ctx, r.Socket, c.GetId())
	if err != nil {
		return LogFound{}, err
	}
	f := LogFound{Source: c.source()}
	from := int64(0) // of a container that was not there before, all is new
	if id, offset, ok := strings.Cut(r.After, " "); ok && id == c.GetId() {
		if from, err = strconv.ParseInt(offset, 10, 64); err != nil {
			return f, fmt.Errorf("%q is no cursor", r.After)
		}
	}
	lines, end, err := readContainerLog(env, status.GetLogPath(), from, maxLog)
	if err != nil {
		return f, err
	}
	if r.After == "" {
		lines = lines[max(0, len(lines)-max(r.Lines, 1)):]
	}
	f.Lines, f.Cursor = lines, fmt.Sprintf("%s %d", c.GetId(), end)
	return f, nil
}

type containerOf struct {
	*cri.Container
	pod *cri.PodSandbox
}

// systemNamespaces are those in which Kubernetes, its add-ons and its network run.
var systemNamespaces = []string{"kube-system", "kube-flannel"}

func (c containerOf) ofSystem() bool {
	return slices.Contains(systemNamespaces, c.pod.GetMetadata().GetNamespace())
}

// source says for people whose log it is.
func (c containerOf) source() string {
	return fmt.Sprintf("container %s of Pod %s/%s (%s, attempt %d)", c.GetMetadata().GetName(), c.pod.GetMetadata().GetNamespace(), c.pod.GetMetadata().GetName(), state(c.Container), c.GetMetadata().GetAttempt()+1)
}

// containers are all of a machine.
func containers(ctx context.Context, env *Env, socket string) ([]containerOf, error) {
	pods, err := env.CRI.Pods(ctx, socket, nil)
	if err != nil {
		return nil, err
	}
	var all []containerOf
	for _, p := range pods {
		list, err := env.CRI.Containers(ctx, socket, p.GetId())
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			all = append(all, containerOf{c, p})
		}
	}
	return all, nil
}

func state(c *cri.Container) string {
	switch c.GetState() {
	case cri.ContainerState_CONTAINER_RUNNING:
		return "running"
	case cri.ContainerState_CONTAINER_EXITED:
		return "ended"
	}
	return "not started yet"
}

// readContainerLog reads a log from an offset, or as much of its end as is told, and says where it ended. A log that is shorter than that was begun anew.
func readContainerLog(env *Env, path string, from, most int64) (lines []string, end int64, err error) {
	i, err := env.Files.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("its log %s is not there: logs go with their containers", path)
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := env.Files.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	start := from
	if start < 0 || start > i.Size {
		start = 0
	}
	cut := false
	if i.Size-start > most {
		start, cut = i.Size-most, true
	}
	if s, ok := f.(io.Seeker); ok {
		_, err = s.Seek(start, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, start)
	}
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, 0, err
	}
	// What is being written is read the next time.
	whole := bytes.LastIndexByte(b, '\n') + 1
	b = b[:whole]
	if cut {
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return containerLines(bytes.NewReader(b)), start + int64(whole), nil
}

// containerLines are those of a log: a file in the format that the CRI asks of runtimes ("TIME STREAM TAG TEXT", where a line whose tag begins with P goes on in the next of its stream;
// kubelets read it by pkg/kubelet/kuberuntime/logs). Lines of another format are left as they are.
func containerLines(r io.Reader) []string {
	lines := []string{}
	begun := map[string]string{} // by stream
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLog+1) // no line is longer than what was read
	for scanner.Scan() {
		line, stream, goesOn := parseLogLine(scanner.Text(), begun)
		if goesOn {
			begun[stream] = line
			continue
		}
		delete(begun, stream)
		lines = append(lines, line)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if begun[stream] != "" {
			lines = append(lines, begun[stream])
		}
	}
	return lines
}
