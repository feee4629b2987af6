package converge

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// decoder makes values that can be compared of what files and objects hold: maps, lists, texts and numbers, as of JSON.
type decoder struct {
	// authority is how the certificate of the cluster's authority stands in kubeconfigs.
	authority string
}

// isKey says whether a file holds a private key, which is not looked at.
func isKey(file string) bool { return path.Ext(file) == ".key" }

// file decodes a file by its name.
func (d decoder) file(name string, content []byte) (map[string]any, error) {
	switch path.Ext(name) {
	case ".key":
		return map[string]any{}, nil
	case ".crt", ".pem", ".pub":
		return publicPart(content)
	case ".env":
		args, err := environment(string(content))
		return map[string]any{"KUBELET_KUBEADM_ARGS": args}, err
	case ".yaml", ".conf":
		return d.document(content)
	}
	return nil, errors.New("nobody knows how to read it")
}

// publicPart is what is public in PEM: a certificate, or a key.
func publicPart(content []byte) (map[string]any, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	if block.Type != "CERTIFICATE" {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		return map[string]any{"kind": block.Type, "algorithm": algorithm(key)}, err
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	var addresses, usages, uses []string
	for _, a := range c.IPAddresses {
		addresses = append(addresses, a.String())
	}
	for _, u := range c.ExtKeyUsage {
		usages = append(usages, map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "server", x509.ExtKeyUsageClientAuth: "client"}[u])
	}
	for use, name := range map[x509.KeyUsage]string{
		x509.KeyUsageDigitalSignature: "digital signature", x509.KeyUsageKeyEncipherment: "key encipherment", x509.KeyUsageCertSign: "certificates",
	} {
		if c.KeyUsage&use != 0 {
			uses = append(uses, name)
		}
	}
	return map[string]any{
		"kind": block.Type, "authority": c.Issuer.CommonName, "name": c.Subject.CommonName, "groups": sorted(c.Subject.Organization),
		"dnsNames": sorted(c.DNSNames), "addresses": sorted(addresses), "usages": sorted(usages), "keyUsage": strings.Join(slices.Sorted(slices.Values(uses)), ", "), "isAuthority": c.IsCA,
		"algorithm": algorithm(c.PublicKey), "signature": c.SignatureAlgorithm.String(),
		"validity": c.NotAfter.Sub(c.NotBefore).Truncate(24 * time.Hour).String(), // both begin it a little in the past
	}, nil
}

func algorithm(key any) string {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		return k.Params().Name
	}
	return fmt.Sprintf("%T", key)
}

func sorted(list []string) []any {
	var all []any
	for _, s := range slices.Sorted(slices.Values(list)) {
		all = append(all, s)
	}
	return all
}

// environment are the arguments of the kubelet in a file of systemd's.
func environment(content string) ([]any, error) {
	args, ok := strings.CutPrefix(strings.TrimSpace(content), `KUBELET_KUBEADM_ARGS="`)
	if !ok {
		return nil, errors.New("it does not begin with KUBELET_KUBEADM_ARGS")
	}
	var list []any
	for arg := range strings.FieldsSeq(strings.TrimSuffix(args, `"`)) {
		list = append(list, arg)
	}
	return list, nil
}

// document decodes YAML that is a map.
func (d decoder) document(content []byte) (map[string]any, error) {
	var fields map[string]any
	if err := yaml.Unmarshal(content, &fields); err != nil {
		return nil, err
	}
	switch fields["kind"] {
	case "Config":
		if err := d.credentials(fields); err != nil {
			return nil, err
		}
	case "KubeletConfiguration":
		withoutZeros(fields, false)
	case "KubeProxyConfiguration":
		withoutZeros(fields, true)
	}
	return inOneForm(fields).(map[string]any), nil
}

