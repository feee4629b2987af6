package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
)

const (
	ipv4 = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
	both = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET=fd00:10:244:3::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n"
)

func TestDelegate(t *testing.T) {
	for _, c := range []struct{ name, conf, env, want string }{
		{"upstream's manifest", `{"cniVersion": "0.3.1", "name": "cbr0", "type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}`, ipv4,
			`{"cniVersion": "0.3.1", "name": "cbr0", "type": "bridge", "mtu": 1450, "ipMasq": false, "isGateway": true, "hairpinMode": true, "isDefaultGateway": true,
			  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.3.0/24"}]], "routes": [{"dst": "10.244.0.0/16"}]}}`},
		{"both families, and flanneld does not masquerade", `{"name": "cbr0"}`, both,
			`{"name": "cbr0", "type": "bridge", "mtu": 1430, "ipMasq": true, "isGateway": true,
			  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:10:244:3::/64"}]], "routes": [{"dst": "10.244.0.0/16"}, {"dst": "fd00:10:244::/56"}]}}`},
		{"IPv6 alone", `{"name": "cbr0"}`, "FLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET=fd00:10:244:3::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n",
			`{"name": "cbr0", "type": "bridge", "mtu": 1430, "ipMasq": false, "isGateway": true,
			  "ipam": {"type": "host-local", "ranges": [[{"subnet": "fd00:10:244:3::/64"}]], "routes": [{"dst": "fd00:10:244::/56"}]}}`},
		{"what the file says stays", `{"name": "n", "delegate": {"mtu": 1400, "ipMasq": true, "isGateway": false, "bridge": "cni7"}, "ipam": {"dataDir": "/run/ipam", "routes": [{"dst": "192.0.2.0/24"}]}}`, ipv4,
			`{"name": "n", "type": "bridge", "mtu": 1400, "ipMasq": true, "isGateway": false, "bridge": "cni7",
			  "ipam": {"type": "host-local", "dataDir": "/run/ipam", "ranges": [[{"subnet": "10.244.3.0/24"}]], "routes": [{"dst": "192.0.2.0/24"}, {"dst": "10.244.0.0/16"}]}}`},
		{"another plugin", `{"name": "n", "delegate": {"type": "ipvlan", "master": "eth0"}, "runtimeConfig": {"mac": "00:11:22:33:44:55"}}`, ipv4,
			`{"name": "n", "type": "ipvlan", "master": "eth0", "mtu": 1450, "ipMasq": false, "runtimeConfig": {"mac": "00:11:22:33:44:55"},
			  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.3.0/24"}]], "routes": [{"dst": "10.244.0.0/16"}]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := readNetwork([]byte(c.conf))
			if err != nil {
				t.Fatal(err)
			}
			s, err := readSubnet(c.env)
			if err != nil {
				t.Fatal(err)
			}
			d, err := n.delegate(s)
			if err != nil {
				t.Fatal(err)
			}
			var got, want map[string]any
			if err := json.Unmarshal(d.config, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) || d.plugin != want["type"] {
				t.Errorf("got  %s\nwant %s", d.config, c.want)
			}
		})
	}
}

func TestBadNetwork(t *testing.T) {
	for conf, says := range map[string]string{
		`{`:                                      "reading the network's configuration",
		`{"name": "n", "delegate": {"type": 1}}`: "delegate.type",
		`{"name": "n", "delegate": {"type": ""}}`:  "delegate.type",
		`{"name": "n", "delegate": {"name": "x"}}`: "delegate.name",
		`{"name": "n", "delegate": {"ipam": {}}}`:  "delegate.ipam",
		`{"name": "n", "ipam": {"routes": "x"}}`:   "ipam.routes",
	} {
		if _, err := readNetwork([]byte(conf)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", conf, err)
		}
	}
}

func TestBadSubnet(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{"FLANNEL_NETWORK=10.244.0.0/16\n", "", "want FLANNEL_NETWORK and FLANNEL_SUBNET"},
		{"FLANNEL_SUBNET=10.244.3.1/24\n", "", "want FLANNEL_NETWORK and FLANNEL_SUBNET"},
		{"10.244.3.1/24", "10.244.3.1", "FLANNEL_SUBNET"},
		{"FLANNEL_MTU=1450", "", "FLANNEL_MTU"},
		{"1450", "-1", "FLANNEL_MTU"},
		{"FLANNEL_IPMASQ=true", "FLANNEL_IPMASQ=perhaps", "FLANNEL_IPMASQ"},
	} {
		if _, err := readSubnet(strings.Replace(ipv4, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q for %q: %v", c.new, c.old, err)
		}
	}
}

// What a runtime calls, with a delegate that writes down what it is given.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	bin, env, data, calls := filepath.Join(dir, "bin"), filepath.Join(dir, "subnet.env"), filepath.Join(dir, "data"), filepath.Join(dir, "calls")
	write := func(file, content string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, "bridge"), "#!/bin/sh\necho \"$CNI_COMMAND $(cat)\" >>"+calls+"\n[ -z \"$FAIL\" ] || { echo '{\"cniVersion\": \"1.1.0\", \"code\": 11, \"msg\": \"not now\"}'; exit 1; }\n"+
		"[ $CNI_COMMAND != ADD ] || echo '{\"cniVersion\": \"1.1.0\"}'\n", 0o755)
	t.Setenv("CNI_PATH", bin)
	conf := `{"cniVersion": "1.1.0", "name": "cbr0", "type": "flannel", "subnetFile": "` + env + `", "dataDir": "` + data + `", "prevResult": {"cniVersion": "1.1.0"}}`
	args := &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", StdinData: []byte(conf)}
	kept := filepath.Join(data, "c1")
	called := func() string {
		t.Helper()
		b, err := os.ReadFile(calls)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		_ = os.Remove(calls)
		return string(b)
	}
	code := func(err error) uint {
		if e, ok := err.(*types.Error); ok {
			return e.Code
		}
		return 0
	}

	if err := status(t.Context(), args); code(err) != 50 || !strings.Contains(err.Error(), "flanneld has not got a subnet yet") {
		t.Errorf("STATUS without a subnet: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := add(soon, args); err == nil || !strings.Contains(err.Error(), "flanneld has not got a subnet yet") {
		t.Errorf("ADD without a subnet: %v", err)
	}
	if err := del(t.Context(), args); err != nil || called() != "" {
		t.Errorf("DEL of what is not there: %v", err)
	}
	if err := check(t.Context(), args); code(err) != types.ErrUnknownContainer {
		t.Errorf("CHECK of what is not there: %v", err)
	}

	write(env, ipv4, 0o644)
	if err := status(t.Context(), args); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	if got := called(); !strings.HasPrefix(got, `STATUS {"cniVersion":"1.1.0","ipMasq":false`) {
		t.Errorf("STATUS called: %s", got)
	}
	if err := add(t.Context(), args); err != nil {
		t.Errorf("ADD: %v", err)
	}
	added := strings.TrimPrefix(called(), "ADD ")
	if b, err := os.ReadFile(kept); err != nil || string(b)+"\n" != added || !strings.Contains(added, "10.244.3.0/24") {
		t.Errorf("ADD with %s kept %s, %v", added, b, err)
	}
	if err := check(t.Context(), args); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if got := called(); !strings.HasPrefix(got, "CHECK ") || !strings.Contains(got, `"prevResult":{"cniVersion":"1.1.0"}`) {
		t.Errorf("CHECK called: %s", got)
	}

	t.Setenv("FAIL", "1")
	if err := del(t.Context(), args); code(err) != types.ErrTryAgainLater || !strings.Contains(err.Error(), "the plugin bridge could not detach the container") {
		t.Errorf("DEL that fails: %v", err)
	}
	t.Setenv("FAIL", "")
	called()
	// flanneld says something else, or nothing: what was done is undone all the same.
	if err := os.Remove(env); err != nil {
		t.Fatal(err)
	}
	if err := del(t.Context(), args); err != nil {
		t.Errorf("DEL: %v", err)
	}
	if got := called(); got != "DEL "+added {
		t.Errorf("DEL called: %s", got)
	}
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Errorf("DEL kept the configuration: %v", err)
	}

	write(kept, "", 0o600)
	if err := del(t.Context(), args); err == nil || called() != "" {
		t.Error("DEL of a damaged configuration without a subnet did as if it had worked")
	}
	write(env, ipv4, 0o644)
	if err := del(t.Context(), args); err != nil || called() != "DEL "+added {
		t.Errorf("DEL of a damaged configuration: %v", err)
	}
}
