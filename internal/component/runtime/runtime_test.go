package runtime

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
endpoint: {kind: keepalived, address: 10.0.0.10}
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
`

func load(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+more))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("REGISTRY_PASSWORD", "pass word")
	c, err := cluster.Load(t.Context(), spec, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func hash(n string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(n, 64)}
}

func testBundle() *bundle.Bundle {
	b := &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64"}
	for _, names := range [][]string{{"containerd", "ctr", "containerd-shim-runc-v2"}, {"runc"}, {"crictl"}, {"kubernetes"}} {
		p := bundle.Part{Kind: bundle.Programs, Name: names[0]}
		for _, n := range names {
			p.Blobs = append(p.Blobs, bundle.Blob{Digest: hash("a"), Size: 1000, MediaType: bundle.ProgramLayer, Title: n})
		}
		b.Parts = append(b.Parts, p)
	}
	b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Programs, Name: "cni",
		Blobs: []bundle.Blob{{Digest: hash("b"), Size: 2000, MediaType: bundle.ProgramLayer, Title: "cni", Commands: []string{"bridge", "host-local"}}}})
	for _, n := range []string{"coredns/coredns:v1.14.6", "etcd:3.7.3-0", "kube-apiserver:v1.37.1", "kube-controller-manager:v1.37.1", "kube-proxy:v1.37.1",
		"kube-scheduler:v1.37.1", "metrics-server/metrics-server:v0.9.0", "pause:3.10.2", "flannel:v0.28.4", "kubewright-approver:v0.1.0"} {
		b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Image, Name: "registry.k8s.io/" + n, Digest: hash("c").String()})
	}
	b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Image, Name: "registry.k8s.io/e2e-test-images/agnhost:2.66.1", Digest: hash("d").String(), Test: true})
	return b
}

var (
	server    = facts.Host{RaisePriority: true, LoadModules: true, Packages: "apt"}
	container = facts.Host{Packages: "apt"}
	rocky     = facts.Host{RaisePriority: true, LoadModules: true, Packages: "dnf", SELinux: "enforcing", Firewall: "firewalld"}
)

const settings = `
hostPreparation: {openFiles: 65536}
runtime: {root: "/data/a \"b\"", maxConcurrentDownloads: 10}
registries:
- host: docker.io
  mirrors: [https://mirror.example:5000/hub, "http://10.0.0.9:5000", https://harbor.example/v2/proxy, https://mirror.example:5000/hub]
- host: harbor.example
  ca: ca.pem
  credentials: {username: puller, passwordEnv: REGISTRY_PASSWORD}
- host: mirror.example:5000
  insecure: true
- host: 10.0.0.9:5000
  credentials: {username: other, passwordEnv: REGISTRY_PASSWORD}
`

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		more  string
		hosts map[string]facts.Host
	}{
		{"debian", "", map[string]facts.Host{"cp1": server, "w1": server, "lb1": server}},
		{"container", settings, map[string]facts.Host{"w1": container}},
		{"rocky", "", map[string]facts.Host{"cp1": rocky}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Cluster: load(t, c.more), Hosts: c.hosts, Bundle: testBundle(),
				After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} }}
			steps, problems := Steps(in)
			if err := plan.Check(steps, []plan.Group{{Name: cluster.ControlPlanes, AtOnce: 1}, {Name: cluster.Workers, AtOnce: 1}}); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

func TestOneMoreWorkerTouchesNoOther(t *testing.T) {
	hosts := map[string]facts.Host{"cp1": server, "w1": server, "w2": server}
	text := func(more string) string {
		steps, _ := Steps(Input{Cluster: load(t, more), Hosts: hosts, Bundle: testBundle()})
		return plantest.Render(t, slices.DeleteFunc(steps, func(s plan.Step) bool { return s.Host == "w2" }), nil)
	}
	if before, after := text(""), text("- {name: w2, address: 10.0.0.22, roles: [worker]}\n"); before != after {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// Passwords are in no plan and in no resource on its way, and files with them are for root only.
func TestPasswordsAreSecret(t *testing.T) {
	steps, _ := Steps(Input{Cluster: load(t, settings), Hosts: map[string]facts.Host{"w1": server}, Bundle: testBundle()})
	secret := []string{}
	for _, r := range steps[0].Resources {
		f, ok := r.(resource.File)
		if !ok {
			continue
		}
		if strings.Contains(string(f.Content), "Basic ") && (!f.Secret || f.Mode != 0o600) {
			t.Errorf("%s: secret: %t, mode %o, content %s", f.Path, f.Secret, f.Mode, f.Content)
		}
		if f.Secret {
			secret = append(secret, f.Path)
		}
	}
	want := []string{"/etc/containerd/certs.d/docker.io/hosts.toml", "/etc/containerd/certs.d/harbor.example/hosts.toml",
		// Without a password now; there may have been one.
		"/etc/containerd/certs.d/mirror.example:5000/hosts.toml", "/etc/containerd/certs.d/10.0.0.9:5000/hosts.toml"}
	if !slices.Equal(secret, want) {
		t.Errorf("secret are %q; want %q", secret, want)
	}
}

// What people put beside the settings is read; without being named it is not. A table takes in all that comes after it.
func TestSettingsOfPeopleAreRead(t *testing.T) {
	config := containerdConfig(load(t, ""), server, "pause")
	imports, table := strings.Index(config, `imports = ["/etc/containerd/conf.d/*.toml"]`), strings.Index(config, "\n[")
	if imports < 0 || table < imports {
		t.Errorf("the settings are\n%s", config)
	}
}

func TestImages(t *testing.T) {
	plane, member := []v1alpha1.Role{v1alpha1.ControlPlane}, []v1alpha1.Role{v1alpha1.Etcd}
	for _, c := range []struct {
		roles []v1alpha1.Role
		apart bool // members of etcd are on other hosts
		alone bool // control planes are no nodes
		want  string
	}{
		{plane, false, false, "coredns etcd flannel kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubewright-approver pause"},
		{plane, true, false, "coredns flannel kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubewright-approver pause"},
		{plane, false, true, "etcd kube-apiserver kube-controller-manager kube-scheduler pause"},
		{plane, true, true, "kube-apiserver kube-controller-manager kube-scheduler pause"},
		{member, true, false, "etcd pause"},
		{append(member, v1alpha1.Worker), true, false, "coredns etcd flannel kube-proxy kubewright-approver metrics-server pause"},
		{[]v1alpha1.Role{v1alpha1.Worker}, false, false, "coredns flannel kube-proxy kubewright-approver metrics-server pause"},
		{[]v1alpha1.Role{v1alpha1.LoadBalancer, v1alpha1.Worker}, false, true, "coredns flannel kube-proxy kubewright-approver metrics-server pause"},
	} {
		host := v1alpha1.Host{Name: "h", Roles: c.roles}
		model := &cluster.Cluster{Cluster: &v1alpha1.Cluster{ControlPlane: v1alpha1.ControlPlaneOptions{Standalone: c.alone}, Hosts: []v1alpha1.Host{host}}}
		if c.apart {
			model.Hosts = append(model.Hosts, v1alpha1.Host{Name: "e1", Roles: member})
		}
		var got []string
		for _, i := range imagesOf(testBundle(), model, host) {
			got = append(got, bundle.Part{Name: i.Name}.ShortName())
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %q; want %q", c.roles, got, c.want)
		}
	}
}

// What bundles are built with is known here: each image has roles, each program its place.
func TestBundlesAreKnown(t *testing.T) {
	components, err := filepath.Glob("../../../distro/*/component.yaml")
	if err != nil || len(components) == 0 {
		t.Fatal(err, len(components))
	}
	image := regexp.MustCompile(`(?m)^- name: \S*/(\S+)$`)
	place := regexp.MustCompile(`(?m)path: ([^,\s]+)`)
	name := regexp.MustCompile(`name: ([^,\s]+), package`)
	placed := 0
	for _, c := range components {
		content, err := os.ReadFile(c)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "\ntest: true\n") {
			continue
		}
		for _, m := range image.FindAllStringSubmatch(string(content), -1) {
			if len(images[m[1]]) == 0 {
				t.Errorf("%s: no role needs the image %s", c, m[1])
			}
		}
		for line := range strings.Lines(string(content)) {
			n, p := name.FindStringSubmatch(line), place.FindStringSubmatch(line)
			if n != nil && p != nil && slices.Contains(containerd().programs, n[1]) {
				placed++
				if "/"+p[1] != bundle.ProgramPath(n[1]) {
					t.Errorf("%s: %s is at %s; want %s", c, n[1], p[1], bundle.ProgramPath(n[1]))
				}
			}
		}
		if strings.Contains(c, "/cni/") {
			placed++
			if !strings.Contains(string(content), "path: "+bundle.ProgramPath("cni")[1:]+"\n") {
				t.Errorf("%s: cni is not at %s", c, bundle.ProgramPath("cni"))
			}
		}
	}
	if placed != len(containerd().programs) {
		t.Errorf("found the places of %d programs of %d", placed, len(containerd().programs))
	}
}

func TestBundlesHaveThePackages(t *testing.T) {
	collected, err := os.ReadFile("../../../distro/debian-12.yaml")
	if err != nil {
		t.Fatal(err)
	}
	packages := Packages(Input{Cluster: load(t, ""), Hosts: map[string]facts.Host{"cp1": {AppArmor: true}}})
	for _, name := range packages("cp1") {
		if !regexp.MustCompile(`(?m)^- ` + regexp.QuoteMeta(name) + `\b`).Match(collected) {
			t.Errorf("distro/debian-12.yaml collects no %s", name)
		}
	}
	if !slices.Contains(packages("cp1"), "apparmor") {
		t.Errorf("a host that confines programs by AppArmor gets %q", packages("cp1"))
	}
	if got := Packages(Input{Cluster: load(t, "")})("cp1"); slices.Contains(got, "apparmor") {
		t.Errorf("a host without AppArmor gets %q", got)
	}
	if got := packages("lb1"); got != nil {
		t.Errorf("a balancer needs %q", got)
	}
}

func TestBundlesThatLackSomething(t *testing.T) {
	b := testBundle()
	b.Parts = slices.DeleteFunc(b.Parts, func(p bundle.Part) bool { return p.Name == "runc" || p.ShortName() == "pause" })
	steps, problems := Steps(Input{Cluster: load(t, ""), Hosts: map[string]facts.Host{"cp1": server}, Bundle: b})
	var got []string
	for _, p := range problems {
		if !p.Blocks || p.Host != "" {
			t.Errorf("%+v does not stop everything", p)
		}
		got = append(got, p.Message)
	}
	want := []string{"the bundle of Kubernetes v1.37.1 has no program runc", "the bundle of Kubernetes v1.37.1 has no image pause"}
	if len(steps) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("problems are %q and there are %d steps", got, len(steps))
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"/var/lib/containerd": `"/var/lib/containerd"`,
		`a"b\c`:               `"a\"b\\c"`,
		"tab\tend\x7f":        `"tab\u0009end\u007F"`,
		"Größe":               `"Größe"`,
	} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s; want %s", s, got, want)
		}
	}
}
