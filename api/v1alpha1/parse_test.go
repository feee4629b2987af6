package v1alpha1

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const small = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: home
hosts:
- name: m1
  address: 198.18.0.11
  roles: [control-plane, worker]
`

// Each file in testdata is a cluster file; what is wrong with it stands in the file of the same name that ends with .problems, which
// is empty where nothing is.
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("cluster files are %q, %v", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			c, err := Parse("cluster.yaml", content)
			var invalid InvalidError
			switch {
			case errors.As(err, &invalid):
				got = invalid.Error() + "\n"
			case err != nil:
				t.Fatal(err)
			case c == nil:
				t.Fatal("neither a cluster nor an error")
			}
			golden := strings.TrimSuffix(f, ".yaml") + ".problems"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("problems are\n%s\nnot\n%s", got, want)
			}
		})
	}
}

// A file that says only what it must has its defaults.
func TestDefaults(t *testing.T) {
	c, err := Parse("cluster.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	h := c.Hosts[0]
	if h.SSH != (SSH{}) || !slices.Equal(h.InternalAddresses, []string{"198.18.0.11"}) {
		t.Errorf("the host is %+v", h)
	}
	p := c.HostPreparation
	if !*p.Hostname || *p.Swap || p.Firewall != Open || p.SELinux != Permissive || p.OpenFiles != 1_048_576 || p.JournalSize != "1G" {
		t.Errorf("host preparation is %+v", p)
	}
	if c.TimeSync.Mode != "leave" || c.Runtime.Name != "containerd" || c.Runtime.Root != "/var/lib/containerd" || c.Runtime.MaxConcurrentDownloads != 3 {
		t.Errorf("the rest is %+v %+v", c.TimeSync, c.Runtime)
	}
	want := &Cluster{
		Endpoint: Endpoint{Kind: LocalEndpoint, Name: "api.home.internal"},
		Network: Network{PodRanges: []string{"10.244.0.0/16"}, ServiceRanges: []string{"10.96.0.0/16"}, NodeMask: 24, NodeMaskIPv6: 64, DNSDomain: "cluster.local", Plugin: Flannel,
			Flannel: FlannelOptions{Backend: VXLAN, Port: 8472}, Masquerade: new(true)},
		Etcd:         EtcdOptions{Quota: "8Gi", CompactionRetention: "8h", CompactionMode: "periodic", DataDir: "/var/lib/etcd", ClientPort: 2379, PeerPort: 2380},
		APIServer:    APIServer{Port: 6443},
		KubeProxy:    KubeProxy{Mode: NFTables},
		Kubelet:      Kubelet{MaxPods: 110},
		Certificates: Certificates{Algorithm: ECDSAP256, Validity: "8760h", AuthorityValidity: "87600h"},
		Encryption:   Encryption{Provider: Secretbox, Resources: []string{"secrets"}},
		Audit:        Audit{MaxAge: 30, MaxBackup: 10, MaxSize: 100},
		Addons:       Addons{CoreDNS: CoreDNS{Replicas: 1}, MetricsServer: MetricsServer{Replicas: 1}},
	}
	for _, part := range [][2]any{
		{c.KubernetesVersion, want.KubernetesVersion}, {c.Endpoint, want.Endpoint}, {c.Network, want.Network}, {c.Etcd, want.Etcd}, {c.APIServer, want.APIServer},
		{c.ControllerManager, want.ControllerManager}, {c.Scheduler, want.Scheduler}, {c.KubeProxy, want.KubeProxy}, {c.Kubelet, want.Kubelet}, {c.Certificates, want.Certificates},
		{c.Encryption, want.Encryption}, {c.Audit, want.Audit}, {c.Addons, want.Addons}, {c.CloudProvider, want.CloudProvider},
	} {
		if !reflect.DeepEqual(part[0], part[1]) {
			t.Errorf("the default is %+v, not %+v", part[0], part[1])
		}
	}
}

// Defaults that hang on others.
func TestDependentDefaults(t *testing.T) {
	more := "endpoint: {kind: keepalived, address: 198.18.0.10}\n" + strings.Replace(small, "- name: m1\n", "- {name: l1, address: 10.0.0.9, roles: [loadbalancer]}\n- name: m1\n", 1)
	for _, c := range []struct {
		file string
		got  func(*Cluster) any
		want any
	}{
		{more, func(c *Cluster) any { return c.Addons.CoreDNS.Replicas }, 1},
		{more + "- {name: w1, address: 10.0.0.8, roles: [worker]}\n- {name: w2, address: 10.0.0.7, roles: [worker]}\n", func(c *Cluster) any { return c.Addons.CoreDNS.Replicas }, 2},
		{small + "etcd: {compactionMode: revision}\n", func(c *Cluster) any { return c.Etcd.CompactionRetention }, "10000"},
		{small + "network: {masquerade: false}\n", func(c *Cluster) any { return *c.Network.Masquerade }, false},
	} {
		parsed, err := Parse("cluster.yaml", []byte(c.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.got(parsed); got != c.want {
			t.Errorf("it is %v, not %v, in\n%s", got, c.want, c.file)
		}
	}
}

// Fields that may have any value hold what JSON would.
func TestAnyValues(t *testing.T) {
	c, err := Parse("cluster.yaml", []byte(small+`kubelet:
  config:
    text: on
    quoted: "1"
    yes: true
    whole: -7
    hex: 0x10
    part: 1.5
    nothing: ~
    list: [a, 1, {b: [c]}]
    shared: &shared {a: 1, b: {c: d}}
    same: *shared
    merged: {<<: *shared, a: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	shared := map[string]any{"a": int64(1), "b": map[string]any{"c": "d"}}
	want := map[string]any{
		"text": "on", "quoted": "1", "yes": true, "whole": int64(-7), "hex": int64(16), "part": 1.5,
		"list":   []any{"a", int64(1), map[string]any{"b": []any{"c"}}},
		"shared": shared, "same": shared, "merged": map[string]any{"a": int64(2), "b": map[string]any{"c": "d"}},
	}
	if !reflect.DeepEqual(c.Kubelet.Config, want) {
		t.Errorf("it is %#v, not %#v", c.Kubelet.Config, want)
	}
	for _, c := range []struct{ config, says string }{
		{"[a]", "cluster.yaml:8:19: kubelet.config: it is a list; want names with values"},
		{"{a: &a {b: *a}}", "nested too deep"},
		{strings.Repeat("{a: ", 20) + "1" + strings.Repeat("}", 20), "nested too deep"},
		{"{a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a], c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b], d: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]}",
			"too many values"},
		{"{" + strings.Repeat("k", 254) + ": 1}", "kubelet.config: a name has 254; want names of 1 to 253 characters"},
		{"{a: {x: 1, x: 2}}", "cluster.yaml:8:30: kubelet.config.a.x: it is given twice"},
	} {
		if _, err := Parse("cluster.yaml", []byte(small+"kubelet: {config: "+c.config+"}\n")); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.100s: %v; want %q", c.config, err, c.says)
		}
	}
}

