package etcd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

const allMembers = "cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380,cp3=https://10.0.0.13:2380"

// host has what a word of each of these says: authority, data, formed, manifest.
func host(has ...string) facts.Host {
	var k facts.Kubernetes
	for _, what := range has {
		switch what {
		case "authority":
			k.Authorities = map[string]facts.Authority{"etcd/ca": {Certificate: "PEM"}}
		case "manifest":
			k.Manifests = map[string]string{"kube-apiserver.yaml": "image", "etcd.yaml": "image"}
			k.Etcd.InitialCluster = allMembers
		case "data":
			k.Etcd.Data, k.Etcd.Log = true, true
		case "data with cp4":
			k.Etcd = facts.Etcd{Data: true, Log: true, InitialCluster: allMembers + ",cp4=https://10.0.0.14:2380"}
		case "data of cp1 alone":
			k.Etcd = facts.Etcd{Data: true, Log: true, InitialCluster: "cp1=https://10.0.0.11:2380"}
		case "formed":
			k.Formed = true
		default:
			panic(what)
		}
	}
	return facts.Host{Kubernetes: k}
}

func TestGuard(t *testing.T) {
	bare, began, lives := host(), host("authority", "manifest", "data"), host("authority", "manifest", "data", "formed")
	elsewhere := host("authority", "manifest", "data", "formed")
	elsewhere.Kubernetes.Etcd.DataDir = "/data/etcd"
	for _, c := range []struct {
		name          string
		cp1, cp2, cp3 *facts.Host // nil did not answer
		worker        facts.Host
		want          []string // "host: message" of what blocks; part of it
	}{
		{name: "new", cp1: &bare, cp2: &bare, cp3: &bare},
		{name: "new, one does not answer", cp1: &bare, cp3: &bare, want: []string{": cp2 does not answer"}},
		{name: "new, two do not answer", cp3: &bare, want: []string{": cp1 and cp2 do not answer"}},
		{name: "foreign manifests", cp1: &bare, cp2: new(host("manifest")), cp3: &bare, want: []string{": cp2 has manifests of static Pods (etcd.yaml, kube-apiserver.yaml)"}},
		{name: "data of nobody", cp1: &bare, cp2: new(host("data", "manifest")), cp3: new(host("data")), want: []string{": cp2 and cp3 have data of etcd"}},
		{name: "data of nobody, one does not answer", cp1: &bare, cp2: new(host("data")), want: []string{": cp3 does not answer"}},

		{name: "begun: authorities are there", cp1: new(host("authority")), cp2: &bare, cp3: &bare},
		{name: "begun: manifests are there", cp1: new(host("authority", "manifest")), cp2: new(host("authority")), cp3: &bare},
		{name: "begun, and one does not answer", cp1: new(host("authority")), cp2: &bare, want: []string{": cp3 does not answer"}},
		{name: "begun: a member runs", cp1: &began, cp2: new(host("authority", "manifest")), cp3: new(host("authority"))},
		{name: "begun: a member runs, one does not answer", cp1: &began, cp2: new(host("authority")), want: []string{": cp3 does not answer"}},
		{name: "begun with other hosts", cp1: new(host("authority", "data of cp1 alone")), cp2: new(host("authority")), cp3: new(host("authority")),
			want: []string{": the cluster was begun with etcd on cp1 and was never whole, and the cluster file has etcd on cp1, cp2 and cp3 now"}},
		{name: "begun with a host that is not in the file", cp1: new(host("authority", "data with cp4")), cp2: new(host("authority")), cp3: new(host("authority")),
			want: []string{": the cluster was begun with etcd on cp1, cp2, cp3 and cp4 and was never whole"}},
		{name: "begun, the manifest is gone", cp1: new(host("authority", "data")), cp2: new(host("authority")), cp3: new(host("authority"))},

		{name: "living", cp1: &lives, cp2: &lives, cp3: &lives},
		{name: "living, with the data elsewhere", cp1: &elsewhere, cp2: &lives, cp3: &lives, want: []string{"cp1: its etcd member has its data in /data/etcd, and the file says /var/lib/etcd"}},
		{name: "living, one does not answer", cp1: &lives, cp2: &lives},
		{name: "living, most do not answer", cp1: &lives},
		{name: "living, data is gone", cp1: &lives, cp2: new(host("authority", "manifest", "formed")), cp3: &lives, want: []string{"cp2: the data of its etcd member is gone"}},
		{name: "living, a machine was installed anew", cp1: &lives, cp2: &bare, cp3: &lives, want: []string{"cp2: the data of its etcd member is gone"}},
		{name: "living, all data is gone", cp1: new(host("formed")), cp2: new(host("formed")), cp3: new(host("formed")),
			want: []string{"cp1: the data", "cp2: the data", "cp3: the data"}},
		{name: "living, most data is gone", cp1: &lives, cp2: new(host("formed")), cp3: new(host("formed")), want: []string{"cp2: the data", "cp3: the data"}},
		{name: "living, and hosts are added", cp1: new(host("authority", "formed", "data of cp1 alone")), cp2: &bare, cp3: &bare,
			want: []string{"cp2: it shall carry a member of etcd that the cluster does not have", "cp3: it shall carry"}},
		{name: "a host that carries no member remembers", cp1: &bare, cp2: &bare, cp3: &bare, worker: host("formed"),
			want: []string{"cp1: it shall carry", "cp2: it shall carry", "cp3: it shall carry"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hosts := map[string]facts.Host{"w1": c.worker}
			for name, h := range map[string]*facts.Host{"cp1": c.cp1, "cp2": c.cp2, "cp3": c.cp3} {
				if h != nil {
					hosts[name] = *h
				}
			}
			cl := load(t, three, "")
			problems := Guard(cl, cl.MainEtcd(), hosts)
			if len(problems) != len(c.want) {
				t.Fatalf("problems are\n%s\nwant %q", text(problems), c.want)
			}
			for i, p := range problems {
				if !p.Blocks || p.Remedy == "" || p.Loss != "" || !strings.HasPrefix(p.Host+": "+p.Message, c.want[i]) {
					t.Errorf("problem is\n%s\nwant %s", text(problems[i:i+1]), c.want[i])
				}
			}
		})
	}
}