// credentials has a kubeconfig say what its certificates say.
func (d decoder) credentials(value any) error {
	switch v := value.(type) {
	case map[string]any:
		if v["certificate-authority-data"] == d.authority {
			v["certificate-authority-data"] = "that of the cluster"
		}
		if v["client-key-data"] != nil {
			v["client-key-data"] = "a key"
		}
		if data, ok := v["client-certificate-data"].(string); ok {
			b, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				return err
			}
			if v["client-certificate-data"], err = publicPart(b); err != nil {
				return err
			}
		}
		for _, inner := range v {
			if err := d.credentials(inner); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := d.credentials(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutZeros takes out of a configuration what is as if it were not said: kubeadm writes each field of its types, most as zero, which is the default.
func withoutZeros(fields map[string]any, booleans bool) {
	for name, value := range fields {
		switch v := value.(type) {
		case map[string]any:
			if withoutZeros(v, booleans); len(v) == 0 {
				delete(fields, name)
			}
		case nil:
			delete(fields, name)
		default:
			if v == "" || v == "0" || v == "0s" || v == 0.0 || v == false && booleans {
				delete(fields, name)
			}
		}
	}
}

// inOneForm writes lengths of time in one way: "8760h" is "8760h0m0s".
func inOneForm(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = inOneForm(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = inOneForm(inner)
		}
	case string:
		if d, err := time.ParseDuration(v); err == nil && v != "0" {
			return d.String()
		}
	}
	return value
}

// object decodes what is written in an object, and has it say what the API would make of it.
func (d decoder) object(object map[string]any) (map[string]any, error) {
	b, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var fields map[string]any // numbers are of one type then
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status") // is the API's to say, as are these
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "resourceVersion")
		delete(metadata, "managedFields")
		delete(metadata, "creationTimestamp")
	}
	subjects, _ := fields["subjects"].([]any)
	for _, s := range subjects {
		if s, ok := s.(map[string]any); ok && s["kind"] != "ServiceAccount" && s["apiGroup"] == nil {
			s["apiGroup"] = "rbac.authorization.k8s.io" // SetDefaults_Subject of pkg/apis/rbac/v1
		}
	}
	data, _ := fields["data"].(map[string]any)
	for key, value := range data {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("data.%s is no text", key)
		}
		switch {
		case fields["kind"] == "Secret":
			data[key], err = secretText(key, text)
		case key == "Corefile":
			data[key], err = corefile(text)
		case strings.Contains(text, "\nkind: "):
			data[key], err = d.document([]byte(text))
		}
		if err != nil {
			return nil, fmt.Errorf("data.%s: %w", key, err)
		}
	}
	if fields["kind"] == "Secret" && data != nil {
		fields["stringData"] = data
		delete(fields, "data")
	}
	return fields, nil
}

// secretText is what stands in a Secret. Of a time, it is how far away that is.
func secretText(key, data string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil || key != "expiration" {
		return string(b), err
	}
	ends, err := time.Parse(time.RFC3339, string(b))
	return fmt.Sprintf("in %.0fh", time.Until(ends).Hours()), err
}

// corefile are the lines of a Corefile, those in a block under the line that begins it.
func corefile(text string) (map[string]any, error) {
	all := map[string]any{}
	blocks := []map[string]any{all}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		in := blocks[len(blocks)-1]
		switch begin, isBlock := strings.CutSuffix(line, " {"); {
		case line == "":
		case isBlock:
			block := map[string]any{}
			in[begin] = block
			blocks = append(blocks, block)
		case line == "}" && len(blocks) > 1:
			blocks = blocks[:len(blocks)-1]
		case line == "}":
			return nil, errors.New("a block ends that did not begin")
		default:
			in[line] = ""
		}
	}
	if len(blocks) != 1 {
		return nil, errors.New("a block does not end")
	}
	return all, nil
}

