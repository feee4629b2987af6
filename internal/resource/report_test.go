package resource_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func lay(t *testing.T, env *resource.Env, path, content string) {
	t.Helper()
	if err := env.Files.Write(path, resource.Attributes{Mode: 0o600}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

// Reports travel, and so does what they find.
func TestReportsTravel(t *testing.T) {
	api := resource.API{Servers: []string{"10.0.0.11:6443"}}
	for _, r := range []resource.Report{
		resource.CertificatesReport{}, resource.ClusterFileReport{}, resource.EtcdReport{URL: "https://127.0.0.1:2379"}, resource.StaticPodsReport{}, resource.NodesReport{API: api}, resource.RequestsReport{API: api},
		resource.LogsReport{Units: []string{"kubelet.service"}, Socket: "unix:///s", Lines: 7}, resource.KernelLogReport{Hours: 6}, resource.LogReport{Name: "etcd", Socket: "unix:///s", Lines: 7, Previous: true, After: "c 1"}, resource.SyncReport{Dir: "/var/lib/etcd", Limit: time.Second}, resource.RoomReport{Dirs: []string{"/"}}, resource.ListenersReport{}, resource.NameServersReport{Servers: []string{"192.0.2.1"}},
		resource.PathsReport{To: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, resource.ConflictsReport{Own: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
	} {
		e, err := resource.EncodeReport(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := resource.DecodeReport(e); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%#v arrives as %#v, %v", r, got, err)
		}
	}
	if _, err := resource.DecodeReport(resource.Encoded{Kind: "file"}); err == nil {
		t.Error("a file is taken for a report")
	}
}

func TestNodesReport(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(`{apiVersion: v1, kind: Node, metadata: {name: w1, labels: {node-role.kubernetes.io/worker: ""}}, spec: {unschedulable: true}, status: {
		conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: silent}, {type: DiskPressure, status: "True"}]}}`)
	a.Put(`{apiVersion: v1, kind: Node, metadata: {name: cp1, labels: {node-role.kubernetes.io/control-plane: ""}}, status: {
		conditions: [{type: Ready, status: "True"}], nodeInfo: {kubeletVersion: v1.37.1, containerRuntimeVersion: "containerd://2.4.2"},
		addresses: [{type: Hostname, address: cp1}, {type: InternalIP, address: 10.0.0.11}]}}`)
	got, err := resource.NodesReport{API: api}.Look(t.Context(), env)
	want := []resource.NodeFound{
		{Name: "cp1", Ready: true, Kubelet: "v1.37.1", Runtime: "containerd://2.4.2", Addresses: []string{"10.0.0.11"}, Roles: []string{"control-plane"}},
		{Name: "w1", Why: "NodeStatusUnknown: silent", Cordoned: true, Pressure: []string{"DiskPressure"}, Roles: []string{"worker"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it finds %+v, %v", got, err)
	}
	a.SetReady("[-]etcd failed")
	env.Kube = nil
	if _, err := (resource.NodesReport{API: api}).Look(t.Context(), env); err == nil || !strings.Contains(err.Error(), "etcd failed") {
		t.Errorf("without an API: %v", err)
	}
}

func TestRequestsReport(t *testing.T) {
	a, env, api := withAPI(t)
	const kind = "apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest"
	a.Put(`{` + kind + `, metadata: {name: csr-2, creationTimestamp: "2026-11-27T11:00:00Z"}, spec: {signerName: kubernetes.io/kubelet-serving, username: "system:node:w1"}}`)
	a.Put(`{` + kind + `, metadata: {name: csr-1}, status: {conditions: [{type: Approved, status: "True"}]}}`)
	got, err := resource.RequestsReport{API: api}.Look(t.Context(), env)
	want := []resource.RequestFound{{Name: "csr-2", Signer: "kubernetes.io/kubelet-serving", User: "system:node:w1", Since: time.Date(2026, 11, 27, 11, 0, 0, 0, time.UTC)}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it finds %+v, %v", got, err)
	}
}

func TestCertificatesReport(t *testing.T) {
	env := fake.New("m", nil).Env(nil)
	if got, err := (resource.CertificatesReport{}).Look(t.Context(), env); err != nil || len(got.([]resource.CertificateFound)) > 0 {
		t.Fatalf("a fresh machine has %v, %v", got, err)
	}
	ca := ours()
	lay(t, env, "/etc/kubernetes/pki/ca.crt", string(ca.Certificate))
	lay(t, env, "/etc/kubernetes/pki/ca.key", string(ca.Key))
	lay(t, env, "/etc/kubernetes/pki/etcd/server.crt", "rubbish")
	k := resource.Kubeconfig{Path: "/etc/kubernetes/admin.conf", Cluster: "c", Server: "https://x:6443",
		Request: pki.Request{Authority: pki.Kubernetes, CommonName: "kubernetes-admin", Client: true, Algorithm: pki.ECDSAP256, Validity: time.Hour}}
	env.Sign = signer(k)
	if err := k.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	found, err := resource.CertificatesReport{}.Look(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range found.([]resource.CertificateFound) {
		got = append(got, c.Path+" "+c.Name+" "+c.Problem)
		if c.Problem == "" && c.Authority != (c.Name == "kubernetes") || c.Name == "kubernetes-admin" && time.Until(c.Until) > time.Hour {
			t.Errorf("it finds %+v", c)
		}
	}
	want := "/etc/kubernetes/pki/ca.crt kubernetes |/etc/kubernetes/pki/etcd/server.crt  it holds no certificate|/etc/kubernetes/admin.conf kubernetes-admin "
	if strings.Join(got, "|") != want {
		t.Errorf("it finds %q", got)
	}
}

func TestStaticPodsReport(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	lay(t, env, "/etc/kubernetes/manifests/kube-scheduler.yaml", `{apiVersion: v1, kind: Pod, metadata: {name: kube-scheduler, annotations: {kubewright.dev/manifest: d1}},
		spec: {containers: [{name: kube-scheduler, image: "registry.k8s.io/kube-scheduler:v1.37.1"}]}}`)
	lay(t, env, "/etc/kubernetes/manifests/broken.yaml", "a: [")
	lay(t, env, "/etc/kubernetes/manifests/.kube-scheduler.yaml", "a copy")
	report := resource.StaticPodsReport{Socket: "unix:///run/runtime.sock"}
	if _, err := report.Look(t.Context(), env); err == nil {
		t.Error("without a container runtime, it knows how Pods are")
	}
	m.SetRuntime(report.Socket, &fake.Runtime{
		Pods: []*cri.PodSandbox{{Id: "p", State: cri.PodSandboxState_SANDBOX_READY, Metadata: &cri.PodSandboxMetadata{Name: "kube-scheduler-m"},
			Labels:      map[string]string{"io.kubernetes.pod.namespace": "kube-system"},
			Annotations: map[string]string{"kubernetes.io/config.source": "file", "kubewright.dev/manifest": "d1"}}},
		Containers: []*cri.Container{{Id: "c", PodSandboxId: "p", State: cri.ContainerState_CONTAINER_RUNNING, Metadata: &cri.ContainerMetadata{Name: "kube-scheduler"}}},
	})
	got, err := report.Look(t.Context(), env)
	want := []resource.StaticPodFound{{Name: "broken", Unwell: "broken.yaml is no Pod"}, {Name: "kube-scheduler", Image: "registry.k8s.io/kube-scheduler:v1.37.1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it finds %+v, %v", got, err)
	}
}

// A member that does not answer is a finding; credentials that are missing are none about the member.
func TestEtcdReport(t *testing.T) {
	env := fake.New("m", nil).Env(nil)
	r := resource.EtcdReport{URL: "https://127.0.0.1:1"}
	if _, err := r.Look(t.Context(), env); err == nil || !strings.Contains(err.Error(), "etcd cannot be asked") {
		t.Errorf("without certificates: %v", err)
	}
	lay(t, env, "/etc/kubernetes/pki/etcd/ca.crt", string(ours().Certificate))
	lay(t, env, "/etc/kubernetes/pki/etcd/healthcheck-client.crt", string(ours().Certificate))
	lay(t, env, "/etc/kubernetes/pki/etcd/healthcheck-client.key", string(ours().Key))
	got, err := r.Look(t.Context(), env)
	if s, ok := got.(etcd.Status); err != nil || !ok || s.ID != "" || !strings.Contains(s.Unwell, "connection refused") {
		t.Errorf("it finds %+v, %v", got, err)
	}
}

func TestFound(t *testing.T) {
	var f resource.Found
	id := resource.ID{Kind: "nodes", Name: "cluster"}
	var got []string
	if why := f.Get(id, &got); why == "" {
		t.Error("what nobody looked at is known")
	}
	f.Add(id, []string{"a"}, nil)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var there resource.Found
	if err := json.Unmarshal(b, &there); err != nil {
		t.Fatal(err)
	}
	if why := there.Get(id, &got); why != "" || len(got) != 1 {
		t.Errorf("it arrives as %v, %s", got, why)
	}
}

func TestKernelLogReport(t *testing.T) {
	m := fake.New("m", nil)
	m.SetProgram("journalctl", func(_ context.Context, c resource.Command) (resource.Output, error) {
		if slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--priority") }) {
			return resource.Output{}, nil // much of it is mere information to the kernel
		}
		return resource.Output{Stdout: `2026-11-27T10:00:00+0000 m kernel: oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=stress
2026-11-27T10:00:00+0000 m kernel: Memory cgroup out of memory: Killed process 7 (stress)
2026-11-27T10:00:01+0000 m kernel: Out of memory: Killed process 9 (etcd) total-vm:1kB
2026-11-27T10:00:02+0000 m kernel: blk_update_request: I/O error, dev sda, sector 1
2026-11-27T10:00:03+0000 m kernel: I/O error, dev sda, sector 2
2026-11-27T10:00:03+0000 m kernel: I/O error, dev fd0, sector 0
2026-11-27T10:00:04+0000 m kernel: nf_conntrack: nf_conntrack: table full, dropping packet
2026-11-27T10:00:05+0000 m kernel: ACPI: bus type unregistered
2026-11-27T10:00:06+0000 m kernel: INFO: task etcd:9 blocked for more than 120 seconds.
`}, nil
	})
	got, err := resource.KernelLogReport{Hours: 6}.Look(t.Context(), m.Env(nil))
	const at = "2026-11-27T10:00:0"
	want := []resource.KernelComplaint{
		{Kind: resource.OutOfMemory, Times: 1, Last: at + "1+0000 m kernel: Out of memory: Killed process 9 (etcd) total-vm:1kB"},
		{Kind: resource.DiskErrors, Times: 2, Last: at + "3+0000 m kernel: I/O error, dev sda, sector 2"},
		{Kind: resource.TooManyFlows, Times: 1, Last: at + "4+0000 m kernel: nf_conntrack: nf_conntrack: table full, dropping packet"},
		{Kind: resource.Stalls, Times: 1, Last: at + "6+0000 m kernel: INFO: task etcd:9 blocked for more than 120 seconds."},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it finds %+v, %v", got, err)
	}
	m.SetProgram("journalctl", func(context.Context, resource.Command) (resource.Output, error) {
		return resource.Output{Code: 1, Stderr: "No journal files were found.\n"}, nil
	})
	if _, err := (resource.KernelLogReport{}).Look(t.Context(), m.Env(nil)); err == nil || !strings.Contains(err.Error(), "No journal files") {
		t.Errorf("without a journal: %v", err)
	}
}

func TestLogReports(t *testing.T) {
	const socket = "unix:///run/runtime.sock"
	m := fake.New("m", nil)
	env := m.Env(nil)
	said := "2026-11-27T10:00:00+0000 m kubelet[7]: a\n2026-11-27T10:00:01+0000 m kubelet[7]: b\n-- cursor: s=1;i=2\n"
	var asked []string
	m.SetProgram("journalctl", func(_ context.Context, c resource.Command) (resource.Output, error) {
		asked = c.Args
		if strings.Contains(strings.Join(c.Args, " "), "nothing.service") {
			return resource.Output{Code: 1, Stderr: "-- No entries --\n"}, nil
		}
		return resource.Output{Stdout: said}, nil
	})
	m.DeclareUnit("kubelet.service", true, true)
	look := func(r resource.LogReport) (resource.LogFound, error) {
		r.Socket = socket
		found, err := r.Look(t.Context(), env)
		l, _ := found.(resource.LogFound)
		return l, err
	}

	l, err := look(resource.LogReport{Name: "kubelet.service", Lines: 5})
	if err != nil || l.Source != "unit kubelet.service" || len(l.Lines) != 2 || !strings.HasSuffix(l.Lines[1], "b") || l.Cursor != "s=1;i=2" {
		t.Errorf("%+v, %v", l, err)
	}
	said = ""
	if l, err = look(resource.LogReport{Name: "kubelet.service", Lines: 5, After: l.Cursor}); err != nil || len(l.Lines) != 0 || l.Cursor != "s=1;i=2" ||
		!strings.Contains(strings.Join(asked, " "), "--after-cursor=s=1;i=2") {
		t.Errorf("%+v, %v after asking %q", l, err, asked)
	}
	if _, err = look(resource.LogReport{Name: "nothing.service", Lines: 5}); err == nil || !strings.Contains(err.Error(), "systemd knows no unit nothing.service") {
		t.Error(err)
	}

	pod := func(id, name string) *cri.PodSandbox {
		source := map[string]string{"p1": "file", "p2": "api"}[id]
		return &cri.PodSandbox{Id: id, Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "kube-system"}, Annotations: map[string]string{"kubernetes.io/config.source": source}}
	}
	container := func(id, pod, name string, attempt uint32, created int64, s cri.ContainerState) *cri.Container {
		return &cri.Container{Id: id, PodSandboxId: pod, Metadata: &cri.ContainerMetadata{Name: name, Attempt: attempt}, CreatedAt: created, State: s}
	}
	m.SetRuntime(socket, &fake.Runtime{
		Pods: []*cri.PodSandbox{pod("p1", "etcd-m"), pod("p2", "web"), {Id: "p3", Metadata: &cri.PodSandboxMetadata{Name: "tenant", Namespace: "default"}}},
		Containers: []*cri.Container{
			container("c1", "p1", "etcd", 0, 1, cri.ContainerState_CONTAINER_EXITED), container("c2", "p1", "etcd", 1, 2, cri.ContainerState_CONTAINER_RUNNING),
			container("c3", "p2", "web", 0, 3, cri.ContainerState_CONTAINER_RUNNING), container("c4", "p3", "etcd", 0, 9, cri.ContainerState_CONTAINER_RUNNING),
		},
		Ended: map[string]*cri.ContainerStatus{"c1": {LogPath: "/var/log/1"}, "c2": {LogPath: "/var/log/2"}, "c3": {LogPath: "/var/log/3"}},
	})
	lay(t, env, "/var/log/1", "T stderr F dies\n")
	lay(t, env, "/var/log/2", "T stderr F one\nT stderr P tw\nT stderr F o\nT stdout F three\nT stderr F fo")
	l, err = look(resource.LogReport{Name: "etcd", Lines: 2})
	if err != nil || !reflect.DeepEqual(l.Lines, []string{"two", "three"}) || l.Source != "container etcd of Pod kube-system/etcd-m (running, attempt 2)" {
		t.Errorf("%+v, %v", l, err)
	}
	lay(t, env, "/var/log/2", "T stderr F one\nT stderr P tw\nT stderr F o\nT stdout F three\nT stderr F four\nT stdout F five\n")
	if l, err = look(resource.LogReport{Name: "etcd", Lines: 1, After: l.Cursor}); err != nil || !reflect.DeepEqual(l.Lines, []string{"four", "five"}) {
		t.Errorf("since then it said %+v, %v", l, err)
	}
	if l, err = look(resource.LogReport{Name: "etcd", Lines: 9, After: "c1 7"}); err != nil || len(l.Lines) != 5 {
		t.Errorf("of a container that is new it said %+v, %v", l, err)
	}
	if l, err = look(resource.LogReport{Name: "etcd", Lines: 9, Previous: true}); err != nil || !reflect.DeepEqual(l.Lines, []string{"dies"}) {
		t.Errorf("before, it said %+v, %v", l, err)
	}
	for name, r := range map[string]struct {
		resource.LogReport
		says string
	}{
		"none":        {resource.LogReport{Name: "none", Lines: 1}, "there are etcd, web"},
		"no previous": {resource.LogReport{Name: "web", Lines: 1, Previous: true}, "before the one that is there now (running)"},
		"gone":        {resource.LogReport{Name: "web", Lines: 1}, "/var/log/3 is not there"},
		"odd cursor":  {resource.LogReport{Name: "etcd", Lines: 1, After: "c2 x"}, "no cursor"},
	} {
		if _, err := look(r.LogReport); err == nil || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%s: %v", name, err)
		}
	}

	said = "x\n"
	all, err := resource.LogsReport{Socket: socket, Units: []string{"kubelet.service"}, Lines: 1}.Look(t.Context(), env)
	var got []string
	if logs, ok := all.([]resource.NamedLog); ok {
		for _, l := range logs {
			got = append(got, l.Name+": "+strings.Join(l.Lines, "|")+l.Problem)
		}
	}
	if want := "kernel: x, kubelet.service: x, web_web: its log /var/log/3 is not there: logs go with their containers, etcd: five, etcd.1: dies"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("it finds %q, %v", got, err)
	}
}
