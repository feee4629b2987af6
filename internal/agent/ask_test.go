package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// keys answer what agents ask.
type keys struct {
	sign   func(ctx context.Context, host string, of resource.ID, request []byte) ([]byte, error)
	secret func(ctx context.Context, host string, of resource.ID, name string) ([]byte, error)
}

func (k keys) Sign(ctx context.Context, host string, of resource.ID, request []byte) ([]byte, error) {
	return k.sign(ctx, host, of, request)
}

func (k keys) Secret(ctx context.Context, host string, of resource.ID, name string) ([]byte, error) {
	return k.secret(ctx, host, of, name)
}

// secretFile is a file that control planes share.
func secretFile(content string) resource.SharedFile {
	return resource.SharedFile{Path: resource.EncryptionConfig, Secret: "encryption", Digest: resource.DigestOf([]byte(content))}
}

func TestAsking(t *testing.T) {
	ca, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, 24*365*time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	h.write(t, resource.PKIDir+"/ca.crt", string(ca.Certificate))
	wanted := resource.Certificate{Path: resource.PKIDir + "/apiserver", Request: pki.Request{Authority: pki.Kubernetes, CommonName: "kube-apiserver", Server: true, Algorithm: pki.ECDSAP256, Validity: time.Hour}}
	fail := error(nil)
	h.keys = keys{
		sign: func(_ context.Context, host string, of resource.ID, request []byte) ([]byte, error) {
			if fail != nil {
				return nil, fail
			}
			if host != "m1" || of != wanted.ID() {
				t.Errorf("%s asks for %s", host, of)
			}
			if strings.Contains(string(request), "PRIVATE KEY") {
				t.Error("a key travels")
			}
			return pki.Sign(ca, wanted.Request, request, h.env.Kernel.Now())
		},
		secret: func(_ context.Context, host string, of resource.ID, name string) ([]byte, error) {
			if fail != nil {
				return nil, fail
			}
			if host != "m1" || of != secretFile("").ID() || name != "encryption" {
				t.Errorf("%s asks for %s of %s", host, name, of)
			}
			return []byte("the secret\n"), nil
		},
	}
	c := h.session(t)
	fail = errors.New("the authority is on a machine that is gone")
	for _, r := range []resource.Resource{wanted, secretFile("the secret\n")} {
		_, changed, err := applied(t, c, step(r))
		if err == nil || !strings.Contains(err.Error(), fail.Error()) || len(changed) > 0 {
			t.Errorf("%s: %v, changed are %q", r.ID(), err, changed)
		}
	}
	if h.text(resource.EncryptionConfig) != "" || h.text(wanted.Path+".crt") != "" || h.text(wanted.Path+".key") != "" {
		t.Error("something was written of what failed")
	}
	fail = nil
	mustApply(t, c, step(wanted, secretFile("the secret\n")))
	if h.text(resource.EncryptionConfig) != "the secret\n" || !strings.Contains(h.text(wanted.Path+".crt"), "CERTIFICATE") {
		t.Errorf("there is %q", h.text(resource.EncryptionConfig))
	}
	if again := mustApply(t, c, step(wanted, secretFile("the secret\n"))); len(again) > 0 {
		t.Errorf("again it changes %q", again)
	}
}

// TestAskingWithoutKeys has a run that knows none asked for one.
func TestAskingWithoutKeys(t *testing.T) {
	h := newHost(t)
	c := h.session(t)
	if _, _, err := applied(t, c, step(secretFile("x"))); err == nil || !strings.Contains(err.Error(), "there are no keys in this run") {
		t.Errorf("%v", err)
	}
}

// TestAskerGoes has the client go while it is asked: the agent does not wait for it.
func TestAskerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		asked := make(chan struct{})
		h.keys = keys{secret: func(ctx context.Context, _ string, _ resource.ID, _ string) ([]byte, error) {
			close(asked)
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c, ended := h.connect(t)
		lock(t, c, "run 1")
		go func() {
			<-asked
			c.Close()
		}()
		if _, _, err := applied(t, c, step(secretFile("x"))); err == nil {
			t.Error("it is there, and nobody answered")
		}
		<-ended
		if h.text(resource.EncryptionConfig) != "" || h.locks.isHeld() {
			t.Errorf("there is %q, and the lock is held: %t", h.text(resource.EncryptionConfig), h.locks.isHeld())
		}
	})
}

// TestWhatIsTheClusters has objects of the API made by a machine that does not remember them: they are not its.
func TestWhatIsTheClusters(t *testing.T) {
	api := kubefake.New()
	defer api.Close()
	h := newHost(t)
	h.write(t, "/etc/kubernetes/admin.conf", string(api.Kubeconfig))
	const owned = "/var/lib/kubewright/owned.json"
	object := func(name string) resource.KubeObject {
		o, err := resource.NewKubeObject(resource.API{Servers: []string{api.Address}}, map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "default", "name": name}, "data": map[string]any{"k": "v"}})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	c := h.session(t)
	if changed := mustApply(t, c, step(object("a"), object("b"))); len(changed) != 2 {
		t.Fatalf("changed are %q", changed)
	}
	if again := mustApply(t, c, step(object("a"), h.file("/etc/a", "a\n"))); len(again) != 1 { // one that is found as it shall be is not taken over, either
		t.Errorf("again it changes %q", again)
	}
	if text := h.text(owned); strings.Contains(text, "ConfigMap") || !strings.Contains(text, "/etc/a") {
		t.Errorf("the machine remembers %s", text)
	}
	if o := observe(t, c); len(o.Removals) != 1 {
		t.Errorf("%v would go", o.Removals)
	}
	if gone := reset(t, c); len(gone) != 1 {
		t.Errorf("%q went", gone)
	}
	if again := mustApply(t, h.session(t), step(object("a"), object("b"))); len(again) > 0 {
		t.Errorf("%q went with the machine", again)
	}
}

// TestShared gives what control planes share to who has the lock alone.
func TestShared(t *testing.T) {
	h := newHost(t)
	private, public, err := pki.NewServiceAccount(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, resource.ServiceAccountKey, string(private))
	h.write(t, resource.PKIDir+"/etcd/ca.key", "key of etcd\n")
	h.write(t, resource.PKIDir+"/etcd/ca.crt", "certificate of etcd\n")
	h.write(t, "/etc/kubernetes/admin.conf", "nobody else's business\n")
	c, _ := h.connect(t)
	if files, err := c.Shared(t.Context()); err == nil || len(files) > 0 || !strings.Contains(err.Error(), "lock") {
		t.Errorf("without the lock: %d files, %v", len(files), err)
	}
	lock(t, c, "run 1")
	files, err := c.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{resource.ServiceAccountKey: string(private), resource.ServiceAccountPublic: string(public), resource.PKIDir + "/etcd/ca.key": "key of etcd\n"}
	for path, content := range want {
		if string(files[path]) != content {
			t.Errorf("%s is not what lies there", path)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files are given; want %d", len(files), len(want))
	}
}