// Members that live keep their ports, unless the file was not changed and somebody's hand was at one of them.
func TestGuardOfPorts(t *testing.T) {
	at := func(client, peer string) facts.Host {
		h := host("authority", "manifest", "data", "formed")
		h.Kubernetes.Etcd.ClientURL, h.Kubernetes.Etcd.PeerURL = "https://10.0.0.11:"+client, "https://10.0.0.11:"+peer
		return h
	}
	for _, c := range []struct {
		name string
		cp1  facts.Host
		file string
		want []string
	}{
		{"as they are", at("2379", "2380"), "", nil},
		{"the file was changed", at("2379", "2380"), "etcd: {clientPort: 4001, peerPort: 7001}\n", []string{
			"etcd.clientPort cannot be changed on a cluster that lives: it has 2379 (cp1), and the file says 4001", "etcd.peerPort cannot be changed on a cluster that lives: it has 2380 (cp1), and the file says 7001"}},
		{"one was changed by hand", at("4001", "2380"), "", nil},
		{"a new cluster", host(), "etcd: {clientPort: 4001}\n", nil},
	} {
		cl := load(t, three, c.file)
		hosts := map[string]facts.Host{"cp1": c.cp1, "cp2": at("2379", "2380"), "cp3": at("2379", "2380")}
		if c.name == "a new cluster" {
			hosts = map[string]facts.Host{"cp1": host(), "cp2": host(), "cp3": host()}
		}
		var got []string
		for _, p := range Guard(cl, cl.MainEtcd(), hosts) {
			if strings.Contains(p.Message, "cannot be changed") {
				got = append(got, p.Message)
			}
		}
		if len(got) != len(c.want) {
			t.Fatalf("%s: %q; want %q", c.name, got, c.want)
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: %s; want %s", c.name, got[i], c.want[i])
			}
		}
	}
}

