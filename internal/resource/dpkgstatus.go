package resource

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// dpkgStatus is what dpkg knows of packages, a list (deb822(5)). What changes while dpkg works is in files of dpkgUpdates first, and stays there if it is killed;
// with nothing in there, the list is all. Apt reads both in this way, too (apt-pkg/deb/debsystem.cc).
const (
	dpkgStatus  = "/var/lib/dpkg/status"
	dpkgUpdates = "/var/lib/dpkg/updates"
)

// maxDpkgLine is far more than a field has, in bytes.
const maxDpkgLine = 1 << 20

// readDpkgStatus reads what dpkg-query would say, which costs a machine much less than to start that. Where it cannot, dpkg-query has to be asked, or says why not.
func readDpkgStatus(env *Env) (list []packageState, ok bool) {
	if updates, err := env.Files.List(dpkgUpdates); err != nil || len(updates) > 0 {
		return nil, false
	}
	f, err := env.Files.Open(dpkgStatus)
	if err != nil {
		return nil, false
	}
	defer func() { _ = f.Close() }()
	list, err = parseDpkgStatus(f)
	return list, err == nil
}

// dpkgFields are those of a package that are of use here.
type dpkgFields struct{ name, status, arch, multiArch, version, preDepends, depends, provides, essential, protected string }

// parseDpkgStatus reads dpkg's list. It is long, so it is not held as a whole.
func parseDpkgStatus(r io.Reader) ([]packageState, error) {
	var found []dpkgFields
	native := "" // the machine's own architecture is that of dpkg itself
	var p dpkgFields
	end := func() {
		if p.name == "dpkg" {
			native = p.arch
		}
		if p.name != "" {
			found = append(found, p)
		}
		p = dpkgFields{}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxDpkgLine)
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":")) // what continues a field begins with a space, and so has no name below
		text := func() string { return string(bytes.TrimSpace(value)) }
		switch string(name) {
		case "":
			end()
		case "Package":
			p.name = text()
		case "Status":
			p.status = text()
		case "Architecture":
			p.arch = text()
		case "Multi-Arch":
			p.multiArch = text()
		case "Version":
			p.version = text()
		case "Pre-Depends":
			p.preDepends = text()
		case "Depends":
			p.depends = text()
		case "Provides":
			p.provides = text()
		case "Essential":
			p.essential = text()
		case "Protected":
			p.protected = text()
		}
	}
	end()
	var list []packageState
	for _, p := range found {
		status := strings.Fields(p.status) // "install ok installed"
		if len(status) != 3 || status[2] == "not-installed" {
			continue
		}
		list = append(list, packageState{
			name: p.named(native), version: p.version, status: status[2],
			needs: p.preDepends + ", " + p.depends, provides: p.provides,
			essential: p.essential == "yes" || p.protected == "yes",
		})
	}
	return list, lines.Err()
}

// named is how dpkg names a package: with its architecture where there may be several, or it is not the machine's own.
func (p dpkgFields) named(native string) string {
	if p.multiArch == "same" || p.arch != native && p.arch != "all" && p.arch != "" {
		return p.name + ":" + p.arch
	}
	return p.name
}
