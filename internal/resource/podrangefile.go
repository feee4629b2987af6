package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
)

// PodRangesHere is where the ranges come in the text of a PodRangeFile.
const PodRangesHere = "${ranges}"

// PodRangeFile is a file with the ranges of Pods that the controller manager gave to the node of a machine. The API is asked with the credentials of the machine's kubelet, which may
// read its own node. Applying it waits until the node is registered and has its ranges, two minutes at most.
type PodRangeFile struct {
	Path string `json:"path"`
	// Node is its name.
	Node string `json:"node"`
	// API is how the machine reaches it; its kubeconfig is the kubelet's.
	API API `json:"api"`
	// Text of the file, with PodRangesHere in it once: there the ranges come as the plugin host-local has them, [[{"subnet":"10.244.1.0/24"}]].
	Text string `json:"text"`
}

// ID is the path.
func (f PodRangeFile) ID() ID { return ID{"pod-range-file", f.Path} }

// Keeps is what the file held before.
func (f PodRangeFile) Keeps() []string { return []string{f.Path} }

// file is what it is with the ranges.
func (f PodRangeFile) file(ranges string) File {
	return NewFile(f.Path, strings.Replace(f.Text, PodRangesHere, ranges, 1))
}

// Observe looks at the file, and which ranges the node has ("ranges"; empty if it has none yet). While no API server answers, those of the file hold, if it is as it shall be but for them.
func (f PodRangeFile) Observe(ctx context.Context, env *Env) (Observed, error) {
	ranges, failed := f.ranges(ctx, env)
	if failed != nil {
		written, err := f.written(env)
		switch {
		case err != nil:
			return Observed{}, err
		case written != "":
			ranges = written
		case f.API.unmade(failed), errors.Is(failed, fs.ErrNotExist): // the kubelet has no credentials yet
		default:
			return Observed{}, failed
		}
	}
	o, err := f.file(ranges).Observe(ctx, env)
	if err != nil {
		return Observed{}, err
	}
	if o.Values == nil {
		o.Values = map[string]string{}
	}
	o.Values["ranges"] = ranges
	return o, nil
}

// ranges are those of the node, as they stand in the file; empty if it has none yet.
func (f PodRangeFile) ranges(ctx context.Context, env *Env) (string, error) {
	c, err := f.open(ctx, env)
	if err != nil {
		return "", err
	}
	node, err := c.Get(ctx, nodeRef(f.Node))
	if kube.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", passing(fmt.Errorf("reading the node %s: %w", f.Node, err))
	}
	list := podRanges(node)
	if len(list) == 0 {
		return "", nil
	}
	var sets [][]map[string]string // a Pod gets an address of each
	for _, r := range list {
		sets = append(sets, []map[string]string{{"subnet": r}})
	}
	b, err := json.Marshal(sets)
	return string(b), err
}

// podRanges are the ranges of a node, the first family first.
func podRanges(node *unstructured.Unstructured) []string {
	list, _, _ := unstructured.NestedStringSlice(node.Object, "spec", "podCIDRs")
	if one, _, _ := unstructured.NestedString(node.Object, "spec", "podCIDR"); len(list) == 0 && one != "" {
		return []string{one}
	}
	return list
}

// open reaches an API server as the machine's kubelet. Its kubeconfig names files, which a client is given the content of.
func (f PodRangeFile) open(ctx context.Context, env *Env) (*kube.Client, error) {
	text, err := readFile(env, kubeletConf, maxKubeconfig)
	if err != nil {
		return nil, fmt.Errorf("the API cannot be asked without the credentials of the kubelet: %w", err)
	}
	conf, err := readKubeconfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kubeletConf, err)
	}
	if conf.user.ClientCertificate != "" {
		pair, err := readFile(env, conf.user.ClientCertificate, maxKubeconfig)
		if err != nil {
			return nil, fmt.Errorf("the API cannot be asked without the certificate of the kubelet: %w", err)
		}
		authority := conf.authority
		if conf.authorityFile != "" {
			if authority, err = readFile(env, conf.authorityFile, maxKubeconfig); err != nil {
				return nil, fmt.Errorf("the API cannot be asked without its authority: %w", err)
			}
		}
		credentials := conf.user
		credentials.ClientCertificate, credentials.ClientKey = "", ""
		credentials.ClientCertificateData, credentials.ClientKeyData = pair, pair // one file has both, as the kubelet keeps them
		if text, err = writeKubeconfig("cluster", conf.server, nodeUser(f.Node), authority, credentials); err != nil {
			return nil, err
		}
	}
	c, err := env.Kube.Open(ctx, text, f.API.Servers)
	return c, passing(err)
}

// written are the ranges of the file that is there; none if it is not as it shall be but for them.
func (f PodRangeFile) written(env *Env) (string, error) {
	content, err := readIfThere(env, f.Path)
	if err != nil {
		return "", err
	}
	before, after, _ := strings.Cut(f.Text, PodRangesHere)
	rest, ok := strings.CutPrefix(string(content), before)
	ranges, same := strings.CutSuffix(rest, after)
	if !ok || !same || !json.Valid([]byte(ranges)) {
		return "", nil
	}
	return ranges, nil
}

// Diff compares the file with what it is with the node's ranges; what these will be may not be known yet.
func (f PodRangeFile) Diff(o Observed) []Change {
	const why = "with the ranges that the node is given when it is registered"
	ranges := o.Value("ranges")
	switch {
	case ranges != "":
		return f.file(ranges).Diff(o)
	case o.State == Absent:
		return []Change{{What: "present", Old: "absent", New: "present", Why: why}}
	}
	return []Change{{What: "content", Why: why}}
}

// Apply waits for the node's ranges, and writes the file.
func (f PodRangeFile) Apply(ctx context.Context, env *Env) error {
	ranges, err := f.given(ctx, env)
	if err != nil {
		return err
	}
	file := f.file(ranges)
	o, err := file.Observe(ctx, env)
	if err != nil {
		return err
	}
	if o.Value("type") == "directory" {
		return BlockedError{fmt.Sprintf("%s is a directory; move it away if nobody needs it", f.Path)}
	}
	return env.Files.Write(f.Path, file.attributes(), strings.NewReader(string(file.Content)))
}

// given waits until the node has ranges.
func (f PodRangeFile) given(ctx context.Context, env *Env) (string, error) {
	limited, cancel := context.WithTimeout(ctx, registerTime)
	defer cancel()
	tick := time.NewTicker(registerPause)
	defer tick.Stop()
	said := ""
	for {
		ranges, err := f.ranges(limited, env)
		_, passes := errors.AsType[TransientError](err)
		switch {
		case err == nil && ranges != "":
			return ranges, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err == nil:
			err = fmt.Errorf("the node %s has no range of Pods yet", f.Node)
		case !passes && !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if said != err.Error() {
			said = err.Error()
			env.progress(said)
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return "", fmt.Errorf("within %s the node %s got no range of Pods: %s. Controller managers give it (--allocate-node-cidrs); what they log says more, "+
				"such as that network.podRanges has no range left", registerTime, f.Node, said)
		}
	}
}

// Undo puts back what was there.
func (f PodRangeFile) Undo(_ context.Context, env *Env, previous Observed) error {
	return undoFile(env, f.Path, previous)
}