// The directory of etcd belongs to nobody else.
func TestDataDirOfEtcd(t *testing.T) {
	for dir, ok := range map[string]bool{
		"/var/lib/etcd": true, "/data/etcd": true, "/mnt/ssd/etcd": true, "/data/containerd": false, "/data/containerd/etcd": false, "/data": false, "/var/lib": false,
		"/var/lib/kubelet": false, "/etc/etcd": false, "/run/etcd": false, "etcd": false, "/data/etcd/": false, "/var/lib/containerd": false,
	} {
		_, err := Parse("cluster.yaml", []byte(small+"runtime: {root: /data/containerd}\netcd:\n  dataDir: "+dir+"\n"))
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "cluster.yaml:10:12: etcd.dataDir: ") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := Parse("cluster.yaml", []byte(small+"runtime: {root: /var/lib/etcd}\n")); err == nil {
		t.Error("etcd and containerd may have one directory")
	}
}

// Nothing is refused twice: what is Kubewright's own is the name of a flag, or of a field, and listed once.
func TestOwned(t *testing.T) {
	for name, list := range map[string][]owned{"etcd": etcdFlags, "API server": apiServerFlags, "controller manager": controllerManagerFlags, "scheduler": managerFlags} {
		for _, o := range list {
			if !flagName().MatchString(strings.TrimRight(o.name, "-*")) {
				t.Errorf("%s: %q is no flag", name, o.name)
			}
		}
	}
	for name, list := range map[string][]owned{"etcd": etcdFlags, "API server": apiServerFlags, "controller manager": controllerManagerFlags, "scheduler": managerFlags,
		"kubelet": kubeletFields, "kube-proxy": kubeProxyFields} {
		for i, o := range list {
			if (o.instead == "") == (o.why == "") {
				t.Errorf("%s: %s needs a field or a reason", name, o.name)
			}
			if slices.ContainsFunc(list[:i], func(other owned) bool { return other.name == o.name }) {
				t.Errorf("%s: %s is listed twice", name, o.name)
			}
		}
	}
}

