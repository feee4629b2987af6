package ssh

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// Target is a host to connect to, as the cluster file has it. What it leaves out, ~/.ssh/config may say.
type Target struct {
	Name    string // for messages
	Address string // IP address or DNS name
	Port    int    // 22 if neither this nor ~/.ssh/config says
	User    string // root if neither this nor ~/.ssh/config says
	Key     string // file of a private key, the only one to try
	Bastion string // to go through: [user@]address[:port]
}

// route is how a target is reached: all that is needed to connect.
type route struct {
	name    string   // for messages
	address string   // host:port
	user    string   // to log in as
	knownAs string   // host:port that its key is known by
	known   []string // files of known hosts; the dialer's if none
	strict  bool     // nobody is asked about a host that is not known
	keys    []string // files to try, those that exist
	only    bool     // not those of an agent that are in no such file
	agent   string   // socket; empty for none
	via     *route   // the bastion
}

// id tells routes apart: two of one id may share a connection.
func (r *route) id() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s@%s %q %t %s < %s", r.user, r.address, r.keys, r.only, r.agent, r.via.id())
}

// settings is what ~/.ssh/config says: all values of a keyword for a host.
type settings func(host, keyword string) []string

// readSettings reads a file such as ~/.ssh/config. A file that is not there says nothing.
func readSettings(file string) (settings, error) {
	none := func(string, string) []string { return nil }
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	c, err := ssh_config.DecodeBytes(b)
	if err != nil {
		return none, fmt.Errorf("%s is not used: %w", file, err)
	}
	return func(host, keyword string) []string {
		values, err := c.GetAll(host, keyword)
		if err != nil {
			return nil
		}
		return values
	}, nil
}

func (s settings) first(host, keyword string) string {
	if v := s(host, keyword); len(v) > 0 {
		return v[0]
	}
	return ""
}

// defaultKeys are the files that ssh(1) tries by itself.
var defaultKeys = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}

// maxBastions bounds how many bastions may be behind each other.
const maxBastions = 4

// resolve finds how a target is reached. Home is the user's home directory, agent the socket of the user's ssh-agent; exists says whether a file is there.
func resolve(t Target, s settings, home, agent string, exists func(string) bool) (*route, error) {
	return resolveDeep(t, s, home, agent, exists, 0)
}

func resolveDeep(t Target, s settings, home, agent string, exists func(string) bool, depth int) (*route, error) {
	port := t.Port
	if port == 0 {
		if p, err := strconv.Atoi(s.first(t.Address, "Port")); err == nil {
			port = p
		}
	}
	// As ssh(1) looks hosts up: names in lower case, addresses as they are written in full.
	host := strings.ToLower(strings.ReplaceAll(cmp.Or(s.first(t.Address, "HostName"), t.Address), "%h", t.Address))
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	r := &route{
		name: t.Name, address: net.JoinHostPort(host, strconv.Itoa(cmp.Or(port, 22))), user: cmp.Or(t.User, s.first(t.Address, "User"), "root"), agent: agent,
	}
	r.knownAs = r.address
	if alias := s.first(t.Address, "HostKeyAlias"); alias != "" {
		r.knownAs = net.JoinHostPort(strings.ToLower(alias), "22")
	}
	r.strict = strings.EqualFold(s.first(t.Address, "StrictHostKeyChecking"), "yes")
	for _, keyword := range []string{"UserKnownHostsFile", "GlobalKnownHostsFile"} {
		for _, file := range strings.Fields(strings.Join(s(t.Address, keyword)[:min(1, len(s(t.Address, keyword)))], "")) {
			if file == "none" || file == "/dev/null" {
				return nil, fmt.Errorf("%s: ~/.ssh/config has %s %s for it, so it would be a stranger every time: Kubewright needs to remember hosts", t.Name, keyword, file)
			}
			r.known = append(r.known, expandHome(file, home))
		}
	}
	switch own := s.first(t.Address, "IdentityAgent"); own {
	case "", "SSH_AUTH_SOCK":
	case "none":
		r.agent = ""
	default:
		r.agent = expandHome(own, home)
	}
	keys := append(s(t.Address, "IdentityFile"), defaultKeys...)
	r.only = strings.EqualFold(s.first(t.Address, "IdentitiesOnly"), "yes")
	if t.Key != "" {
		keys, r.only = []string{t.Key}, true
		if !exists(expandHome(t.Key, home)) {
			return nil, fmt.Errorf("%s: the key %s does not exist", t.Name, t.Key)
		}
	}
	for _, k := range keys {
		if k = expandHome(k, home); exists(k) {
			r.keys = append(r.keys, k)
		}
	}
	bastion := cmp.Or(t.Bastion, s.first(t.Address, "ProxyJump"))
	if bastion == "" || bastion == "none" {
		if command := s.first(t.Address, "ProxyCommand"); command != "" && command != "none" && t.Bastion == "" {
			return nil, fmt.Errorf("%s: ~/.ssh/config has a ProxyCommand for it, which Kubewright does not run: use ProxyJump, or bastion in the cluster file", t.Name)
		}
		return r, nil
	}
	if depth == maxBastions {
		return nil, fmt.Errorf("%s: there are more than %d bastions behind each other; does %s go through itself?", t.Name, maxBastions, bastion)
	}
	// a,b goes through a to b.
	before, last, several := cutLast(bastion)
	via := Target{Name: "the bastion " + last}
	var err error
	if via.User, via.Address, via.Port, err = splitBastion(last); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	if several {
		via.Bastion = before
	}
	if r.via, err = resolveDeep(via, s, home, agent, exists, depth+1); err != nil {
		return nil, err
	}
	for hop := r.via; hop != nil; hop = hop.via {
		if hop.address == r.address && hop.user == r.user {
			return nil, fmt.Errorf("%s: it would be reached through itself (%s)", t.Name, bastion)
		}
		// The host's own key may open the bastion, too.
		if t.Key != "" && !slices.Contains(hop.keys, expandHome(t.Key, home)) {
			hop.keys = append(hop.keys, expandHome(t.Key, home))
		}
	}
	return r, nil
}

func cutLast(list string) (before, last string, several bool) {
	i := strings.LastIndex(list, ",")
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// splitBastion takes [user@]address[:port] apart.
func splitBastion(s string) (user, address string, port int, err error) {
	user, rest, found := strings.Cut(strings.TrimPrefix(s, "ssh://"), "@")
	if !found {
		user, rest = "", user
	}
	address = rest
	if host, p, err := net.SplitHostPort(rest); err == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return "", "", 0, fmt.Errorf("the bastion %q: want [user@]address[:port]", s)
		}
		address = host
	}
	address = strings.Trim(address, "[]")
	if address == "" {
		return "", "", 0, fmt.Errorf("the bastion %q: want [user@]address[:port]", s)
	}
	return user, address, port, nil
}

func expandHome(file, home string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return strings.ReplaceAll(file, "%d", home)
}
