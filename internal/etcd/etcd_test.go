package etcd_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/etcd"
)

// member answers as the gateway of etcd v3.7 does.
type member struct {
	t                      *testing.T
	status, list, health   string
	statusCode, healthCode int
	learner                bool
}

func (m member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Error(err)
	}
	switch r.Method + " " + r.URL.RequestURI() + " " + string(body) {
	case "POST /v3/maintenance/status {}":
		w.WriteHeader(m.statusCode)
		_, _ = io.WriteString(w, m.status)
	case "POST /v3/cluster/member/list {}":
		if m.learner {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, m.list)
	case "GET /health?exclude=NOSPACE&exclude=CORRUPT ":
		w.WriteHeader(m.healthCode)
		_, _ = io.WriteString(w, m.health)
	default:
		m.t.Errorf("it is asked for %s %s with %q", r.Method, r.URL, body)
	}
}

const (
	header = `"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"1","raft_term":"2"}`
	leads  = `{` + header + `,"version":"3.7.3","dbSize":"20480","leader":"10276657743932975437","raftIndex":"8","dbSizeInUse":"16384","dbSizeQuota":"8589934592"`
	two    = `{` + header + `,"members":[{"ID":"10276657743932975437","name":"cp1","peerURLs":["https://10.0.0.11:2380"],"clientURLs":["https://10.0.0.11:2379"]},{"ID":"255","isLearner":true}]}`
)

func TestAsk(t *testing.T) {
	members := []etcd.Member{{ID: "8e9e05c52164694d", Name: "cp1", PeerURLs: []string{"https://10.0.0.11:2380"}, ClientURLs: []string{"https://10.0.0.11:2379"}}, {ID: "ff", Learner: true}}
	well := etcd.Status{ID: "8e9e05c52164694d", Version: "3.7.3", Leader: "8e9e05c52164694d", Size: 20480, Quota: 8589934592, Members: members}
	for _, c := range []struct {
		name   string
		m      member
		change func(s *etcd.Status)
		fails  string
	}{
		{"well", member{status: leads + "}", list: two, health: `{"health":"true","reason":""}`, statusCode: 200, healthCode: 200}, func(*etcd.Status) {}, ""},
		{"alarms", member{status: leads + `,"errors":["memberID:1 alarm:NOSPACE ","memberID:2 alarm:NOSPACE "]}`, list: two, statusCode: 200, healthCode: 200},
			func(s *etcd.Status) { s.Alarms = []string{"NOSPACE"} }, ""},
		{"alone", member{status: strings.Replace(leads, `"leader":"10276657743932975437",`, "", 1) + `,"errors":["etcdserver: no leader"]}`, list: two,
			health: `{"health":"false","reason":"RAFT NO LEADER"}`, statusCode: 200, healthCode: 503}, func(s *etcd.Status) { s.Leader, s.Unwell = "", "raft no leader" }, ""},
		{"learner", member{status: leads + `,"isLearner":true}`, learner: true, list: `{"code":9,"message":"etcdserver: rpc not supported for learner"}`, health: `{}`, statusCode: 200,
			healthCode: 503}, func(s *etcd.Status) { s.Learner, s.Members = true, nil }, ""},
		{"refuses", member{status: `{"code":14,"message":"etcdserver: stopped"}`, statusCode: 503}, nil, "etcdserver: stopped"},
		{"another server", member{status: "hello", statusCode: 200}, nil, "none of etcd's"},
		{"no gateway", member{status: "404 page not found", statusCode: 404}, nil, "it answers 404 Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.t = t
			server := httptest.NewServer(c.m)
			defer server.Close()
			got, err := etcd.Ask(t.Context(), server.Client(), server.URL)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("it says %v", err)
				}
				return
			}
			want := well
			c.change(&want)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("it is %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestAskNobody(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	if _, err := etcd.Ask(t.Context(), http.DefaultClient, server.URL); err == nil || strings.Contains(err.Error(), server.URL) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it says %v", err)
	}
}
