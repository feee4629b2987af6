// Package clusterfile changes which hosts a cluster file names, and leaves the rest of its text as it is: comments, order, and how things are written. What it makes is checked to be a
// valid file that says what it said before but for what was to change. It works on text alone, and reads and writes no file.
package clusterfile

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Add adds hosts behind the last one that has one of their roles, written as that one is. Names and addresses may be ranges. File is its name, for messages; what would come out invalid is
// an error that holds a v1alpha1.InvalidError.
func Add(file string, content []byte, roles []v1alpha1.Role, hosts ...v1alpha1.Host) ([]byte, error) {
	f, err := read(file, content)
	if err != nil {
		return nil, err
	}
	want := maps.Clone(f.hosts)
	behind := len(f.items) - 1
	for i, it := range f.items {
		if slices.ContainsFunc(f.hosts[it.names[0]].Roles, func(r v1alpha1.Role) bool { return slices.Contains(roles, r) }) {
			behind = i
		}
	}
	for _, h := range hosts {
		names, err := v1alpha1.Names(h.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if _, taken := want[name]; taken {
				return nil, fmt.Errorf("%s has a host %s already", file, name)
			}
			want[name] = v1alpha1.Host{Name: name}
		}
		f.items[behind].after = append(f.items[behind].after, f.written(f.items[behind], h, roles)...)
	}
	return f.checked(want)
}

// Remove takes hosts out, those that are in a range, too: it is split then.
func Remove(file string, content []byte, names ...string) ([]byte, error) {
	f, err := read(file, content)
	if err != nil {
		return nil, err
	}
	want := maps.Clone(f.hosts)
	for _, name := range names {
		if _, err := f.item(name); err != nil {
			return nil, err
		}
		delete(want, name)
	}
	isPlane := func(h v1alpha1.Host) bool { return slices.Contains(h.Roles, v1alpha1.ControlPlane) }
	if !slices.ContainsFunc(slices.Collect(maps.Values(want)), isPlane) {
		return nil, fmt.Errorf("%s: no control plane would be left, and without one there is no cluster; \"kubewright reset --all\" ends it", strings.Join(names, ", "))
	}
	for _, it := range f.items {
		var kept []string // lines
		begin := 0
		for i := range len(it.names) + 1 {
			if i < len(it.names) && !slices.Contains(names, it.names[i]) {
				continue
			}
			if begin < i {
				lines, err := f.part(it, begin, i, nil)
				if err != nil {
					return nil, err
				}
				kept = append(kept, lines...)
			}
			begin = i + 1
		}
		if len(kept) == 0 {
			f.dropComment(it)
		}
		it.lines = kept
	}
	return f.checked(want)
}

// Replace has another machine take the place of a host: at another address, under another name if as is not empty. What else is said of the host stays.
func Replace(file string, content []byte, name, address, as string) ([]byte, error) {
	f, err := read(file, content)
	if err != nil {
		return nil, err
	}
	it, err := f.item(name)
	if err != nil {
		return nil, err
	}
	if as == "" {
		as = name
	}
	want := maps.Clone(f.hosts)
	delete(want, name)
	if _, taken := want[as]; taken {
		return nil, fmt.Errorf("%s has a host %s already", file, as)
	}
	was := f.hosts[name]
	if was.Address == address && as == name {
		return content, nil
	}
	if len(it.value("internalAddresses").Content) > 0 {
		return nil, fmt.Errorf("%s has internalAddresses, and those of the other machine are not known here: change both in %s", name, file)
	}
	want[as] = v1alpha1.Host{Name: as}
	var lines []string
	at := slices.Index(it.names, name)
	for _, p := range [][2]int{{0, at}, {at, at + 1}, {at + 1, len(it.names)}} {
		if p[0] == p[1] {
			continue
		}
		var say map[string]string
		if p[0] == at {
			say = map[string]string{"name": as, "address": address}
		}
		part, err := f.part(it, p[0], p[1], say)
		if err != nil {
			return nil, err
		}
		lines = append(lines, part...)
	}
	it.lines = lines
	return f.checked(want)
}

// text is a cluster file in pieces: its lines, those of hosts among them.
type text struct {
	file  string
	lines []string // each with its end
	items []*item
	hosts map[string]v1alpha1.Host // by name, as the file says
}

