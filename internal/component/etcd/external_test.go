package etcd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	urlA, urlB, urlC = "https://a:2379", "https://b:2379", "https://c:2379"
	secretKey        = "the key itself"
)

// usersEtcd is a cluster of two control planes and a worker with an etcd of the user's.
func usersEtcd() *cluster.Cluster {
	return &cluster.Cluster{
		Cluster: &v1alpha1.Cluster{
			Etcd: v1alpha1.EtcdOptions{External: v1alpha1.ExternalEtcd{Endpoints: []string{urlA, urlB}, Prefix: "/registry"}},
			Hosts: []v1alpha1.Host{
				{Name: "cp1", Roles: []v1alpha1.Role{v1alpha1.ControlPlane}}, {Name: "cp2", Roles: []v1alpha1.Role{v1alpha1.ControlPlane}}, {Name: "w1", Roles: []v1alpha1.Role{v1alpha1.Worker}},
			},
		},
		EtcdAccess: cluster.EtcdAccess{Authority: []byte("authority"), Certificate: []byte("certificate"), Key: []byte(secretKey)},
	}
}

func TestExternalSteps(t *testing.T) {
	c := usersEtcd()
	after := func(string) []plan.Condition { return []plan.Condition{{Name: "before"}} }
	for name, x := range map[string]External{
		"new":   {Cluster: c, Hosts: map[string]facts.Host{"cp1": {}, "cp2": {}, "w1": {}}, Found: map[string]ExternalFound{"cp1": {File: []etcd.Server{{URL: urlA, Cluster: "1"}, {URL: urlB}}}}},
		"lives": {Cluster: c, Hosts: map[string]facts.Host{"cp1": {Kubernetes: facts.Kubernetes{Formed: true, External: "1"}}, "cp2": {}, "w1": {}}, Found: map[string]ExternalFound{"cp1": {File: []etcd.Server{{URL: urlA}, {URL: urlB}}}}},
	} {
		var got []string
		for _, s := range x.Steps(after, []plan.Condition{{Name: "served"}}) {
			for _, r := range s.Resources {
				got = append(got, fmt.Sprintf("%s %s: %s", s.Host, s.Name, r.ID()))
				f, is := r.(resource.File)
				if is && string(f.Content) == secretKey && (f.Mode != 0o600 || !f.Secret) {
					t.Errorf("%s: the key is %o, secret: %v", name, f.Mode, f.Secret)
				}
				if is && f.Path == facts.ExternalFile && !strings.HasSuffix(string(f.Content), "\ncluster: 1\n") {
					t.Errorf("%s: it remembers %q", name, f.Content)
				}
			}
			if want := name == "lives" && s.Name == Step; (s.Group != "") != want {
				t.Errorf("%s: %s is in the group %q", name, s.StepID, s.Group)
			}
		}
		var want []string
		for _, host := range []string{"cp1", "cp2"} {
			for _, r := range []string{"directory " + resource.ExternalEtcdDir, "file " + resource.ExternalEtcdDir + "/ca.crt", "file " + resource.ExternalEtcdDir + "/client.crt", "file " + resource.ExternalEtcdDir + "/client.key"} {
				want = append(want, host+" etcd: "+r)
			}
			want = append(want, host+" etcd formed: file "+facts.ExternalFile)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the steps are\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if r := ExternalReport(c); r.Access != nil {
		t.Error("who asks how it is on a living cluster sends the key")
	}
}

func TestExternalGuard(t *testing.T) {
	own := &cluster.Cluster{Cluster: &v1alpha1.Cluster{}}
	for name, c := range map[string]struct {
		cluster *cluster.Cluster
		has     facts.Kubernetes
		want    string
	}{
		"new":                             {usersEtcd(), facts.Kubernetes{}, ""},
		"lives":                           {usersEtcd(), facts.Kubernetes{Formed: true, External: "1"}, ""},
		"with members of its own":         {usersEtcd(), facts.Kubernetes{Formed: true}, "cannot be asked for"},
		"with members that began":         {usersEtcd(), facts.Kubernetes{Etcd: facts.Etcd{Data: true}, Manifests: map[string]string{"etcd.yaml": "image"}}, "cannot be asked for"},
		"beside the user's member itself": {usersEtcd(), facts.Kubernetes{Etcd: facts.Etcd{Data: true}}, ""},
		"own":                             {own, facts.Kubernetes{Formed: true}, ""},
		"taken back":                      {own, facts.Kubernetes{Formed: true, External: "1"}, "cannot be taken back"},
	} {
		got := ExternalGuard(c.cluster, map[string]facts.Host{"cp1": {Kubernetes: c.has}})
		switch {
		case c.want == "" && len(got) > 0, c.want != "" && (len(got) != 1 || !got[0].Blocks || !strings.Contains(got[0].Message, c.want)):
			t.Errorf("%s: it says %v; want %q", name, got, c.want)
		}
	}
}

func TestExternalProblems(t *testing.T) {
	well := func(url, of string, holds int64) etcd.Server {
		return etcd.Server{URL: url, Cluster: of, ID: url, Version: "3.6.1", Holds: holds}
	}
	silent := func(url string) etcd.Server { return etcd.Server{URL: url, Unwell: "connection refused"} }
	file := func(servers ...etcd.Server) map[string]ExternalFound {
		return map[string]ExternalFound{"cp1": {File: servers}}
	}
	both := func(machine []etcd.Server, servers ...etcd.Server) map[string]ExternalFound {
		return map[string]ExternalFound{"cp1": {File: servers, Machine: machine}}
	}
	asks := func(urls string) facts.Kubernetes {
		return facts.Kubernetes{Settings: map[string]string{facts.EtcdServers: urls, facts.EtcdPrefix: "/registry"}}
	}
	living := func(urls string) facts.Kubernetes {
		k := asks(urls)
		k.Formed, k.External = true, "1"
		return k
	}
	none, began, lives, livesOnC, livesOnA := facts.Kubernetes{}, asks(urlA+","+urlB), living(urlA+","+urlB), living(urlC), living(urlA)
	all := func(of string, holds int64) []etcd.Server {
		return []etcd.Server{well(urlA, of, holds), well(urlB, of, holds)}
	}
	for name, c := range map[string]struct {
		has   facts.Kubernetes
		found map[string]ExternalFound
		want  []string // parts; what blocks has a ! before, and what --force overrules a ?
	}{
		"new, empty":                 {none, file(all("1", 0)...), nil},
		"new, of another cluster":    {none, file(all("1", 7)...), []string{"!it holds 7 objects below /registry, which are of another cluster"}},
		"begun there":                {began, file(all("1", 7)...), nil},
		"begun elsewhere":            {asks(urlC), file(append(all("1", 7), silent(urlC))...), []string{"!it holds 7 objects"}},
		"new, one does not answer":   {none, file(well(urlA, "1", 0), silent(urlB)), []string{"!an endpoint has to answer before API servers are told of it; from cp1: " + urlB}},
		"new, none answers":          {none, file(silent(urlA), silent(urlB)), []string{"!from cp1 no member answers"}},
		"new, one does not get in":   {none, map[string]ExternalFound{"cp1": {File: all("1", 0)}, "cp2": {File: []etcd.Server{silent(urlA), silent(urlB)}}}, []string{"!from cp2 no member answers"}},
		"new, two clusters":          {none, file(well(urlA, "1", 0), well(urlB, "2", 0)), []string{"!different clusters: " + urlA + " and " + urlB}},
		"new, old":                   {none, file(well(urlB, "1", 0), etcd.Server{URL: urlA, Cluster: "1", ID: "1", Version: "3.4.23"}), []string{"!of version 3.4.23"}},
		"new, full":                  {none, file(well(urlB, "1", 0), etcd.Server{URL: urlA, Cluster: "1", ID: "1", Version: "3.6.0", Alarms: []string{"NOSPACE"}}), []string{"!alarm NOSPACE"}},
		"lives":                      {lives, file(all("1", 7)...), nil},
		"lives, one is silent":       {lives, file(well(urlA, "1", 7), silent(urlB)), []string{"from cp1 not all members answer: " + urlB}},
		"lives, none answers":        {lives, file(silent(urlA), silent(urlB)), []string{"from cp1 no member answers"}},
		"lives, empty":               {lives, file(all("1", 0)...), []string{"!it holds nothing below /registry"}},
		"lives, led to others of it": {livesOnC, file(append(all("1", 7), well(urlC, "1", 7))...), nil},
		"lives, led to others of it when the first are gone":    {livesOnC, file(append(all("1", 7), silent(urlC))...), nil},
		"lives, led to another":                                 {livesOnC, file(append(all("2", 7), well(urlC, "1", 7))...), []string{"!different clusters"}},
		"lives, led to another, of another authority":           {livesOnC, file(append(all("2", 7), silent(urlC))...), []string{"?is of the cluster 2 of etcd"}},
		"lives, led to another, which the machine knows better": {livesOnC, both([]etcd.Server{silent(urlA), silent(urlB), well(urlC, "1", 7)}, append(all("2", 7), silent(urlC))...), []string{"!different clusters"}},
		"lives, another at the same place":                      {lives, file(all("2", 7)...), []string{"?is of the cluster 2 of etcd"}},
		"lives, led to another, which is empty":                 {livesOnC, file(append(all("2", 0), silent(urlC))...), []string{"?is of the cluster 2", "!it holds nothing"}},
		"lives, led to what does not answer":                    {livesOnC, file(silent(urlA), silent(urlB), well(urlC, "1", 7)), []string{"!from cp1 no member answers"}},
		"lives, one is added and does not answer":               {livesOnA, file(well(urlA, "1", 7), silent(urlB)), []string{"!an endpoint has to answer before"}},
		"lives, the file has a certificate that is not let in":  {lives, both(all("1", 7), silent(urlA), silent(urlB)), []string{"!cp1 is let in with what it has, and not with what the cluster file says"}},
		"nobody could ask":                                      {lives, nil, nil},
	} {
		x := External{Cluster: usersEtcd(), Hosts: map[string]facts.Host{"cp1": {Kubernetes: c.has}, "cp2": {}}, Found: c.found}
		var got []string
		for _, p := range x.Problems() {
			text := p.Message
			switch {
			case p.Loss != "":
				text = "?" + text
			case p.Blocks:
				text = "!" + text
			}
			got = append(got, text)
			if p.Remedy == "" || p.Blocks == p.Careful {
				t.Errorf("%s: %+v", name, p)
			}
		}
		same := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			part := strings.TrimLeft(c.want[i], "!?")
			same = same && strings.Contains(got[i], part) && strings.HasPrefix(got[i], c.want[i][:len(c.want[i])-len(part)]) && (len(part) < len(c.want[i]) || !strings.ContainsAny(got[i][:1], "!?"))
		}
		if !same {
			t.Errorf("%s: it says %q; want %q", name, got, c.want)
		}
	}

	// Who does not answer may know that it is this cluster's own.
	x := External{Cluster: usersEtcd(), Hosts: map[string]facts.Host{"cp2": {}}, Silent: []string{"cp1"}, Found: map[string]ExternalFound{"cp2": {File: all("1", 7)}}}
	if got := x.Problems(); len(got) != 1 || !got[0].Blocks || strings.Contains(got[0].Remedy, "del") || !strings.Contains(got[0].Message, "may be this cluster's own: cp1 does not answer") {
		t.Errorf("with a control plane that does not answer it says %+v", got)
	}
}

// Where API servers have their data now is asked, too, with what the file says and with what a machine of a cluster that lives has.
func TestExternalQuestions(t *testing.T) {
	hosts := map[string]facts.Host{"cp1": {}, "cp2": {Kubernetes: facts.Kubernetes{External: "1", Settings: map[string]string{facts.EtcdServers: urlB + "," + urlC}}}}
	file, machine := ExternalQuestions(usersEtcd(), hosts, "cp2")
	if want := []string{urlA, urlB, urlC}; !slices.Equal(file.Endpoints, want) || machine == nil || !slices.Equal(machine.Endpoints, want) {
		t.Errorf("it asks %q and %+v; want %q", file.Endpoints, machine, want)
	}
	if machine.Access != nil || file.Access == nil || string(file.Access.Key) != secretKey || file.ID() == machine.ID() {
		t.Error("the questions are not told apart")
	}
	if _, machine := ExternalQuestions(usersEtcd(), hosts, "cp1"); machine != nil {
		t.Error("a control plane that comes has nothing to ask with")
	}
}
