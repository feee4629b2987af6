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
	steps := ExternalSteps(ExternalInput{Cluster: c, Hosts: map[string]facts.Host{"cp1": {}, "cp2": {}, "w1": {}}, Served: []plan.Condition{{Name: "served"}}})
	var got []string
	for _, s := range steps {
		for _, r := range s.Resources {
			got = append(got, fmt.Sprintf("%s %s: %s", s.Host, s.Name, r.ID()))
			if f, is := r.(resource.File); is && string(f.Content) == secretKey && (f.Mode != 0o600 || !f.Secret) {
				t.Errorf("the key is %o, secret: %v", f.Mode, f.Secret)
			}
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
		t.Errorf("the steps are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
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
		"lives":                           {usersEtcd(), facts.Kubernetes{Formed: true, External: true}, ""},
		"with members of its own":         {usersEtcd(), facts.Kubernetes{Formed: true}, "cannot be asked for"},
		"with members that began":         {usersEtcd(), facts.Kubernetes{Etcd: facts.Etcd{Data: true}, Manifests: map[string]string{"etcd.yaml": "image"}}, "cannot be asked for"},
		"beside the user's member itself": {usersEtcd(), facts.Kubernetes{Etcd: facts.Etcd{Data: true}}, ""},
		"own":                             {own, facts.Kubernetes{Formed: true}, ""},
		"taken back":                      {own, facts.Kubernetes{Formed: true, External: true}, "cannot be taken back"},
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
	none := facts.Kubernetes{}
	began := facts.Kubernetes{Settings: map[string]string{facts.EtcdServers: urlA + "," + urlB, facts.EtcdPrefix: "/registry"}}
	lives := began
	lives.Formed, lives.External = true, true
	other := facts.Kubernetes{Settings: map[string]string{facts.EtcdServers: urlC, facts.EtcdPrefix: "/registry"}}
	livesElsewhere := other
	livesElsewhere.Formed, livesElsewhere.External = true, true
	type found map[string][]etcd.Server
	for name, c := range map[string]struct {
		has   facts.Kubernetes
		found found
		want  []string // parts; what blocks has a ! before
	}{
		"new, empty":                             {none, found{"cp1": {well(urlA, "1", 0), well(urlB, "1", 0)}}, nil},
		"new, of another cluster":                {none, found{"cp1": {well(urlA, "1", 7), well(urlB, "1", 7)}}, []string{"!it holds 7 objects below /registry"}},
		"begun there":                            {began, found{"cp1": {well(urlA, "1", 7), well(urlB, "1", 7)}}, nil},
		"begun elsewhere":                        {other, found{"cp1": {well(urlA, "1", 7), well(urlB, "1", 7), silent(urlC)}}, []string{"!it holds 7 objects"}},
		"new, one does not answer":               {none, found{"cp1": {well(urlA, "1", 0), silent(urlB)}}, []string{"from cp1 not all members answer: " + urlB}},
		"new, none answers":                      {none, found{"cp1": {silent(urlA), silent(urlB)}}, []string{"!from cp1 no member answers"}},
		"new, one control plane does not get in": {none, found{"cp1": {well(urlA, "1", 0), well(urlB, "1", 0)}, "cp2": {silent(urlA), silent(urlB)}}, []string{"!from cp2 no member answers"}},
		"new, two clusters":                      {none, found{"cp1": {well(urlA, "1", 0), well(urlB, "2", 0)}}, []string{"!different clusters: " + urlA + " and " + urlB}},
		"new, old":                               {none, found{"cp1": {{URL: urlA, Cluster: "1", ID: "1", Version: "3.4.23"}}}, []string{"!of version 3.4.23"}},
		"new, full":                              {none, found{"cp1": {{URL: urlA, Cluster: "1", ID: "1", Version: "3.6.0", Alarms: []string{"NOSPACE"}}}}, []string{"!alarm NOSPACE"}},
		"lives":                                  {lives, found{"cp1": {well(urlA, "1", 7), well(urlB, "1", 7)}}, nil},
		"lives, none answers":                    {lives, found{"cp1": {silent(urlA), silent(urlB)}}, []string{"from cp1 no member answers"}},
		"lives, empty":                           {lives, found{"cp1": {well(urlA, "1", 0), well(urlB, "1", 0)}}, []string{"!it holds nothing below /registry"}},
		"lives, led to others of it":             {livesElsewhere, found{"cp1": {well(urlA, "1", 7), well(urlB, "1", 7), well(urlC, "1", 7)}}, nil},
		"lives, led to another":                  {livesElsewhere, found{"cp1": {well(urlA, "2", 7), well(urlB, "2", 7), well(urlC, "1", 7)}}, []string{"!different clusters"}},
		"lives, led to another, which is empty":  {livesElsewhere, found{"cp1": {well(urlA, "2", 0), well(urlB, "2", 0), silent(urlC)}}, []string{"!it holds nothing"}},
		"nobody could ask":                       {lives, nil, nil},
	} {
		var got []string
		for _, p := range ExternalProblems(usersEtcd(), map[string]facts.Host{"cp1": {Kubernetes: c.has}, "cp2": {}}, c.found) {
			text := p.Message
			if p.Blocks {
				text = "!" + text
			}
			got = append(got, text)
			if p.Remedy == "" || p.Blocks == p.Careful {
				t.Errorf("%s: %+v", name, p)
			}
		}
		same := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			part, blocks := strings.CutPrefix(c.want[i], "!")
			same = same && strings.Contains(got[i], part) && strings.HasPrefix(got[i], "!") == blocks
		}
		if !same {
			t.Errorf("%s: it says %q; want %q", name, got, c.want)
		}
	}
}

// Where API servers have their data now is asked, too, if it is elsewhere than the file says.
func TestExternalQuestion(t *testing.T) {
	hosts := map[string]facts.Host{"cp2": {Kubernetes: facts.Kubernetes{Settings: map[string]string{facts.EtcdServers: urlB + "," + urlC}}}}
	q := ExternalQuestion(usersEtcd(), hosts)
	if want := []string{urlA, urlB, urlC}; !slices.Equal(q.Endpoints, want) {
		t.Errorf("it asks %q; want %q", q.Endpoints, want)
	}
	if q.Access == nil || string(q.Access.Key) != secretKey {
		t.Error("a control plane that has nothing yet cannot ask")
	}
}
