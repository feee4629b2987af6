package v1alpha1

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkExternalEtcd checks an etcd of the user's: that it is said where it is and how control planes come to it, and that nothing is asked of members that there are none of.
func (v *validation) checkExternalEtcd(c *Cluster) {
	const field = "etcd.external"
	e := c.Etcd.External
	if !e.Wanted() {
		if v.stated(field+".endpoints") || e.CA != "" || e.Certificate != "" || e.Key != "" || e.Prefix != "" {
			v.say(field, field+".endpoints, or none of this", "it does not say where the etcd is")
		}
		return
	}
	for i, u := range e.Endpoints {
		at := fmt.Sprintf("%s.endpoints[%d]", field, i)
		switch {
		case !isEndpoint(u):
			v.wrongOrMissing(at, u, "where a member answers clients, such as https://etcd1.example.com:2379")
		case slices.Contains(e.Endpoints[:i], u):
			v.say(at, "", "%s is given twice", u)
		}
	}
	for _, f := range []struct{ name, value, want string }{
		{"ca", e.CA, "the file with the certificates of its authority"},
		{"certificate", e.Certificate, "the file with the certificate that API servers show to it"},
		{"key", e.Key, "the file with the key of that certificate"},
	} {
		if f.value == "" {
			v.wrongOrMissing(field+"."+f.name, "", f.want)
		}
	}
	if p := e.Prefix; p != "" && (!strings.HasPrefix(p, "/") || p == "/" || strings.HasSuffix(p, "/") || strings.ContainsFunc(p, notInPrefix)) {
		v.say(field+".prefix", "a path such as /registry", "%q cannot be meant", p)
	}
	for i, h := range v.hosts {
		if at := v.fields[i] + ".roles"; slices.Contains(h.Roles, Etcd) && !v.hasProblem(at) {
			v.say(at, "no host with the role etcd, or no etcd.external", "%s would carry a member, and the etcd is your own", h.Name)
		}
	}
	for _, name := range []string{"quota", "compactionRetention", "compactionMode", "dataDir", "clientPort", "peerPort", "extraArgs"} {
		if v.stated("etcd." + name) {
			v.say("etcd."+name, "none of it, or no etcd.external", "it is of members that hosts of this file carry, and the etcd is your own")
		}
	}
	if c.Etcd.Events.Wanted() {
		v.say("etcd.events", "none, or no etcd.external", "API servers know one authority for all etcds that they use, and that is yours")
	}
}

// isEndpoint says whether a text is where a member of etcd answers clients.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0 && isAddressOrName(u.Hostname())
}

// notInPrefix says that a character has no place in the names of what is stored.
func notInPrefix(r rune) bool {
	return !(r == '/' || r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
}
