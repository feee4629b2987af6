package pki

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Problem says in words why a certificate is not what a request asks for, or has to be renewed; nothing if it is fine. Its key, and the certificate of the authority that
// shall have signed it, are in PEM form, too. Its algorithm does not count: what is there stays until it is renewed.
func Problem(certificate, key, authority []byte, r Request, now time.Time) string {
	if why := Invalid(certificate, key, authority, r.CommonName, now); why != "" {
		return why
	}
	all, err := certificates(certificate)
	if err != nil {
		return err.Error()
	}
	c := all[0]
	if why := r.differs(c); why != "" {
		return why
	}
	if left := c.NotAfter.Sub(now); left < c.NotAfter.Sub(c.NotBefore)/3 {
		return fmt.Sprintf("it runs out on %s, and less than a third of its time is left", day(c.NotAfter))
	}
	return ""
}

// Invalid says in words why a certificate and its key are of no use for a name with an authority; nothing if they are. Who renews certificates by themselves, as kubelets do,
// needs no more.
func Invalid(certificate, key, authority []byte, commonName string, now time.Time) string {
	all, err := certificates(certificate)
	if err != nil {
		return err.Error()
	}
	c := all[0]
	k, err := parseKey(key)
	if err != nil {
		return err.Error()
	}
	if !samePublic(c.PublicKey, k.Public()) {
		return "its key is another's"
	}
	authorities, err := certificates(authority)
	if err != nil {
		return "its authority: " + err.Error()
	}
	if !slices.ContainsFunc(authorities, func(a *x509.Certificate) bool { return c.CheckSignatureFrom(a) == nil }) {
		return "it is of another authority"
	}
	switch {
	case c.Subject.CommonName != commonName:
		return fmt.Sprintf("it is for %s, not for %s", c.Subject.CommonName, commonName)
	case now.After(c.NotAfter):
		return fmt.Sprintf("it ran out on %s", day(c.NotAfter))
	case now.Before(c.NotBefore):
		return fmt.Sprintf("it is not valid before %s; is the machine's clock right?", c.NotBefore.UTC().Format("2006-01-02 15:04 MST"))
	}
	return ""
}

// differs says how what a certificate says is not what is asked for.
func (r Request) differs(c *x509.Certificate) string {
	if c.IsCA {
		return "it is that of an authority"
	}
	var why []string
	lacks, more := compare(sortedSet(c.Subject.Organization), sortedSet(r.Organizations))
	why = say(why, "it is not in the group ", lacks)
	why = say(why, "it is also in the group ", more)
	says := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			says = append(says, a.Unmap().String())
		}
	}
	wanted := r.dnsNames()
	for _, a := range r.addresses() {
		wanted = append(wanted, a.String())
	}
	lacks, more = compare(sortedSet(says), sortedSet(wanted))
	why = say(why, "it lacks ", lacks)
	why = say(why, "it also says ", more)
	lacks, more = compare(usageNames(c.ExtKeyUsage), usageNames(r.usages()))
	why = say(why, "it is not for ", lacks)
	why = say(why, "it is also for ", more)
	return strings.Join(why, ", and ")
}

// compare tells what is missing of what is wanted, and what there is more.
func compare(got, wanted []string) (lacks, more []string) {
	lacks = slices.DeleteFunc(slices.Clone(wanted), func(s string) bool { return slices.Contains(got, s) })
	more = slices.DeleteFunc(slices.Clone(got), func(s string) bool { return slices.Contains(wanted, s) })
	return lacks, more
}

func sortedSet(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func say(why []string, what string, list []string) []string {
	if len(list) == 0 {
		return why
	}
	return append(why, what+strings.Join(list, ", "))
}

func usageNames(list []x509.ExtKeyUsage) []string {
	var names []string
	for _, u := range list {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			names = append(names, "servers")
		case x509.ExtKeyUsageClientAuth:
			names = append(names, "clients")
		default:
			names = append(names, fmt.Sprintf("usage %d", u))
		}
	}
	return names
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