// item is what stands behind one dash: a host, or a range of hosts.
type item struct {
	node        *yaml.Node
	names       []string
	first, last int      // its lines: from first to before last
	lines       []string // what shall stand in place of them
	after       []string // and behind them
}

// errByHand is that hosts are written in a way that is not changed here.
var errByHand = errors.New("hosts are written there in a way that is not changed by this command: change them by hand")

func read(file string, content []byte) (*text, error) {
	spec, err := v1alpha1.Parse(file, content)
	if err != nil {
		return nil, err
	}
	f := &text{file: file, lines: slices.Collect(strings.Lines(string(content))), hosts: map[string]v1alpha1.Host{}}
	for _, h := range spec.Hosts {
		f.hosts[h.Name] = h
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	root := document.Content[0]
	end := len(f.lines)
	if i := slices.IndexFunc(f.lines[root.Line:], func(l string) bool { return strings.HasPrefix(l, "---") || strings.HasPrefix(l, "...") }); i >= 0 {
		end = root.Line + i // a file may end so
	}
	var list *yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch {
		case root.Content[i].Value == "hosts":
			list = root.Content[i+1]
		case list != nil:
			end = min(end, root.Content[i].Line-1)
		}
	}
	if root.Style&yaml.FlowStyle != 0 || list == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 {
		return nil, fmt.Errorf("%s: %w", file, errByHand)
	}
	for i, n := range list.Content {
		it := &item{node: n, first: n.Line - 1, last: end}
		if i+1 < len(list.Content) {
			it.last = list.Content[i+1].Line - 1
		}
		name := it.value("name")
		dash := strings.Index(f.lines[it.first], "-")
		if n.Kind != yaml.MappingNode || dash < 0 || strings.TrimSpace(f.lines[it.first][:dash]) != "" {
			return nil, fmt.Errorf("%s, line %d: %w", file, n.Line, errByHand)
		}
		if it.names, err = v1alpha1.Names(name.Value); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, n.Line, err)
		}
		// Empty lines, and comments that do not stand further in than it, are not its.
		for it.last-1 > it.first {
			line := f.lines[it.last-1]
			inside := strings.TrimLeft(line, " ")
			if strings.TrimSpace(line) != "" && (!strings.HasPrefix(inside, "#") || len(line)-len(inside) > dash) {
				break
			}
			it.last--
		}
		it.lines = f.lines[it.first:it.last]
		f.items = append(f.items, it)
	}
	return f, nil
}

// value is that of a field of the host; an empty node if it is not said.
func (it *item) value(key string) *yaml.Node {
	for i := 0; i+1 < len(it.node.Content); i += 2 {
		if it.node.Content[i].Value == key {
			return it.node.Content[i+1]
		}
	}
	return &yaml.Node{}
}

// item is the one that a host stands in.
func (f *text) item(name string) (*item, error) {
	for _, it := range f.items {
		if slices.Contains(it.names, name) {
			return it, nil
		}
	}
	return nil, fmt.Errorf("%s has no host %s", f.file, name)
}

// part are the lines of an item for a part of its hosts, from number i to before j. Say has values of fields for one host alone.
func (f *text) part(it *item, i, j int, say map[string]string) ([]string, error) {
	if i == 0 && j == len(it.names) && say == nil {
		return f.lines[it.first:it.last], nil
	}
	type change struct {
		node *yaml.Node
		to   string
	}
	var changes []change
	of := func(n *yaml.Node, key string, part func(string, int, int) (string, error)) error {
		to, err := part(n.Value, i, j)
		if said, ok := say[key]; ok {
			to = said
		}
		changes = append(changes, change{n, to})
		return err
	}
	err := errors.Join(of(it.value("name"), "name", v1alpha1.PartOfNames), of(it.value("address"), "address", v1alpha1.PartOfAddresses))
	for _, n := range it.value("internalAddresses").Content {
		err = errors.Join(err, of(n, "internalAddresses", v1alpha1.PartOfAddresses))
	}
	if err != nil {
		return nil, err
	}
	// From behind, so that places before stay what they are.
	slices.SortFunc(changes, func(a, b change) int {
		if a.node.Line != b.node.Line {
			return b.node.Line - a.node.Line
		}
		return b.node.Column - a.node.Column
	})
	lines := slices.Clone(f.lines[it.first:it.last])
	for _, c := range changes {
		at := c.node.Line - 1 - it.first
		if at < 0 || at >= len(lines) {
			return nil, fmt.Errorf("%s, line %d: %w", f.file, it.node.Line, errByHand)
		}
		line, ok := withScalar(lines[at], c.node, c.to)
		if !ok {
			return nil, fmt.Errorf("%s, line %d: %w", f.file, c.node.Line, errByHand)
		}
		lines[at] = line
	}
	return lines, nil
}

