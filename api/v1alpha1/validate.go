package v1alpha1

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones can be checked on any computer
	"unicode"
)

// validation checks what a file means, field by field, and writes out its ranges of hosts.
type validation struct {
	*document
	hosts    []Host
	fields   []string // that hosts stand in: several in one, if it is a range
	expanded int      // hosts so far, those with mistakes too
	// eventsBeside says that some host carries members of both clusters of etcd.
	eventsBeside bool
}

// Forms of names, as Kubernetes has them (apimachinery's util/validation), and of others.
var (
	dnsLabel     = form(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	dnsName      = form(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)
	labelName    = form(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	userName     = form(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	ownerName    = form(`^[a-z_][a-z0-9_-]{0,31}:[a-z_][a-z0-9_-]{0,31}$`)
	bastionForm  = form(`^([^@\s]+@)?(\[[0-9a-fA-F:]+\]|[^@:\s\[\]]+)(:[0-9]{1,5})?$`)
	packageName  = form(`^[a-z0-9][a-z0-9+.-]+$`) // Debian Policy 5.6.1
	moduleName   = form(`^[A-Za-z0-9_-]+$`)
	sysctlName   = form(`^[a-z0-9_-]+([./][A-Za-z0-9_:*-]+)+$`)
	octalMode    = form(`^0?[0-7]{3,4}$`)
	journalBytes = form(`^[1-9][0-9]*[KMGT]$`)
	registryHost = form(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?$`)
	envName      = form(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (v *validation) check(c *Cluster) {
	if c.APIVersion != APIVersion {
		v.wrongOrMissing("apiVersion", c.APIVersion, APIVersion)
	}
	if c.Kind != Kind {
		v.wrongOrMissing("kind", c.Kind, Kind)
	}
	if !dnsLabel().MatchString(c.Name) {
		v.wrongOrMissing("name", c.Name, "a DNS label: lower-case letters, digits and -, at most 63")
	}
	v.checkSSH("ssh", c.SSH)
	v.checkHosts(c)
	v.checkPreparation(c.HostPreparation)
	v.checkTimeSync(c.TimeSync)
	v.checkRuntime(c.Runtime)
	v.checkRegistries(c.Registries)
	v.checkFiles(c.Files)
	v.checkKubernetes(c)
}

// stated says whether a field stands in the file.
func (v *validation) stated(field string) bool {
	_, ok := v.positions[field]
	return ok && !v.empty[field]
}

// wrongOrMissing says that a field has a wrong value, or none. What could not even be read has been said already.
func (v *validation) wrongOrMissing(field, value, want string) {
	switch {
	case value != "":
		v.say(field, want, "%q cannot be meant", shown(field, value))
	case v.positions[field] == (position{}):
		v.say(field, want, "it is missing")
	case !slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Field == field }):
		v.say(field, want, "it is empty")
	}
}

// matches says what is wrong with a value that is given and not of a form.
func (v *validation) matches(field, value string, like func() *regexp.Regexp, want string) {
	if value != "" && !like().MatchString(value) {
		v.say(field, want, "%q cannot be meant", shown(field, value))
	}
}

// oneOf says what is wrong with a value that is given and none of those that there are.
func oneOf[T ~string](v *validation, field string, value T, all ...T) {
	if value == "" || slices.Contains(all, value) {
		return
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	v.say(field, oneOfWords(names), "%q cannot be meant", string(value))
}

func oneOfWords(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (v *validation) between(field string, n, low, high int) {
	if v.stated(field) && (n < low || n > high) && !slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Field == field }) {
		v.say(field, fmt.Sprintf("%d to %d", low, high), "%d cannot be meant", n)
	}
}

func (v *validation) checkSSH(field string, s SSH) {
	v.between(field+".port", s.Port, 1, 65535)
	v.matches(field+".user", s.User, userName, "the name of a user")
	v.checkBastion(field+".bastion", s.Bastion)
}

// checkBastion checks bastions behind each other, separated by commas.
func (v *validation) checkBastion(field, value string) {
	const want = "[user@]address[:port]"
	if value == "" {
		return
	}
	all := strings.Split(value, ",")
	for i, b := range all {
		m := bastionForm().FindStringSubmatch(b)
		if m == nil {
			v.say(field, want, "%q cannot be meant", b)
			continue
		}
		if port, err := strconv.Atoi(strings.TrimPrefix(m[3], ":")); m[3] != "" && (err != nil || port < 1 || port > 65535) {
			v.say(field, want+", the port 1 to 65535", "%q cannot be meant", b)
		}
		if slices.Contains(all[:i], b) {
			v.say(field, "each bastion once", "%s is given twice", b)
		}
	}
}

func (v *validation) checkHosts(c *Cluster) {
	if len(c.Hosts) == 0 {
		v.wrongOrMissing("hosts", "", "at least one host")
		return
	}
	names, addresses := map[string]string{}, map[string]string{}
	roles := map[Role]int{}
	for i, h := range c.Hosts {
		field := fmt.Sprintf("hosts[%d]", i)
		v.checkRoles(field, h.Roles)
		v.checkSSH(field+".ssh", h.SSH)
		v.checkLabels(field+".labels", h.Labels)
		v.checkTaints(field+".taints", h.Taints)
		for _, one := range v.expandHost(field, h) {
			if other, taken := names[one.Name]; taken {
				v.say(field+".name", "a name for each host", "%s is the name of %s, too", one.Name, other)
			}
			names[one.Name] = field
			for at, a := range one.contacts(c.SSH) {
				if other, taken := addresses[a]; taken && other != one.Name {
					v.say(field+"."+at, "one that no other host has", "%s has %s, and so has %s", one.Name, strings.Fields(a)[0], other)
				}
				addresses[a] = one.Name
			}
			for _, r := range one.Roles {
				roles[r]++
			}
			v.hosts, v.fields = append(v.hosts, one), append(v.fields, field)
		}
	}
	v.checkMembers(c, roles)
	v.checkStandalone(c, roles)
}

// contacts are the ways to a host that no other host may have, by the field that they stand in: how it is connected to, and where others find it.
func (h Host) contacts(all SSH) iter.Seq2[string, string] {
	return func(yield func(field, contact string) bool) {
		if h.Address != "" && !yield("address", fmt.Sprintf("%s port %d through %s", h.Address, cmp.Or(h.SSH.Port, all.Port, 22), cmp.Or(h.SSH.Bastion, all.Bastion))) {
			return
		}
		internal, field := h.InternalAddresses, "internalAddresses"
		if len(internal) == 0 && h.Address != "" {
			internal, field = []string{h.Address}, "address"
		}
		for _, a := range internal {
			if !yield(field, a+" inside") {
				return
			}
		}
	}
}

// checkMembers checks what roles make sense together.
func (v *validation) checkMembers(c *Cluster, roles map[Role]int) {
	if len(v.hosts) == 0 || slices.ContainsFunc(v.problems, func(p Problem) bool { return strings.HasPrefix(p.Field, "hosts") }) {
		return
	}
	if roles[ControlPlane] == 0 {
		v.say("hosts", "three for high availability, or one", "no host has the role %s", ControlPlane)
		return
	}
	if c.Etcd.External.Wanted() {
		return // any number of control planes will do
	}
	of := Etcd
	if roles[Etcd] == 0 {
		of = ControlPlane
	}
	members := len(EtcdHosts(v.hosts, expandAll(c.Etcd.Events.Hosts)))
	switch {
	case members > 7:
		v.say("hosts", "1, 3, 5 or 7", "%d hosts have the role %s; so many members make etcd slow", members, of)
	case members%2 == 0:
		v.say("hosts", "1, 3, 5 or 7", "%d hosts have the role %s; an even number of members of etcd survives no more failures than one less", members, of)
	}
}

// checkStandalone checks that control planes which are no nodes are no workers either, and that there are some.
func (v *validation) checkStandalone(c *Cluster, roles map[Role]int) {
	if !c.ControlPlane.Standalone {
		return
	}
	said := ""
	for i, h := range v.hosts {
		if slices.Contains(h.Roles, ControlPlane) && slices.Contains(h.Roles, Worker) && v.fields[i] != said {
			said = v.fields[i]
			v.say(said+".roles", "control-plane without worker, or no controlPlane.standalone", "%s would be a worker and, by controlPlane.standalone, no node", h.Name)
		}
	}
	if said == "" && roles[ControlPlane] > 0 && roles[Worker] == 0 {
		v.say("controlPlane.standalone", "at least one host with the role worker", "control planes are no nodes, and there are no others")
	}
}

func (v *validation) checkRoles(field string, roles []Role) {
	field += ".roles"
	if len(roles) == 0 {
		v.wrongOrMissing(field, "", "at least one of "+oneOfWords(roleNames()))
	}
	for i, r := range roles {
		at := fmt.Sprintf("%s[%d]", field, i)
		if r == "" {
			v.wrongOrMissing(at, "", oneOfWords(roleNames()))
		}
		oneOf(v, at, r, Roles...)
		if slices.Contains(roles[:i], r) {
			v.say(at, "", "%s is given twice", r)
		}
	}
}

func roleNames() []string {
	var names []string
	for _, r := range Roles {
		names = append(names, string(r))
	}
	return names
}

// expandHost writes out a range of hosts, as far as it makes sense.
func (v *validation) expandHost(field string, h Host) []Host {
	names := v.expandField(field+".name", h.Name, expand, dnsName, "a DNS name in lower case, at most 63 characters, or a range such as worker[001-200]")
	if v.expanded += len(names); v.expanded > maxRange {
		v.say(field+".name", fmt.Sprintf("at most %d", maxRange), "so far there are %d hosts", v.expanded)
		return nil
	}
	list := make([]Host, len(names))
	for i, n := range names {
		list[i] = h
		list[i].Name = n
		list[i].Address, list[i].InternalAddresses = "", nil
	}
	spread := func(field, value string, set func(h *Host, address string)) []string {
		addresses := v.expandAddressField(field, value)
		if addresses == nil || names == nil {
			return addresses
		}
		if len(addresses) != len(names) {
			v.say(field, fmt.Sprintf("%d, one for each name", len(names)), "%q stands for %d addresses", value, len(addresses))
			return addresses
		}
		for i, a := range addresses {
			set(&list[i], a)
		}
		return addresses
	}
	spread(field+".address", h.Address, func(h *Host, a string) { h.Address = a })
	families := map[bool]bool{}
	for i, value := range h.InternalAddresses {
		at := fmt.Sprintf("%s.internalAddresses[%d]", field, i)
		all := spread(at, value, func(h *Host, a string) { h.InternalAddresses = append(h.InternalAddresses, a) })
		if len(all) == 0 {
			continue
		}
		ip, err := netip.ParseAddr(all[0])
		switch {
		case err != nil:
			v.say(at, "an IP address", "%q is none", value)
		case families[ip.Is4()]:
			v.say(at, "one address of each family", "%q is a second one of its family", value)
		default:
			families[ip.Is4()] = true
		}
	}
	return list
}

func (v *validation) expandField(field, value string, expand func(string) ([]string, error), like func() *regexp.Regexp, want string) []string {
	if value == "" {
		v.wrongOrMissing(field, "", want)
		return nil
	}
	list, err := expand(value)
	if err != nil {
		v.say(field, want, "%v", err)
		return nil
	}
	for _, one := range list {
		// Linux takes 64 characters for a host name, and Kubernetes 63 for the label that holds it.
		if len(one) > 63 || !like().MatchString(one) {
			v.say(field, want, "%q cannot be meant", one)
			return nil
		}
	}
	return list
}

// expandAddressField writes out addresses.
func (v *validation) expandAddressField(field, value string) []string {
	const want = "an IP address, a range such as 10.0.0.[11-13], or a DNS name"
	if value == "" {
		v.wrongOrMissing(field, "", want)
		return nil
	}
	list, err := expandAddress(value)
	if err != nil {
		v.say(field, want, "%v", err)
		return nil
	}
	for i, one := range list {
		if ip, err := netip.ParseAddr(one); err == nil && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() {
			list[i] = ip.Unmap().String()
			continue
		}
		// What looks like an address and is none, 10.0.0.256, must not be taken for a name.
		if len(one) > 253 || !dnsName().MatchString(one) || strings.Trim(one, "0123456789.") == "" {
			v.say(field, want, "%q cannot be meant", one)
			return nil
		}
	}
	return list
}

func (v *validation) checkLabels(field string, labels map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		at := join(field, name)
		v.checkQualified(at, name)
		v.matches(at, labels[name], labelName, "at most 63 letters, digits, -, _ and ., a letter or digit at both ends")
	}
}

// checkQualified checks the name of a label or taint: [prefix/]name.
func (v *validation) checkQualified(field, name string) {
	prefix, short, found := strings.Cut(name, "/")
	if !found {
		prefix, short = "", name
	}
	if found && (len(prefix) > 253 || !dnsName().MatchString(prefix)) || !labelName().MatchString(short) {
		v.say(field, "[prefix/]name: the prefix a DNS name, the name at most 63 letters, digits, -, _ and .", "%q cannot be meant", name)
	}
}

func (v *validation) checkTaints(field string, taints []Taint) {
	for i, t := range taints {
		at := fmt.Sprintf("%s[%d]", field, i)
		if t.Key == "" {
			v.wrongOrMissing(at+".key", "", "[prefix/]name")
		} else {
			v.checkQualified(at+".key", t.Key)
		}
		v.matches(at+".value", t.Value, labelName, "at most 63 letters, digits, -, _ and .")
		if t.Effect == "" {
			v.wrongOrMissing(at+".effect", "", "NoSchedule, PreferNoSchedule or NoExecute")
		}
		oneOf(v, at+".effect", t.Effect, NoSchedule, PreferNoSchedule, NoExecute)
		if slices.ContainsFunc(taints[:i], func(o Taint) bool { return o.Key == t.Key && o.Effect == t.Effect && t.Key != "" }) {
			v.say(at, "", "%s with this effect is given twice", t.Key)
		}
	}
}

func (v *validation) checkPreparation(p HostPreparation) {
	const field = "hostPreparation"
	oneOf(v, field+".firewall", p.Firewall, Open, Disable, Leave)
	oneOf(v, field+".selinux", p.SELinux, Permissive, Leave)
	for i, name := range p.Packages {
		v.matches(fmt.Sprintf("%s.packages[%d]", field, i), name, packageName, "the name of a package, such as xfsprogs")
	}
	for i, m := range p.KernelModules {
		v.matches(fmt.Sprintf("%s.kernelModules[%d]", field, i), m, moduleName, "the name of a module, such as ip_vs")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sysctls)) {
		at := join(field+".sysctls", name)
		v.matches(at, name, sysctlName, "a name such as net.ipv4.ip_forward")
		if strings.ContainsAny(p.Sysctls[name], "\n\r") {
			v.say(at, "one line", "the value has several")
		}
		if value := strings.TrimSpace(p.Sysctls[name]); value != "" && (name == "fs.nr_open" || name == "fs/nr_open") {
			least := cmp.Or(p.OpenFiles, defaultOpenFiles)
			if n, err := strconv.ParseUint(value, 10, 64); err != nil || n < uint64(max(least, 0)) {
				v.say(at, fmt.Sprintf("at least %d, as hostPreparation.openFiles is", least), "%q is less than processes may open", value)
			}
		}
	}
	v.between(field+".openFiles", p.OpenFiles, 1024, 1<<30)
	if p.TimeZone != "" {
		if _, err := time.LoadLocation(p.TimeZone); err != nil || p.TimeZone == "Local" {
			v.say(field+".timeZone", "a name of the time zone database, such as Europe/Berlin", "%q is none", p.TimeZone)
		}
	}
	v.matches(field+".journalSize", p.JournalSize, journalBytes, "a size such as 500M or 1G")
}

func (v *validation) checkTimeSync(t TimeSync) {
	oneOf(v, "timeSync.mode", t.Mode, "chrony", "leave")
	for i, s := range t.Servers {
		if at := fmt.Sprintf("timeSync.servers[%d]", i); !isAddressOrName(s) {
			v.say(at, "an IP address or a DNS name", "%q cannot be meant", s)
		}
	}
	if t.Mode == "leave" && len(t.Servers)+len(t.ServerHosts) > 0 {
		v.say("timeSync.mode", "chrony, or no servers", "servers are for chrony")
	}
	known := map[string]bool{}
	for _, h := range v.hosts {
		known[h.Name] = true
	}
	for i, name := range t.ServerHosts {
		at := fmt.Sprintf("timeSync.serverHosts[%d]", i)
		list, err := expand(name)
		if err != nil {
			v.say(at, "the name of a host, or a range", "%v", err)
		}
		for _, one := range list {
			if !known[one] {
				v.say(at, "the name of a host of this file", "there is no host %q", one)
				break
			}
		}
	}
}

func isAddressOrName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || dnsName().MatchString(s) && strings.Trim(s, "0123456789.") != ""
}

func (v *validation) checkRuntime(r Runtime) {
	oneOf(v, "runtime.name", r.Name, "containerd")
	if r.Root != "" {
		v.checkOwnDirectory("runtime.root", r.Root, defaultRuntimeRoot)
	}
	v.between("runtime.maxConcurrentDownloads", r.MaxConcurrentDownloads, 1, 100)
}

// checkOwnDirectory checks a directory that belongs to one program, which usually has another.
func (v *validation) checkOwnDirectory(field, dir, usual string) {
	want := "an absolute path of a directory of its own, such as /data/" + path.Base(usual)
	switch {
	case !isPlace(dir):
		v.say(field, want, "%q cannot be meant", dir)
	case dir != usual && (strings.Count(dir, "/") == 1 || slices.Contains(shared, dir) || slices.ContainsFunc(systems, func(s string) bool { return strings.HasPrefix(dir, s+"/") })):
		v.say(field, want, "%s is not for it alone", dir)
	}
}

// Directories of systems and of other programs: containerd and etcd would close theirs to all others, and it goes with the cluster. Nothing of its belongs below the first
// ones; the second ones hold directories of others. Those with one name only are refused anyway: they are the system's, or where a disk is mounted.
var (
	systems = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/run", "/var/lock"}
	shared  = []string{"/var/backups", "/var/cache", "/var/lib", "/var/local", "/var/lock", "/var/log", "/var/mail", "/var/opt", "/var/run", "/var/spool", "/var/tmp", "/var/www",
		"/var/lib/apt", "/var/lib/containerd", "/var/lib/dbus", "/var/lib/dpkg", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/kubewright", "/var/lib/rpm", "/var/lib/systemd"}
)

// isPlace says whether a path is absolute and plain, and not the root itself.
func isPlace(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && !strings.ContainsFunc(p, unicode.IsControl)
}

func (v *validation) checkRegistries(list []Registry) {
	for i, r := range list {
		at := fmt.Sprintf("registries[%d]", i)
		if !registryHost().MatchString(r.Host) {
			v.wrongOrMissing(at+".host", withoutSecrets(r.Host), "a host as in image names, such as registry.example:5000")
		}
		if slices.ContainsFunc(list[:i], func(o Registry) bool { return o.Host == r.Host && r.Host != "" }) {
			v.say(at+".host", "", "%s is given twice", r.Host)
		}
		for n, m := range r.Mirrors {
			u, err := url.Parse(m)
			if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
				v.say(fmt.Sprintf("%s.mirrors[%d]", at, n), "https://host[:port][/path], or http://, without credentials", "%q cannot be meant", withoutSecrets(m))
			}
		}
		if c := r.Credentials; c != nil {
			v.checkCredentials(at+".credentials", *c)
		}
	}
}

// withoutSecrets hides what may be a password in an address: a user before it, a query after it.
func withoutSecrets(address string) string {
	if before, _, found := strings.Cut(address, "?"); found {
		address = before + "?…"
	}
	if i := strings.LastIndex(address, "@"); i >= 0 {
		return "…" + address[i:]
	}
	return address
}

func (v *validation) checkCredentials(field string, c Credentials) {
	if c.Username == "" {
		v.wrongOrMissing(field+".username", "", "a user name")
	}
	given := 0
	for _, set := range []bool{c.PasswordFile != "", c.PasswordEnv != "", len(c.PasswordCommand) > 0} {
		if set {
			given++
		}
	}
	if given != 1 {
		v.say(field, "one of passwordFile, passwordEnv and passwordCommand", "it has %d of them", given)
	}
	v.matches(field+".passwordEnv", c.PasswordEnv, envName, "the name of an environment variable")
}

func (v *validation) checkFiles(list []File) {
	for i, f := range list {
		at := fmt.Sprintf("files[%d]", i)
		if f.Source == "" {
			v.wrongOrMissing(at+".source", "", "a file")
		}
		if !isPlace(f.Path) {
			v.wrongOrMissing(at+".path", f.Path, "an absolute path of a file")
		}
		v.matches(at+".mode", f.Mode, octalMode, `octal permissions in quotes, such as "0644"`)
		v.matches(at+".owner", f.Owner, ownerName, "user:group")
		for n, r := range f.Roles {
			oneOf(v, fmt.Sprintf("%s.roles[%d]", at, n), r, Roles...)
		}
		if slices.ContainsFunc(list[:i], func(o File) bool { return o.Path == f.Path && f.Path != "" && overlap(o.Roles, f.Roles) }) {
			v.say(at+".path", "", "%s is given twice for one host", f.Path)
		}
	}
}

// overlap says whether some host may have one of both lists of roles; an empty one is all hosts.
func overlap(a, b []Role) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(r Role) bool { return slices.Contains(b, r) })
}