func TestRangesOfHosts(t *testing.T) {
	_, err := Parse("cluster.yaml", []byte(strings.Replace(small, "- name: m1\n", `- name: worker[008-010]
  address: 10.0.0.254-10.0.1.0
  internalAddresses: ["172.16.0.[8-10]", "fd00::[8-9]"]
  roles: [worker]
- name: m1
`, 1)))
	if err == nil || !strings.Contains(err.Error(), `hosts[0].internalAddresses[1]: "fd00::[8-9]" stands for 2 addresses; want 3`) {
		t.Fatalf("a range that is too short: %v", err)
	}
	c, err := Parse("cluster.yaml", []byte(strings.Replace(small, "- name: m1\n", `- name: worker[008-010]
  address: 10.0.0.254-10.0.1.0
  internalAddresses: ["172.16.0.[8-10]", "fd00::8-fd00::a"]
  ssh: {user: admin}
  roles: [worker]
- name: m1
`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range c.Hosts {
		got = append(got, strings.Join(append([]string{h.Name, h.SSH.User, h.Address}, h.InternalAddresses...), " "))
	}
	want := []string{"worker008 admin 10.0.0.254 172.16.0.8 fd00::8", "worker009 admin 10.0.0.255 172.16.0.9 fd00::9", "worker010 admin 10.0.1.0 172.16.0.10 fd00::a", "m1  198.18.0.11 198.18.0.11"}
	if !slices.Equal(got, want) {
		t.Errorf("hosts are %q", got)
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		in    string
		first string
		last  string
		n     int
		says  string
	}{
		{"m1", "m1", "m1", 1, ""},
		{"w[1-3]", "w1", "w3", 3, ""},
		{"w[08-11].example", "w08.example", "w11.example", 4, ""},
		{"10.0.0.250-10.0.1.5", "10.0.0.250", "10.0.1.5", 12, ""},
		{"fd00::fe-fd00::101", "fd00::fe", "fd00::101", 4, ""},
		{"255.255.255.254-255.255.255.255", "255.255.255.254", "255.255.255.255", 2, ""},
		{"w[3-1]", "", "", 0, "ends before"},
		{"w[1-3", "", "", 0, "no range"},
		{"w[1-3][1-3]", "", "", 0, "no range"},
		{"w[1-10001]", "w1", "", 0, "more than"},
		{"w[1-99999999999999999999]", "", "", 0, "too large"},
		{"10.0.0.1-fd00::1", "", "", 0, "one family"},
		{"10.0.0.0-10.255.255.255", "", "", 0, "more than"},
		{"10.0.0.9-10.0.0.1", "", "", 0, "ends before"},
	} {
		got, err := expandAddress(c.in)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.in, err)
			}
			continue
		}
		if err != nil || len(got) != c.n || got[0] != c.first || got[len(got)-1] != c.last {
			t.Errorf("%s: %q, %v", c.in, got, err)
		}
	}
}

// Every field has a name in files, and is documented where it is defined, with its default if it may be left out.
func TestFieldsAreDocumented(t *testing.T) {
	var source []byte
	for _, file := range []string{"cluster.go", "kubernetes.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, b...)
	}
	var look func(of reflect.Type)
	seen := map[reflect.Type]bool{}
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name != strings.ToLower(name[:1])+name[1:] {
				t.Errorf("%s.%s has no name in files", of, f.Name)
			}
			if !regexp.MustCompile(`\t// ` + f.Name + ` .*\n(\t//.*\n)*\t` + f.Name + ` `).Match(source) {
				t.Errorf("%s.%s is not documented", of, f.Name)
			}
			look(f.Type)
		}
	}
	look(reflect.TypeFor[Cluster]())
}