// Members that move to other hosts in the same edit have their ports and their data, too: new ones would look for them elsewhere, and what ends there would be looked for elsewhere.
func TestGuardOfMembersThatMove(t *testing.T) {
	const moved = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: e1, address: 10.0.0.31, roles: [etcd]}
- {name: e2, address: 10.0.0.32, roles: [etcd]}
- {name: e3, address: 10.0.0.33, roles: [etcd]}
`
	is := host("authority", "manifest", "data", "formed")
	is.Kubernetes.Etcd = facts.Etcd{Data: true, Log: true, DataDir: "/var/lib/etcd", ClientURL: "https://10.0.0.11:2379", PeerURL: "https://10.0.0.11:2380", ID: "1", Quorum: true,
		Members: []facts.EtcdMember{{ID: "1", Name: "cp1", PeerURLs: []string{"https://10.0.0.11:2380"}}}}
	left := is // it is not in the file any more
	left.Kubernetes.Etcd.ID, left.Kubernetes.Etcd.Members = "", nil
	for _, c := range []struct {
		file string
		want []string // "host: message" of what blocks; part of it
	}{
		{"", nil},
		{"etcd: {clientPort: 4001}\n", []string{": etcd.clientPort cannot be changed on a cluster that lives: it has 2379 (cp1), and the file says 4001"}},
		{"etcd: {peerPort: 7001}\n", []string{": etcd.peerPort cannot be changed on a cluster that lives: it has 2380 (cp1), and the file says 7001"}},
		{"etcd: {dataDir: /data/etcd}\n", []string{"cp1: its etcd member has its data in /var/lib/etcd, and the file says /data/etcd", "cp2: its etcd member has its data in /var/lib/etcd"}},
	} {
		cl := load(t, moved, c.file)
		problems := Guard(cl, cl.MainEtcd(), map[string]facts.Host{"cp1": is, "cp2": left, "e1": {}, "e2": {}, "e3": {}})
		if len(problems) != len(c.want) {
			t.Errorf("%q: problems are\n%s\nwant %q", c.file, text(problems), c.want)
			continue
		}
		for i, p := range problems {
			if !p.Blocks || !strings.HasPrefix(p.Host+": "+p.Message, c.want[i]) {
				t.Errorf("%q: problem is\n%s\nwant %s", c.file, text(problems[i:i+1]), c.want[i])
			}
		}
	}
}

// Without a quorum it is said from which host the cluster can be made again, if there is one.
func TestGuardNamesRecovery(t *testing.T) {
	lives, learner := host("authority", "data", "formed"), host("authority", "data", "formed")
	learner.Kubernetes.Etcd.Learner = true
	for _, c := range []struct {
		name          string
		cp1, cp2, cp3 facts.Host
		want          string // how each remedy ends
	}{
		{"one has its data", host("formed"), lives, host(), `If they are gone for good, "kubewright etcd recover --from cp2" goes on with what cp2 has`},
		{"one is a learner", learner, host("formed"), lives, `If they are gone for good, "kubewright etcd recover --from cp3" goes on with what cp3 has`},
		{"none has data", host("formed"), host("formed"), host(), "anew"},
	} {
		cl := load(t, three, "")
		problems := Guard(cl, cl.MainEtcd(), map[string]facts.Host{"cp1": c.cp1, "cp2": c.cp2, "cp3": c.cp3})
		if len(problems) == 0 {
			t.Errorf("%s: nothing is refused", c.name)
		}
		for _, p := range problems {
			if !strings.HasSuffix(p.Remedy, c.want) && !(c.want == "anew" && p.Remedy == "Bring the others back first") {
				t.Errorf("%s: %s", c.name, p)
			}
		}
	}
}

func text(problems []plan.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "blocks: %t, host %q: %s\n", p.Blocks, p.Host, p)
	}
	return b.String()
}
