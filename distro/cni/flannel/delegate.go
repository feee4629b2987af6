package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// network is the plugin's configuration. What is not named here is the delegate's business, and stands below "delegate".
type network struct {
	CNIVersion    string          `json:"cniVersion"`
	Name          string          `json:"name"`
	SubnetFile    string          `json:"subnetFile"`    // of flanneld; /run/flannel/subnet.env if empty
	DataDir       string          `json:"dataDir"`       // where configurations are kept until DEL; /var/lib/cni/flannel if empty
	IPAM          map[string]any  `json:"ipam"`          // what to add to the delegate's; type host-local if it has none
	Delegate      map[string]any  `json:"delegate"`      // what to set for the delegate; type bridge if it has none
	RuntimeConfig map[string]any  `json:"runtimeConfig"` // of the runtime, handed on
	PrevResult    json.RawMessage `json:"prevResult"`    // of ADD, for CHECK
}

func readNetwork(b []byte) (network, error) {
	n := network{SubnetFile: "/run/flannel/subnet.env", DataDir: "/var/lib/cni/flannel"}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("reading the network's configuration: %w", err)
	}
	if t, ok := n.Delegate["type"]; ok {
		if s, ok := t.(string); !ok || s == "" {
			return n, fmt.Errorf("delegate.type: %v: want the name of a plugin", t)
		}
	}
	for _, key := range []string{"name", "ipam"} {
		if _, ok := n.Delegate[key]; ok {
			return n, fmt.Errorf("delegate.%s: this is what the plugin flannel itself sets: leave it out", key)
		}
	}
	if r, ok := n.IPAM["routes"]; ok {
		if _, ok := r.([]any); !ok {
			return n, fmt.Errorf("ipam.routes: %v: want a list", r)
		}
	}
	return n, nil
}

// delegate is the plugin that does the work, and its configuration in JSON.
type delegate struct {
	plugin string
	config []byte
}

// readDelegate reads a configuration that was kept.
func readDelegate(config []byte) (delegate, error) {
	var t struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(config, &t); err != nil {
		return delegate{}, err
	}
	if t.Type == "" {
		return delegate{}, errors.New("it names no plugin")
	}
	return delegate{t.Type, config}, nil
}

// withResult adds the result of ADD, which CHECK has to be given.
func (d delegate) withResult(result json.RawMessage) (delegate, error) {
	var config map[string]any
	if err := json.Unmarshal(d.config, &config); err != nil {
		return d, err
	}
	config["prevResult"] = result
	b, err := json.Marshal(config)
	return delegate{d.plugin, b}, err
}

// delegate makes the delegate's configuration, as upstream's plugin does (flannel_linux.go of flannel-io/cni-plugin).
func (n network) delegate(s subnet) (delegate, error) {
	config := map[string]any{"type": "bridge", "mtu": s.mtu, "ipMasq": !s.ipMasq} // one of the two masquerades
	maps.Copy(config, n.Delegate)
	plugin := config["type"].(string)
	if _, set := config["isGateway"]; !set && plugin == "bridge" {
		config["isGateway"] = true
	}
	config["name"] = n.Name
	if n.CNIVersion != "" {
		config["cniVersion"] = n.CNIVersion
	}
	if len(n.RuntimeConfig) > 0 {
		config["runtimeConfig"] = n.RuntimeConfig
	}

	ipam := map[string]any{"type": "host-local"}
	maps.Copy(ipam, n.IPAM)
	var ranges, routes []any
	for _, p := range s.subnets {
		ranges = append(ranges, []any{map[string]any{"subnet": p.String()}})
	}
	if given, ok := ipam["routes"].([]any); ok {
		routes = append(routes, given...)
	}
	for _, p := range s.networks {
		routes = append(routes, map[string]any{"dst": p.String()})
	}
	ipam["ranges"], ipam["routes"] = ranges, routes
	config["ipam"] = ipam

	b, err := json.Marshal(config)
	return delegate{plugin, b}, err
}