// Small files must not become large ones.
func TestLargeFiles(t *testing.T) {
	var names strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&names, "k.n%d: v, ", i)
	}
	for _, c := range []struct{ content, says string }{
		{small + "hostPreparation:\n  sysctls:\n    <<:\n    - &a {" + names.String() + "}\n" + strings.Repeat("    - *a\n", 1200), "too large"},
		{strings.Replace(small, "hosts:\n", "hosts:\n- &w {name: \"w[1-10000]\", address: \"w[1-10000]\", roles: [worker]}\n"+strings.Repeat("- *w\n", 60), 1), "at most 10000"},
	} {
		if _, err := Parse("cluster.yaml", []byte(c.content)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("it says %.200v, not %q", err, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("a: &a [*a, *a]\n<<: *a\n"))
	f.Add([]byte("&a {<<: *a, hosts: [&b {<<: [*a, *b]}]}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Parse("cluster.yaml", content)
		var invalid InvalidError
		switch {
		case err == nil && (c == nil || len(c.Hosts) == 0 || c.Name == ""):
			t.Errorf("it is taken for a cluster: %+v", c)
		case err != nil && (!errors.As(err, &invalid) || len(invalid.Problems) == 0):
			t.Errorf("%v is no list of problems", err)
		}
		for _, p := range invalid.Problems {
			if p.Line < 1 || p.Column < 1 || p.Wrong == "" {
				t.Errorf("a problem without a place or reason: %+v", p)
			}
		}
	})
}

func TestRangesOfServerHosts(t *testing.T) {
	c, err := Parse("cluster.yaml", []byte(strings.Replace(small, "- name: m1\n", "- {name: \"t[1-2]\", address: \"10.0.0.[1-2]\", roles: [worker]}\n- name: m1\n", 1)+"timeSync: {serverHosts: [m1, \"t[1-2]\"]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.TimeSync.Mode != "chrony" {
		t.Errorf("with server hosts the mode is %q; want chrony", c.TimeSync.Mode)
	}
	if want := []string{"m1", "t1", "t2"}; !slices.Equal(c.TimeSync.ServerHosts, want) {
		t.Errorf("server hosts are %q; want %q", c.TimeSync.ServerHosts, want)
	}
}

// The directory of containers belongs to nobody else.
func TestRuntimeRoot(t *testing.T) {
	for root, ok := range map[string]bool{
		"/data/containerd": true, "/var/lib/containerd": true, "/var/lib/containers/storage": true, "/srv/containerd": true, "/mnt/disk/containerd": true,
		"/": false, "/data": false, "/var": false, "/var/lib": false, "/var/log": false, "/var/run": false, "/home": false, "/opt": false, "/root": false,
		"/etc/containerd": false, "/usr/lib/containerd": false, "/run/containerd": false, "/tmp/containerd": false, "/dev/shm/containerd": false, "/proc/1": false,
		"/boot/efi": false, "/lib/modules": false, "/var/run/x": false, "/var/lib/kubelet": false, "/var/lib/dpkg": false, "data": false, "/data/": false, "/data/../etc": false,
	} {
		_, err := Parse("cluster.yaml", []byte(small+"runtime:\n  root: "+root+"\n"))
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "cluster.yaml:9:9: runtime.root: ") {
			t.Errorf("%s: %v", root, err)
		}
	}
}

// The kernel refuses limits of open files above fs.nr_open.
func TestOpenFilesFitTheKernel(t *testing.T) {
	for _, c := range []struct {
		preparation, says string
	}{
		{"sysctls: {fs.nr_open: \"1048576\"}", ""},
		{"sysctls: {fs.nr_open: \"\"}", ""},
		{"sysctls: {fs.file-max: \"1\"}", ""},
		{"{openFiles: 65536, sysctls: {fs.nr_open: \"65536\"}}", ""},
		{"sysctls: {fs.nr_open: \"65536\"}", "hostPreparation.sysctls.fs.nr_open: \"65536\" is less than processes may open; want at least 1048576, as hostPreparation.openFiles is"},
		{"sysctls: {fs/nr_open: \"65536\"}", "want at least 1048576"},
		{"{openFiles: 65536, sysctls: {fs.nr_open: \"65535\"}}", "want at least 65536"},
		{"sysctls: {fs.nr_open: much}", "want at least 1048576"},
	} {
		text := small + "hostPreparation: " + c.preparation + "\n"
		if !strings.HasPrefix(c.preparation, "{") {
			text = small + "hostPreparation: {" + c.preparation + "}\n"
		}
		_, err := Parse("cluster.yaml", []byte(text))
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.preparation, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "cluster.yaml:8:")):
			t.Errorf("%s: %v; want %q", c.preparation, err, c.says)
		}
	}
}
