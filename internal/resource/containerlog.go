package resource

import "strings"

// logTail is how many bytes at the end of a container's log are read to explain how it ended.
const logTail = 16 << 10

// containerLog are the last lines of a container's log that say something. One that cannot be read has none: logs are rotated, and go with their containers.
func containerLog(env *Env, path string, lines int) []string {
	all, _, err := readContainerLog(env, path, 0, logTail)
	if err != nil {
		return nil
	}
	var said []string
	for _, line := range all {
		if line = strings.TrimSpace(line); line != "" {
			said = append(said, line)
		}
	}
	return said[max(0, len(said)-lines):]
}

// parseLogLine is the text of a line, after what its stream had begun, and whether it goes on in the next of its stream.
func parseLogLine(line string, begun map[string]string) (text, stream string, goesOn bool) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 4 || fields[1] != "stdout" && fields[1] != "stderr" {
		return line, "", false
	}
	return begun[fields[1]] + fields[3], fields[1], strings.HasPrefix(fields[2], "P")
}