// withScalar is a line with another value in place of one, in the quotes that it had.
func withScalar(line string, n *yaml.Node, to string) (string, bool) {
	at, quote := offset(line, n.Column), ""
	switch n.Style {
	case yaml.DoubleQuotedStyle:
		quote = `"`
	case yaml.SingleQuotedStyle:
		quote = "'"
	}
	rest, ok := strings.CutPrefix(line[at:], quote+n.Value+quote)
	if !ok {
		return "", false
	}
	to = quote + to + quote
	if quote == "" && n.Value != to && !strings.Contains(n.Value, "[") {
		to = quoted(to)
	}
	return line[:at] + to + rest, true
}

// offset is that of a column of YAML, which counts characters from 1.
func offset(line string, column int) int {
	for at := range line {
		if column--; column == 0 {
			return at
		}
	}
	return len(line)
}

// written are the lines of a host, written as another one.
func (f *text) written(like *item, h v1alpha1.Host, roles []v1alpha1.Role) []string {
	line := f.lines[like.first]
	end := "\n"
	if strings.HasSuffix(line, "\r\n") {
		end = "\r\n"
	}
	begin := line[:offset(line, like.node.Column)]
	if strings.TrimSpace(begin) != "-" {
		begin = line[:strings.Index(line, "-")] + "- "
	}
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	fields := []string{"name: " + quoted(h.Name), "address: " + quoted(h.Address), "roles: [" + strings.Join(names, ", ") + "]"}
	if like.node.Style&yaml.FlowStyle != 0 {
		return []string{begin + "{" + strings.Join(fields, ", ") + "}" + end}
	}
	var lines []string
	for _, field := range fields {
		lines = append(lines, begin+field+end)
		begin = strings.Repeat(" ", len(begin))
	}
	return lines
}

// plain is what needs no quotes: names, and addresses of IPv4.
var plain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z][a-z0-9.-]*|[0-9]+(\.[0-9]+){3}(-[0-9]+(\.[0-9]+){3})?)$`)
})

func quoted(s string) string {
	if plain().MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// dropComment has the comment right above an item go with it, unless the next item follows at once: it may be about both then.
func (f *text) dropComment(it *item) {
	i := slices.Index(f.items, it)
	if i+1 < len(f.items) && f.items[i+1].first == it.last {
		return
	}
	least := 0
	if i > 0 {
		least = f.items[i-1].last
	}
	for it.first > least && strings.HasPrefix(strings.TrimSpace(f.lines[it.first-1]), "#") {
		it.first--
	}
}

// checked puts the pieces together, and makes sure that they say what they shall: hosts that are wanted, by name, those that were there before unchanged.
func (f *text) checked(want map[string]v1alpha1.Host) ([]byte, error) {
	var b strings.Builder
	at := 0
	piece := func(lines []string) {
		for _, l := range lines {
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
				b.WriteString("\n")
			}
			b.WriteString(l)
		}
	}
	for _, it := range f.items {
		piece(f.lines[at:it.first])
		piece(it.lines)
		piece(it.after)
		at = it.last
	}
	piece(f.lines[at:])
	made := []byte(b.String())
	spec, err := v1alpha1.Parse(f.file, made)
	if err != nil {
		return nil, fmt.Errorf("%s is left as it is, since it would not be valid:\n%w", f.file, err)
	}
	is := map[string]v1alpha1.Host{}
	for _, h := range spec.Hosts {
		is[h.Name] = h
		was, before := f.hosts[h.Name]
		if _, wanted := want[h.Name]; !wanted || before && want[h.Name].Address != "" && !reflect.DeepEqual(h, was) {
			return nil, fmt.Errorf("%s: %w", f.file, errByHand)
		}
	}
	if len(is) != len(want) {
		return nil, fmt.Errorf("%s: %w", f.file, errByHand)
	}
	return made, nil
}
