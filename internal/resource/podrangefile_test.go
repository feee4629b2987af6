package resource_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	rangesPath = "/etc/cni/net.d/10-routed.conflist"
	withRange  = `{apiVersion: v1, kind: Node, metadata: {name: m1}, spec: {podCIDR: 10.0.1.0/24, podCIDRs: [10.0.1.0/24, "fd00:1::/64"]}}`
)

// asKubelet has the machine of an API have a kubelet with credentials.
func asKubelet(t *testing.T, env *resource.Env, kubeconfig []byte) {
	t.Helper()
	if err := env.Files.Write(kubeletConf, resource.Attributes{Mode: 0o600}, strings.NewReader(string(kubeconfig))); err != nil {
		t.Fatal(err)
	}
}

func rangesFile(api resource.API) resource.PodRangeFile {
	return resource.PodRangeFile{Path: rangesPath, Node: "m1", API: api, Text: "{\"ranges\": ${ranges}}\n"}
}

func TestPodRangeFile(t *testing.T) {
	a, env, api := withAPI(t)
	f := rangesFile(api)
	says := func(want string) resource.Observed {
		t.Helper()
		o, err := f.Observe(t.Context(), env)
		if got := inWords(f.Diff(o)); err != nil || got != want {
			t.Fatalf("%v says\n%s\nwant\n%s", err, got, want)
		}
		return o
	}
	before := says("present: absent → present (with the ranges that the node is given when it is registered)")
	asKubelet(t, env, a.Kubeconfig)
	says("present: absent → present (with the ranges that the node is given when it is registered)")
	// The node is registered while it is waited for, and given its ranges afterwards.
	var said []string
	env.Progress = func(m string) {
		said = append(said, m)
		a.Put(withRange)
	}
	settled(t, f, env)
	const want = `{"ranges": [[{"subnet":"10.0.1.0/24"}],[{"subnet":"fd00:1::/64"}]]}` + "\n"
	if got := content(t, env, rangesPath); got != want || len(said) != 1 || said[0] != "the node m1 has no range of Pods yet" {
		t.Errorf("the file has %q; it said %q", got, said)
	}
	// A node that is another by now has another range.
	a.Put(`{apiVersion: v1, kind: Node, metadata: {name: m1}, spec: {podCIDR: 10.0.2.0/24}}`)
	o, err := f.Observe(t.Context(), env)
	if got := inWords(f.Diff(o)); err != nil || !strings.Contains(got, `+{"ranges": [[{"subnet":"10.0.2.0/24"}]]}`) {
		t.Errorf("%v says\n%s", err, got)
	}
	settled(t, f, env)
	// So has another text.
	f.Text = "{\"mtu\": 9000, \"ranges\": ${ranges}}\n"
	if o, err = f.Observe(t.Context(), env); err != nil || len(f.Diff(o)) != 1 {
		t.Errorf("%v says %v", err, f.Diff(o))
	}
	settled(t, f, env)
	if err := f.Undo(t.Context(), env, before); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Files.Stat(rangesPath); err == nil {
		t.Error("it is still there")
	}
}

// While no API server answers, a file that is as it shall be stays so, and of any other nothing is known.
func TestPodRangeFileWithoutAPI(t *testing.T) {
	a, env, api := withAPI(t)
	asKubelet(t, env, a.Kubeconfig)
	a.Put(withRange)
	f := rangesFile(api)
	settled(t, f, env)
	a.Close()
	o, err := f.Observe(t.Context(), env)
	if err != nil || len(f.Diff(o)) > 0 {
		t.Errorf("%v, %v", f.Diff(o), err)
	}
	f.Text = "{\"mtu\": 9000, \"ranges\": ${ranges}}\n"
	if o, err := f.Observe(t.Context(), env); err == nil {
		t.Errorf("of another text it says %v", f.Diff(o))
	}
	if err := env.Files.Remove(rangesPath); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Observe(t.Context(), env); err == nil {
		t.Errorf("of none it says %v", f.Diff(o))
	}
}

// A kubelet's kubeconfig names the file with its certificate and key.
func TestPodRangeFileByTheCertificateOfAKubelet(t *testing.T) {
	a, env, api := withAPI(t)
	a.Put(withRange)
	certificate, key := pair(ours(), pki.Request{CommonName: "system:node:m1", Algorithm: pki.ECDSAP256, Validity: year, Client: true}, 0)
	conf := strings.ReplaceAll(string(a.Kubeconfig), "token:", "client-certificate: "+currentPair+"\n    client-key: "+currentPair+"\n    token:")
	if conf == string(a.Kubeconfig) {
		t.Fatalf("what has the token is not known:\n%s", conf)
	}
	asKubelet(t, env, []byte(conf))
	f := rangesFile(api)
	if o, err := f.Observe(t.Context(), env); err != nil || o.Value("ranges") != "" {
		t.Errorf("without the pair: %v, %v", o, err)
	}
	if err := env.Files.Write(currentPair, resource.Attributes{Mode: 0o600}, strings.NewReader(certificate+key)); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Observe(t.Context(), env); err != nil || o.Value("ranges") == "" {
		t.Errorf("with the pair: %v, %v", o, err)
	}
}

func TestPodRangeThatNeverComes(t *testing.T) {
	a, env, api := withAPI(t)
	a.Close()
	synctest.Test(t, func(t *testing.T) {
		err := rangesFile(api).Apply(t.Context(), env)
		if err == nil || !strings.Contains(err.Error(), "within 2m0s the node m1 got no range of Pods: the API cannot be asked without the credentials of the kubelet") {
			t.Error(err)
		}
	})
}
