package converge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// left is what there is when a cluster has been made: files of the control plane cp1 by path ("/etc/kubernetes/admin.conf") and objects of the API by name ("ConfigMap
// kube-system/coredns"), decoded.
type left map[string]any

// kubeadmDirs are where kubeadm writes.
var kubeadmDirs = []string{"/etc/kubernetes", "/var/lib/kubelet"}

// leftByKubeadm is what testdata/kubeadm.sh had kubeadm write.
func leftByKubeadm(t *testing.T) left {
	t.Helper()
	const dir = "testdata/kubeadm-1.37/"
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	l := left{}
	d := decoder{authority: "CA"}
	for line := range strings.Lines(string(read("modes"))) {
		mode, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		bits, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		var content []byte
		if !isKey(file) {
			content = read("host" + file)
		}
		l.addFile(t, d, file, fs.FileMode(bits), content)
	}
	for document := range strings.SplitSeq(strings.TrimPrefix(string(read("objects.yaml")), "---\n"), "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		l.addObject(t, d, object)
	}
	l.addObject(t, d, requested(t, read("cluster-admins.dump")))
	return l
}

// addFile adds a file of cp1.
func (l left) addFile(t *testing.T, d decoder, file string, mode fs.FileMode, content []byte) {
	t.Helper()
	fields, err := d.file(file, content)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	fields["permissions"] = mode.String()
	l[file] = fields
}

// addDirectory adds files at any depth. What a link leads to is found where the link is.
func (l left) addDirectory(t *testing.T, d decoder, files resource.Files, dir string) {
	t.Helper()
	names, err := files.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	behind := map[string]bool{}
	for _, name := range names {
		file := path.Join(dir, name)
		info, err := files.Stat(file)
		if err == nil && info.Type == fs.ModeSymlink {
			behind[info.Link] = true
			info, err = files.Stat(info.Link)
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Type.IsDir() {
			l.addDirectory(t, d, files, file)
			continue
		}
		content, err := files.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		l.addFile(t, d, file, info.Mode, b)
	}
	for file := range behind {
		delete(l, file)
	}
}

// addObject adds an object of the API.
func (l left) addObject(t *testing.T, d decoder, object map[string]any) {
	t.Helper()
	fields, err := d.object(object)
	name := kube.RefOf(&unstructured.Unstructured{Object: object}).String()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	l[name] = fields
}

// requested is the ClusterRoleBinding in a request as client-go shows it: bytes in the form of hexdump -C, which are protobuf.
func requested(t *testing.T, dump []byte) map[string]any {
	t.Helper()
	var b []byte
	lines := bufio.NewScanner(bytes.NewReader(dump))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "|")
		_, line, _ = strings.Cut(line, " ")
		part, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	var envelope runtime.Unknown
	var binding rbacv1.ClusterRoleBinding
	if err := envelope.Unmarshal(bytes.TrimPrefix(b, []byte("k8s\x00"))); err != nil {
		t.Fatal(err)
	}
	if err := binding.Unmarshal(envelope.Raw); err != nil {
		t.Fatal(err)
	}
	binding.APIVersion, binding.Kind = envelope.APIVersion, envelope.Kind
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&binding)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// leftByKubewright is what the steps of the same cluster make of a machine and an API in memory. Of the machine, only what lies where kubeadm writes.
func leftByKubewright(t *testing.T) left {
	t.Helper()
	const host = "cp1"
	steps, keys := newCluster(t)
	machine := fake.New(host, nil).Env(nil)
	machine.Sign = func(ctx context.Context, of resource.ID, request []byte) ([]byte, error) {
		return keys.Sign(ctx, host, of, request)
	}
	machine.Secret = func(ctx context.Context, of resource.ID, name string) ([]byte, error) {
		return keys.Secret(ctx, host, of, name)
	}
	machine.Blob = contentsOf(steps)
	served := newServed(t)
	l := left{}
	d := decoder{authority: base64.StdEncoding.EncodeToString([]byte(keys.known[pki.Kubernetes]))}
	for _, s := range steps {
		for _, r := range s.Resources {
			env := machine
			switch _, ofAPI := r.(resource.OfCluster); {
			case ofAPI:
				r, env = served.toThis(t, r), served.env
			case s.Host != host || !liesWithKubeadms(r):
				continue
			}
			if r == nil {
				continue
			}
			if err := r.Apply(t.Context(), env); err != nil {
				t.Fatalf("%s: %v", r.ID(), err)
			}
		}
	}
	for _, dir := range kubeadmDirs {
		l.addDirectory(t, d, machine.Files, dir)
	}
	for _, r := range served.refs {
		o := served.api.Object(r)
		if o == nil {
			t.Fatalf("there is no %s", r)
		}
		l.addObject(t, d, o.Object)
	}
	return l
}

// newCluster are the steps of a new cluster of plain machines, with what asks for keys and gets them.
func newCluster(t *testing.T) ([]plan.Step, *keyring) {
	t.Helper()
	c := ringCluster(t, "")
	keys := newKeyring(machines{}.fetch)
	w := Wish{Cluster: c, Hosts: map[string]facts.Host{}}
	w.Keys = func() (Keys, []plan.Problem) { return keys.see(c, w.Hosts) }
	for i, h := range c.Hosts {
		c.Hosts[i].InternalAddresses = []string{h.Address}
		f := debian(h)
		f.NameServers = []string{"10.0.0.2"}
		w.Hosts[h.Name] = f
	}
	b := everything()
	for i, p := range b.Parts {
		if strings.Contains(p.Name, "/etcd:") {
			b.Parts[i].KubeadmTag = "3.7.0-0" // that of the bundle is newer, which kubeadm.yaml says
		}
	}
	steps, problems := Standard(b)(w)
	if got := blocking(problems); len(got) > 0 {
		t.Fatalf("in the way stands %q", got)
	}
	keys.take(steps)
	keys.token = "abcdef.0123456789abcdef" // as in kubeadm.yaml
	return steps, keys
}

// contentsOf are those of files, by digest.
func contentsOf(steps []plan.Step) func(context.Context, string) (io.ReadCloser, error) {
	contents := map[string][]byte{}
	for _, s := range steps {
		for _, r := range s.Resources {
			if f, ok := r.(resource.File); ok {
				contents[f.Digest] = f.Content
			}
		}
	}
	return func(_ context.Context, digest string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(contents[digest])), nil
	}
}

// liesWithKubeadms says whether a resource is a file where kubeadm writes.
func liesWithKubeadms(r resource.Resource) bool {
	switch r := r.(type) {
	case resource.File:
		return strings.HasPrefix(r.Path, kubeadmDirs[0]+"/") || strings.HasPrefix(r.Path, kubeadmDirs[1]+"/")
	case resource.Authority, resource.SharedFile, resource.Certificate, resource.Kubeconfig, resource.KubeletIdentity:
		return true
	}
	return false
}
