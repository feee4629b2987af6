package controlplane

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
)

func TestGuard(t *testing.T) {
	has := func(setting, value string) facts.Host {
		return facts.Host{Kubernetes: facts.Kubernetes{Formed: true, Settings: map[string]string{
			facts.ServiceRanges: "10.96.0.0/16", facts.PodRanges: "10.244.0.0/16", facts.TokenIssuer: "https://kubernetes.default.svc.cluster.local", facts.Encryption: encryptionFile,
			facts.Endpoint: "https://api.test.internal:6443", setting: value,
		}}}
	}
	same := has(facts.ServiceRanges, "10.96.0.0/16")
	begun := has(facts.ServiceRanges, "10.0.0.0/16")
	begun.Kubernetes.Formed = false
	for name, c := range map[string]struct {
		more string
		cp1  facts.Host
		cp2  facts.Host
		says string
	}{
		"bare":                    {"", facts.Host{}, facts.Host{}, ""},
		"the same":                {"", same, same, ""},
		"one changed by hand":     {"", has(facts.ServiceRanges, "10.1.0.0/16"), same, ""},
		"never whole":             {"", begun, begun, ""},
		"other Services":          {"network: {serviceRanges: [10.112.0.0/16]}\n", same, same, "network.serviceRanges cannot be changed on a cluster that lives: it has 10.96.0.0/16 (cp1), and the file says 10.112.0.0/16"},
		"other Pods":              {"network: {podRanges: [10.128.0.0/14]}\n", facts.Host{}, same, "network.podRanges cannot be changed on a cluster that lives: it has 10.244.0.0/16 (cp2)"},
		"another port":            {"apiServer: {port: 8443}\n", same, same, "endpoint.name, which comes of the cluster's name by default, or apiServer.port cannot be changed on a cluster that lives: it has https://api.test.internal:6443 (cp1), and the file says https://api.test.internal:8443"},
		"another domain":          {"network: {dnsDomain: prod.internal}\n", same, same, "network.dnsDomain cannot be changed"},
		"no more encryption":      {"encryption: {provider: none}\n", same, same, "encryption.provider cannot become none"},
		"never any encryption":    {"encryption: {provider: none}\n", has(facts.Encryption, ""), facts.Host{}, ""},
		"no encryption, not yet":  {"encryption: {provider: none}\n", facts.Host{}, facts.Host{}, ""},
		"encryption from now on":  {"", has(facts.Encryption, ""), facts.Host{}, ""},
		"another way of the same": {"encryption: {provider: aesgcm}\n", same, same, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, h := range []*facts.Host{&c.cp1, &c.cp2} {
				if h.Kubernetes.Settings[facts.Encryption] == "" {
					delete(h.Kubernetes.Settings, facts.Encryption)
				}
			}
			problems := Guard(load(t, hosts+"- {name: cp2, address: 10.0.0.12, roles: [control-plane]}\n- {name: cp3, address: 10.0.0.13, roles: [control-plane]}\n", c.more), map[string]facts.Host{"cp1": c.cp1, "cp2": c.cp2})
			var said []string
			for _, p := range problems {
				if !p.Blocks || p.Remedy == "" {
					t.Errorf("%+v stops nobody, or says not what to do", p)
				}
				said = append(said, p.Message)
			}
			if got := strings.Join(said, "\n"); !strings.HasPrefix(got, c.says) || c.says == "" && got != "" || len(said) > 1 {
				t.Errorf("it says %q; want %q", got, c.says)
			}
		})
	}
}