func TestDecoder(t *testing.T) {
	inJSON := func(value any) string {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	certificate, err := os.ReadFile("testdata/kubeadm-1.37/host/etc/kubernetes/pki/etcd/peer.crt")
	if err != nil {
		t.Fatal(err)
	}
	config := "kind: Config\nclusters: [{name: c, cluster: {certificate-authority-data: CA}}]\nusers: [{name: u, user: {client-key-data: secret, client-certificate-data: " +
		base64.StdEncoding.EncodeToString(certificate) + "}}]\n"
	const said = `{"addresses":["10.0.0.11","127.0.0.1","::1"],"algorithm":"P-256","authority":"etcd-ca","dnsNames":["cp1","localhost"],"groups":null,"isAuthority":false,` +
		`"keyUsage":"digital signature, key encipherment","kind":"CERTIFICATE","name":"cp1","signature":"ECDSA-SHA256","usages":["client","server"],"validity":"8760h0m0s"}`
	const user = `"users":[{"name":"u","user":{"client-certificate-data":` + said + `,"client-key-data":"a key"}}]}`
	for _, tt := range []struct{ file, content, want string }{
		{"x.key", "secret", `{}`},
		{"x.crt", string(certificate), said},
		{"x.conf", config, `{"clusters":[{"cluster":{"certificate-authority-data":"that of the cluster"},"name":"c"}],"kind":"Config",` + user},
		{"x.conf", strings.Replace(config, "CA", "XX", 1), `{"clusters":[{"cluster":{"certificate-authority-data":"XX"},"name":"c"}],"kind":"Config",` + user},
		{"x.yaml", "kind: KubeletConfiguration\na: 0s\nb: 8760h\nc: {d: null, e: 0}\nf: false\ng: 1\n", `{"b":"8760h0m0s","f":false,"g":1,"kind":"KubeletConfiguration"}`},
		{"x.yaml", "kind: KubeProxyConfiguration\nf: false\ng: true\n", `{"g":true,"kind":"KubeProxyConfiguration"}`},
		{"x.yaml", "kind: Pod\na: 0\nf: false\ng: \"\"\n", `{"a":0,"f":false,"g":"","kind":"Pod"}`},
		{"x.env", "KUBELET_KUBEADM_ARGS=\"--a=b --c\"\n", `{"KUBELET_KUBEADM_ARGS":["--a=b","--c"]}`},
		{"x.env", "OTHER=\"--a=b\"\n", ""},
		{"x.crt", "nothing", ""},
		{"x.txt", "nothing", ""},
	} {
		got, err := decoder{authority: "CA"}.file(tt.file, []byte(tt.content))
		if (err != nil) != (tt.want == "") || err == nil && inJSON(got) != tt.want {
			t.Errorf("%s with %q: %s, %v; want %s", tt.file, tt.content, inJSON(got), err, tt.want)
		}
	}
	for _, tt := range []struct{ object, want string }{
		{`{kind: RoleBinding, metadata: {name: a, resourceVersion: "1", managedFields: []}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s}], status: {a: 1}}`,
			`{"kind":"RoleBinding","metadata":{"name":"a"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"u"},{"kind":"ServiceAccount","name":"s"}]}`},
		{`{kind: Secret, data: {a: Yg==}}`, `{"kind":"Secret","stringData":{"a":"b"}}`},
		{`{kind: ConfigMap, data: {Corefile: "x {\n  y\n  z 1 {\n }\n}\n", other: text}}`, `{"data":{"Corefile":{"x":{"y":"","z 1":{}}},"other":"text"},"kind":"ConfigMap"}`},
		{`{kind: ConfigMap, data: {Corefile: "x {\n"}}`, ""},
		{`{kind: ConfigMap, data: {Corefile: "}\n"}}`, ""},
	} {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(tt.object), &object); err != nil {
			t.Fatal(err)
		}
		got, err := decoder{}.object(object)
		if (err != nil) != (tt.want == "") || err == nil && inJSON(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.object, inJSON(got), err, tt.want)
		}
	}
}
