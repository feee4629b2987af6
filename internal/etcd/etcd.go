// Package etcd asks members of etcd how they are, and changes which there are. It speaks with them through their JSON gateway (grpc-gateway, on by default with
// --enable-grpc-gateway), since etcd's own client would make this program larger by several megabytes for a few questions. It knows nothing of machines or what a cluster is
// made of, and reads no files.
package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is what a member says of itself and the others.
type Status struct {
	// ID is its random number in hexadecimal form, as etcdctl shows it.
	ID string `json:"id"`
	// Version of etcd that it runs: "3.7.3".
	Version string `json:"version"`
	// Leader is the ID of the member that leads, as it knows; empty if none does, as it is without a quorum.
	Leader string `json:"leader,omitempty"`
	// Learner says that it does not vote yet.
	Learner bool `json:"learner,omitempty"`
	// Size of its database, and how large that may become, in bytes; Quota is 0 before etcd 3.6, which does not say.
	Size  int64 `json:"size"`
	Quota int64 `json:"quota,omitempty"`
	// Alarms are those that are raised, of any member: "NOSPACE", "CORRUPT".
	Alarms []string `json:"alarms,omitempty"`
	// Members are all, as it knows them, itself among them; none of a learner, which refuses to say.
	Members []Member `json:"members"`
	// Unwell is why it does not answer what only a member can that has a quorum with it; empty if it does.
	Unwell string `json:"unwell,omitempty"`
}

// Member is one as another knows it.
type Member struct {
	ID string `json:"id"`
	// Name is empty until it was started once.
	Name    string `json:"name,omitempty"`
	Learner bool   `json:"learner,omitempty"`
	// PeerURLs are where others reach it; ClientURLs are where clients do, none until it was started once.
	PeerURLs   []string `json:"peerURLs,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

// answerTime is how long a member may take for each question. One that is well answers in milliseconds, and has another lead within a fraction of a second; without a quorum it
// says so after 7 s, or never.
const answerTime = 3 * time.Second

// maxAnswer is more than members have to say, in bytes.
const maxAnswer = 1 << 20

// Ask asks the member at a URL ("https://127.0.0.1:2379"). It fails if that does not even say who it is.
func Ask(ctx context.Context, h *http.Client, member string) (Status, error) {
	// As etcdserverpb.StatusResponse and MemberListResponse of etcd v3.7, by the names of proto fields; 64-bit numbers are texts in JSON.
	var status struct {
		Header struct {
			ID uint64 `json:"member_id,string"`
		} `json:"header"`
		Version string   `json:"version"`
		Leader  uint64   `json:"leader,string"`
		Learner bool     `json:"isLearner"`
		Size    int64    `json:"dbSize,string"`
		Quota   int64    `json:"dbSizeQuota,string"`
		Errors  []string `json:"errors"`
	}
	if err := post(ctx, h, member+"/v3/maintenance/status", struct{}{}, &status); err != nil {
		return Status{}, err
	}
	s := Status{ID: hex(status.Header.ID), Version: status.Version, Learner: status.Learner, Size: status.Size, Quota: status.Quota, Alarms: alarms(status.Errors)}
	if status.Leader != 0 {
		s.Leader = hex(status.Leader)
	}
	// Not linearizable: it also answers without a quorum.
	members, err := list(ctx, h, member, false)
	if err != nil && !s.Learner {
		return Status{}, err
	}
	s.Members = members
	s.Unwell = Unwell(ctx, h, member)
	if s.Learner {
		s.Unwell = "" // it may not answer such questions (ErrLearner), and has not to
	}
	return s, ctx.Err()
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }

// alarms finds them among the errors of a status: "memberID:12345 alarm:NOSPACE " (AlarmMember.String).
func alarms(errors []string) []string {
	var list []string
	for _, e := range errors {
		_, name, found := strings.Cut(e, "alarm:")
		if name = strings.TrimSpace(name); found && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// post asks the gateway. What etcd refuses is an error of refusal.
func post(ctx context.Context, h *http.Client, at string, asked, into any) error {
	content, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	body, code, err := answer(ctx, h, http.MethodPost, at, content)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		var said struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(body, &said) == nil && said.Message != "" {
			return refusal(said.Message)
		}
		return fmt.Errorf("it answers %d %s", code, http.StatusText(code))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("it answers what is none of etcd's: %w", err)
	}
	return nil
}

// Unwell is why a member does not answer what it can only with a quorum: a linearizable read (checkAPI in server/etcdserver/api/etcdhttp/health.go of etcd v3.7); nothing if it
// does. Alarms are told apart.
func Unwell(ctx context.Context, h *http.Client, member string) string {
	body, code, err := answer(ctx, h, http.MethodGet, member+"/health?exclude=NOSPACE&exclude=CORRUPT", nil)
	var said struct {
		Reason string `json:"reason"`
	}
	switch {
	case err != nil:
		return err.Error()
	case code == http.StatusOK:
		return ""
	case json.Unmarshal(body, &said) == nil && said.Reason != "":
		return strings.ToLower(said.Reason)
	}
	return fmt.Sprintf("it answers %d %s", code, http.StatusText(code))
}

func answer(ctx context.Context, h *http.Client, method, at string, content []byte) (body []byte, code int, err error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, method, at, bytes.NewReader(content))
	if err != nil {
		return nil, 0, err
	}
	reply, err := h.Do(r)
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
		_ = reply.Body.Close()
	}
	switch {
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case limited.Err() != nil:
		return nil, 0, fmt.Errorf("it does not answer within %v", answerTime)
	case err != nil:
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, 0, err
	}
	return body, reply.StatusCode, nil
}
