package agent

import "strings"

// nameServers are those that programs ask, as resolv.conf(5) has them.
func (g *gathering) nameServers() []string {
	var list []string
	for line := range strings.Lines(g.text("/etc/resolv.conf")) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			list = append(list, words[1])
		}
	}
	return list
}
