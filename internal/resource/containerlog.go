package resource

import (
	"bufio"
	"io"
	"strings"
)

const (
	// logTail is how many bytes at the end of a container's log are read.
	logTail = 16 << 10
	// maxLogLine is more than a line of a log has in bytes: runtimes cut what containers say into parts of 16 KB at most.
	maxLogLine = 64 << 10
)

// containerLog are the last lines of a container's log: a file in the format that the CRI asks of runtimes ("TIME STREAM TAG TEXT", where a line whose tag begins with P
// goes on in the next of its stream; kubelets read it by pkg/kubelet/kuberuntime/logs). Lines of another format are left as they are. A file that is not there has none:
// logs are rotated, and go with their containers.
func containerLog(env *Env, path string, lines int) []string {
	f, err := env.Files.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	cut := false
	if i, err := env.Files.Stat(path); err == nil && i.Size > logTail {
		if s, ok := f.(io.Seeker); ok {
			_, err := s.Seek(i.Size-logTail, io.SeekStart)
			cut = err == nil
		}
	}
	var said []string
	begun := map[string]string{} // by stream
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, maxLogLine)
	for scanner.Scan() {
		line := scanner.Text()
		if cut { // the rest of a line
			cut = false
			continue
		}
		line, stream, goesOn := parseLogLine(line, begun)
		if goesOn {
			begun[stream] = line
			continue
		}
		delete(begun, stream)
		if line = strings.TrimSpace(line); line != "" {
			said = append(said, line)
		}
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if line := strings.TrimSpace(begun[stream]); line != "" {
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
