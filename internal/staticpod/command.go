package staticpod

import (
	"maps"
	"slices"
)

// Command is a program with its flags in order of their names, and those of the user's after them (ArgumentsToCommand in kubeadm). A flag of the user's takes the place of
// the one of the same name.
func Command(program string, flags, extra map[string]string) []string {
	command := []string{program}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if _, replaced := extra[name]; !replaced {
			command = append(command, "--"+name+"="+flags[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		command = append(command, "--"+name+"="+extra[name])
	}
	return command
}
