package runtime

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

// registriesDir has a directory for each registry, in which containerd and CRI-O look when they pull from it: no restart is needed.
const registriesDir = "/etc/containerd/certs.d"

func registryDir(r cluster.Registry) string { return registriesDir + "/" + r.Host }

// AuthoritiesPath is where hosts have the certificates that a registry is trusted by.
func AuthoritiesPath(r cluster.Registry) string { return registryDir(r) + "/authorities.pem" }

// registries are what is to be known of them (docs/hosts.md of containerd).
func registries(c *cluster.Cluster) []resource.Resource {
	list := []resource.Resource{resource.Directory{Path: registriesDir}}
	byHost := map[string]cluster.Registry{}
	for _, r := range c.Registries {
		byHost[r.Host] = r
	}
	for _, r := range c.Registries {
		list = append(list, resource.Directory{Path: registryDir(r)})
		if len(r.Authorities) > 0 {
			list = append(list, resource.File{Path: AuthoritiesPath(r), Digest: resource.DigestOf(r.Authorities), Content: r.Authorities})
		}
		f := resource.NewFile(registryDir(r)+"/hosts.toml", hosts(r, byHost))
		f.Mode, f.Secret = 0o600, true // there may be a password in it, or was before
		list = append(list, f)
	}
	return list
}

// hosts is the hosts.toml of a registry. The registry itself is what stands before the first host; where it is, containerd
// knows. A mirror that is a registry of the cluster file itself is reached as is said there, too: with its authorities and credentials. The credentials
// of a registry are for nobody else.
func hosts(r cluster.Registry, byHost map[string]cluster.Registry) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	header := func(of cluster.Registry, table string) {
		if of.Credentials != nil {
			line("\n[%s]", table)
			line("Authorization = %s", quote(basic(of)))
		}
	}
	line("# Kubewright wrote this, and writes it again when it is changed here: change registries in the cluster file.")
	trust(line, []cluster.Registry{r}, r.Insecure)
	header(r, "header")
	seen := map[string]bool{}
	for _, m := range r.Mirrors {
		u, err := url.Parse(m)
		if err != nil || seen[m] {
			continue // the cluster file was checked
		}
		seen[m] = true
		table := "host." + quote(m)
		line("\n[%s]", table)
		line(`capabilities = ["pull", "resolve"]`)
		if strings.HasPrefix(u.Path, "/v2/") {
			line("override_path = true") // it is the path of the API already, as proxies of Harbor have it
		}
		own, known := byHost[u.Host]
		if u.Scheme == "https" { // with something to trust, containerd would try https where http was asked for
			of := []cluster.Registry{r}
			if known && own.Host != r.Host {
				of = append(of, own)
			}
			trust(line, of, known && own.Insecure)
		}
		if known {
			header(own, table+".header")
		}
	}
	return b.String()
}

// trust says by whose certificates a host is known.
func trust(line func(string, ...any), of []cluster.Registry, insecure bool) {
	var files []string
	for _, r := range of {
		if len(r.Authorities) > 0 {
			files = append(files, quote(AuthoritiesPath(r)))
		}
	}
	if len(files) > 0 {
		line("ca = [%s]", strings.Join(files, ", "))
	}
	if insecure {
		line("skip_verify = true")
	}
}

// basic is the value of a header by which one logs in (RFC 7617). containerd gives it to the server that makes tokens, too.
func basic(r cluster.Registry) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(r.Credentials.Username+":"+r.Password))
}
