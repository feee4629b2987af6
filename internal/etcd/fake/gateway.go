package fake

import (
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
)

// refused is a message of etcd's (api/v3rpc/rpctypes/error.go of etcd v3.7) with the code of gRPC that goes with it.
type refused struct {
	code    int
	message string
}

const (
	unknown            = 2
	invalid            = 3
	notFound           = 5
	failedPrecondition = 9
	unavailable        = 14
)

// status is the status of HTTP that grpc-gateway makes of a code.
func (r refused) status() int {
	switch r.code {
	case invalid, failedPrecondition:
		return http.StatusBadRequest
	case notFound:
		return http.StatusNotFound
	case unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// request is all that is ever asked.
type request struct {
	ID           uint64   `json:"ID,string"`
	PeerURLs     []string `json:"peerURLs"`
	Learner      bool     `json:"isLearner"`
	Linearizable bool     `json:"linearizable"`
	Target       uint64   `json:"targetID,string"`
}

// serve is what a member says.
func (c *Cluster) serve(m *member, w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.down {
		panic(http.ErrAbortHandler) // closes the connection
	}
	status, answer := http.StatusOK, any(nil)
	if r.Method == http.MethodGet && r.URL.Path == "/health" {
		status, answer = c.health()
	} else if said, no := c.ask(m, r); no != (refused{}) {
		status, answer = no.status(), map[string]any{"code": no.code, "message": no.message}
	} else {
		answer = said
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *Cluster) health() (int, any) {
	if c.lead() == nil {
		return http.StatusServiceUnavailable, map[string]string{"health": "false", "reason": "RAFT NO LEADER"}
	}
	return http.StatusOK, map[string]string{"health": "true", "reason": ""}
}

// ask is the gateway of a member.
func (c *Cluster) ask(m *member, r *http.Request) (map[string]any, refused) {
	var q request
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil || r.Method != http.MethodPost {
		return nil, refused{invalid, "it cannot be read"}
	}
	c.note(m, r.URL.Path, q)
	if c.fail != nil {
		if message := c.fail(m.name, r.URL.Path); message != "" {
			return nil, refused{unavailable, message}
		}
	}
	if r.URL.Path == "/v3/maintenance/status" {
		return c.status(m), refused{}
	}
	if m.learner {
		return nil, refused{failedPrecondition, "etcdserver: rpc not supported for learner"}
	}
	if c.lead() == nil && (r.URL.Path != "/v3/cluster/member/list" || q.Linearizable) {
		return nil, refused{unavailable, "etcdserver: request timed out"}
	}
	answer, no := map[string]any{}, refused{}
	switch r.URL.Path {
	case "/v3/cluster/member/list":
	case "/v3/cluster/member/add":
		var added *member
		if added, no = c.addMember(q); no == (refused{}) {
			answer["member"] = added.said()
		}
	case "/v3/cluster/member/promote":
		no = c.promote(q)
	case "/v3/cluster/member/update":
		no = c.update(q)
	case "/v3/cluster/member/remove":
		no = c.remove(q)
	case "/v3/maintenance/transfer-leadership":
		return answer, c.move(m, q)
	default:
		no = refused{notFound, "Not Found"}
	}
	members := []map[string]any{}
	for _, one := range c.members {
		members = append(members, one.said())
	}
	answer["header"], answer["members"] = header(m), members
	return answer, no
}

// note remembers a change that is asked for.
func (c *Cluster) note(m *member, at string, q request) {
	var what string
	switch of := c.byID(max(q.ID, q.Target)); {
	case path.Base(at) == "status" || path.Base(at) == "list":
		return
	case of == nil && len(q.PeerURLs) > 0:
		what = q.PeerURLs[0]
	case of == nil:
		what = "nobody"
	case of.name == "":
		what = of.peerURLs[0]
	default:
		what = of.name
	}
	c.requests = append(c.requests, m.name+" "+path.Base(at)+" "+what)
}

func header(m *member) map[string]any {
	return map[string]any{"cluster_id": "14841639068965178418", "member_id": strconv.FormatUint(m.id, 10), "raft_term": "2"}
}

// said is a member in an answer, from which what is zero is left out.
func (m *member) said() map[string]any {
	s := map[string]any{"ID": strconv.FormatUint(m.id, 10), "peerURLs": m.peerURLs}
	if m.name != "" {
		s["name"], s["clientURLs"] = m.name, m.clientURLs()
	}
	if m.learner {
		s["isLearner"] = true
	}
	return s
}

func (c *Cluster) status(m *member) map[string]any {
	s := map[string]any{"header": header(m), "version": "3.7.3", "dbSize": "20480", "dbSizeQuota": "8589934592"}
	if lead := c.lead(); lead != nil {
		s["leader"] = strconv.FormatUint(lead.id, 10)
	} else {
		s["errors"] = []string{"etcdserver: no leader"}
	}
	if m.learner {
		s["isLearner"] = true
	}
	return s
}

// exists says whether a member, not that one, has one of some peer URLs.
func (c *Cluster) exists(but *member, peerURLs []string) bool {
	return slices.ContainsFunc(c.members, func(m *member) bool {
		return m != but && slices.ContainsFunc(m.peerURLs, func(u string) bool { return slices.Contains(peerURLs, u) })
	})
}

// addMember takes learners alone (AddMember in server/etcdserver/server.go and ValidateConfigurationChange in its api/membership/cluster.go, here and below).
func (c *Cluster) addMember(q request) (*member, refused) {
	voters, up := c.voters()
	learners := len(c.members) - len(voters)
	switch {
	case !q.Learner || len(q.PeerURLs) == 0:
		return nil, refused{invalid, "etcdserver: given member URLs are invalid"}
	case len(voters) > 1 && up < quorum(len(voters)+1):
		return nil, refused{unavailable, "etcdserver: unhealthy cluster"}
	case c.exists(nil, q.PeerURLs):
		return nil, refused{failedPrecondition, "etcdserver: Peer URLs already exists"}
	case learners >= maxLearners:
		return nil, refused{failedPrecondition, "etcdserver: too many learner members in cluster"}
	}
	return c.add(q.PeerURLs), refused{}
}

func (c *Cluster) promote(q request) refused {
	m := c.byID(q.ID)
	switch {
	case m == nil:
		return refused{notFound, "etcdserver: member not found"}
	case !m.learner:
		return refused{failedPrecondition, "etcdserver: can only promote a learner member"}
	case m.behind || !m.up():
		return refused{failedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"}
	}
	m.learner = false
	return refused{}
}

func (c *Cluster) update(q request) refused {
	m := c.byID(q.ID)
	switch {
	case m == nil:
		return refused{notFound, "etcdserver: member not found"}
	case c.exists(m, q.PeerURLs):
		return refused{failedPrecondition, "etcdserver: Peer URLs already exists"}
	}
	m.peerURLs = q.PeerURLs
	return refused{}
}

func (c *Cluster) remove(q request) refused {
	m := c.byID(q.ID)
	if m == nil {
		return refused{notFound, "etcdserver: member not found"}
	}
	if !m.learner {
		voters, up := c.voters()
		left := len(voters) - 1
		started := 0
		for _, v := range voters {
			if v != m && v.server != nil {
				started++
			}
		}
		switch {
		case started < quorum(left):
			return refused{failedPrecondition, "etcdserver: re-configuration failed due to not enough started members"}
		case m.up() && up-1 < quorum(left):
			return refused{unavailable, "etcdserver: unhealthy cluster"}
		}
	}
	m.down = true // it ends once it has answered
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	c.gone = append(c.gone, m)
	return refused{}
}

func (c *Cluster) move(asked *member, q request) refused {
	to := c.byID(q.Target)
	switch {
	case c.lead() != asked:
		return refused{failedPrecondition, "etcdserver: not leader"}
	case to == nil || to.learner:
		return refused{failedPrecondition, "etcdserver: bad leader transferee"}
	case !to.up():
		return refused{unknown, "etcdserver: request timed out, leader transfer took too long"}
	}
	c.leader = to
	return refused{}
}
