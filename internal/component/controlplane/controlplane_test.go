package controlplane

import (
	"maps"
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

const hosts = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`

func load(t *testing.T, hosts, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nhosts:"+hosts+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testBundle() *bundle.Bundle {
	b := &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64"}
	for _, name := range []string{apiServer, controllerManager, scheduler} {
		b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Image, Name: "registry.k8s.io/" + name + ":v1.37.1",
			Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("c", 64)}.String()})
	}
	return b
}

func steps(t *testing.T, c *cluster.Cluster, f facts.Host) ([]plan.Step, []plan.Problem) {
	t.Helper()
	s, problems := Steps(Input{Cluster: c, Hosts: map[string]facts.Host{"cp1": f, "w1": f}, Bundle: testBundle(), RuntimeEndpoint: "unix:///run/containerd/containerd.sock",
		After: func(host string) []plan.Condition { return []plan.Condition{{Name: "etcd of " + host + " answers"}} }})
	if err := plan.Check(s, []plan.Group{{Name: cluster.ControlPlanes, AtOnce: 1}}); err != nil {
		t.Error(err)
	}
	return s, problems
}

const settings = `
endpoint: {name: kube.example}
network:
  podRanges: ["fd00:10:244::/56", 10.244.0.0/16]
  serviceRanges: ["fd00:10:96::/112", 10.96.0.0/16]
  dnsDomain: prod.example
apiServer:
  port: 8443
  extraSANs: [198.51.100.7, "*.kube.example", 10.0.0.11]
  extraArgs: {authentication-config: /etc/kubernetes/pki/mine.yaml, enable-admission-plugins: "NodeRestriction,AlwaysPullImages"}
controllerManager: {extraArgs: {bind-address: "::", terminated-pod-gc-threshold: "100"}}
scheduler: {extraArgs: {v: "4"}}
certificates: {algorithm: RSA-2048, validity: 720h}
encryption: {provider: none}
audit: {disabled: true}
cloudProvider: external
`

func TestSteps(t *testing.T) {
	elsewhere := []v1alpha1.Host{{Name: "e1", InternalAddresses: []string{"10.0.0.31"}, Roles: []v1alpha1.Role{v1alpha1.Etcd}}}
	for _, c := range []struct {
		name, hosts, more string
		facts             facts.Host
		etcd              []v1alpha1.Host
	}{
		{"debian", hosts, "", facts.Host{Packages: "apt"}, nil},
		{"rocky-settings", `
- {name: cp1, address: cp1.example, internalAddresses: ["fd00::11", 10.0.0.11], roles: [control-plane, worker]}
`, settings, facts.Host{Packages: "dnf"}, nil},
		{"etcd-elsewhere", hosts, "audit: {maxAge: 7, maxBackup: 3, maxSize: 50}\n", facts.Host{Packages: "apt"}, elsewhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.hosts, c.more)
			model.Hosts = append(model.Hosts, c.etcd...)
			s, problems := steps(t, model, c.facts)
			plantest.Golden(t, c.name, s, problems)
		})
	}
}

func manifest(t *testing.T, c *cluster.Cluster, program string) string {
	t.Helper()
	s, _ := steps(t, c, facts.Host{Packages: "apt"})
	for _, r := range s[0].Resources {
		if f, ok := r.(resource.File); ok && strings.HasSuffix(f.Path, "/manifests/"+program+".yaml") {
			return string(f.Content)
		}
	}
	t.Fatalf("there is no manifest of %s", program)
	return ""
}

// API servers beside which there is no kube-proxy find aggregated ones at the addresses of their Pods; others go by Services.
func TestAggregatedAPIsOfStandaloneControlPlanes(t *testing.T) {
	const flag = "--enable-aggregator-routing=true"
	alone := load(t, hosts, "controlPlane: {standalone: true}\n")
	if got := manifest(t, alone, apiServer); !strings.Contains(got, flag) {
		t.Errorf("there is no %s in\n%s", flag, got)
	}
	if got := manifest(t, load(t, hosts, ""), apiServer); strings.Contains(got, flag) {
		t.Errorf("there is %s in\n%s", flag, got)
	}
	if Programs(alone)[apiServer].Flags["enable-aggregator-routing"] != "true" {
		t.Error("kubeadm is not told of it")
	}
}

// Nothing that Kubewright itself writes into manifests is taken for a secret.
func TestManifestsAreShownWhole(t *testing.T) {
	s, _ := steps(t, load(t, hosts, ""), facts.Host{Packages: "apt"})
	seen := 0
	for _, r := range s[0].Resources {
		f, ok := r.(resource.File)
		if !ok || !f.ShowMasked {
			continue
		}
		seen++
		changes := f.Diff(resource.Observed{State: resource.Absent})
		if len(changes) != 1 || !slices.Equal(changes[0].Lines, resource.DiffLines("", string(f.Content))) {
			t.Errorf("%s is shown as %+v", f.Path, changes)
		}
	}
	if seen != 3 {
		t.Errorf("there are %d manifests", seen)
	}
}

// What API servers read only when they start is part of what they are; the others do not care.
func TestSettingsOfAPIServersStartThemAnew(t *testing.T) {
	before, after := load(t, hosts, ""), load(t, hosts, "audit: {maxAge: 7}\n")
	if manifest(t, before, apiServer) == manifest(t, after, apiServer) {
		t.Error("another age of audit files changes nothing")
	}
	for _, other := range []string{controllerManager, scheduler} {
		if manifest(t, before, other) != manifest(t, after, other) {
			t.Errorf("%s is started anew by a setting of API servers", other)
		}
	}
}

// The policy of the user's stands in the place of Kubewright's, and API servers read it when they start.
func TestAuditPolicyOfTheUser(t *testing.T) {
	ours, theirs := load(t, hosts, ""), load(t, hosts, "")
	theirs.AuditPolicy = []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n")
	if manifest(t, ours, apiServer) == manifest(t, theirs, apiServer) {
		t.Error("API servers are not started anew by another policy")
	}
	s, _ := steps(t, theirs, facts.Host{})
	for _, r := range s[0].Resources {
		if f, ok := r.(resource.File); ok && f.Path == AuditPolicyFile && string(f.Content) == string(theirs.AuditPolicy) {
			return
		}
	}
	t.Error("the user's policy is not there")
}

// Programs says of each what kubeadm has to be told: all that TestLikeKubeadm (internal/converge) finds to be different in manifests.
func TestPrograms(t *testing.T) {
	for _, c := range []struct {
		name, more string
		want       map[string]string // flags and volumes, in order
	}{
		{"standard", "", map[string]string{
			apiServer: "audit-log-maxage audit-log-maxbackup audit-log-maxsize audit-log-path audit-policy-file authentication-config encryption-provider-config kubelet-certificate-authority" +
				" + authentication audit-policy audit-logs encryption",
			controllerManager: "node-cidr-mask-size +"}},
		{"little", "audit: {disabled: true}\nencryption: {provider: none}\ncloudProvider: external\ncertificates: {validity: 720h}\n", map[string]string{
			apiServer: "authentication-config kubelet-certificate-authority + authentication", controllerManager: "cloud-provider cluster-signing-duration node-cidr-mask-size +"}},
		{"events apart", "audit: {disabled: true}\nencryption: {provider: none}\netcd: {events: {hosts: [cp1]}}\n", map[string]string{
			apiServer: "authentication-config etcd-servers-overrides kubelet-certificate-authority + authentication", controllerManager: "node-cidr-mask-size +"}},
	} {
		got := map[string]string{}
		model := load(t, hosts, c.more)
		for name, p := range Programs(model) {
			words := append(slices.Sorted(maps.Keys(p.Flags)), "+")
			text := manifest(t, model, name)
			for flag, value := range p.Flags {
				if !strings.Contains(text, "--"+flag+"="+value+"\n") {
					t.Errorf("%s: %s is not run with %s=%s", c.name, name, flag, value)
				}
			}
			for _, m := range p.Mounts {
				words = append(words, m.Name)
				if !strings.Contains(text, "mountPath: "+m.Path+"\n") {
					t.Errorf("%s: %s does not see %s", c.name, name, m.Path)
				}
			}
			got[name] = strings.Join(words, " ")
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

// One more control plane touches no other, nor does one more worker.
func TestOneMoreHostTouchesNoOther(t *testing.T) {
	for _, more := range []string{"- {name: w2, address: 10.0.0.22, roles: [worker]}\n",
		"- {name: cp2, address: 10.0.0.12, roles: [control-plane]}\n- {name: cp3, address: 10.0.0.13, roles: [control-plane]}\n"} {
		before, _ := steps(t, load(t, hosts, ""), facts.Host{})
		after, _ := steps(t, load(t, hosts+more, ""), facts.Host{})
		if a, b := plantest.Render(t, before, nil), plantest.Render(t, after, nil); a != b {
			t.Errorf("with %s it is\n%s", more, strings.Join(resource.DiffLines(a, b), "\n"))
		}
	}
}

// A file of the user's about who may ask stands in the place of Kubewright's.
func TestAuthenticationOfTheUser(t *testing.T) {
	for _, c := range []struct {
		name, args, path string
	}{
		{"none", `{v: "2"}`, authenticationFile},
		{"file", `{authentication-config: /etc/kubernetes/mine.yaml}`, "/etc/kubernetes/mine.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, hosts, "apiServer: {extraArgs: "+c.args+"}\n")
			s, problems := steps(t, model, facts.Host{})
			if len(problems) > 0 {
				t.Errorf("problems are %v", problems)
			}
			text := manifest(t, model, apiServer)
			for _, want := range []string{"--authentication-config=" + c.path + "\n", "mountPath: " + c.path + "\n", "path: " + c.path + "\n"} {
				if !strings.Contains(text, want) {
					t.Errorf("there is no %q in\n%s", want, text)
				}
			}
			there := slices.ContainsFunc(s[0].Resources, func(r resource.Resource) bool { return r.ID().Name == authenticationFile })
			if ours := c.path == authenticationFile; there != ours {
				t.Errorf("Kubewright's file is there: %t; want %t", there, ours)
			}
		})
	}
}

func TestBundleThatLacksImages(t *testing.T) {
	b := testBundle()
	b.Parts = b.Parts[1:2]
	s, problems := Steps(Input{Cluster: load(t, hosts, ""), Hosts: map[string]facts.Host{"cp1": {}}, Bundle: b})
	var got []string
	for _, p := range problems {
		if !p.Blocks || p.Host != "" {
			t.Errorf("%+v does not stop everything", p)
		}
		got = append(got, p.Message)
	}
	want := []string{"the bundle of Kubernetes v1.37.1 has no image kube-apiserver", "the bundle of Kubernetes v1.37.1 has no image kube-scheduler"}
	if len(s) > 0 || !slices.Equal(got, want) {
		t.Errorf("%d steps, problems %q", len(s), got)
	}
}
