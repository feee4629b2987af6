package cli

import (
	"io"
	"strings"
	"testing"
)

// A format that there is not is said before anything is asked, whether there is a cluster or not.
func TestRoutesInAFormatThatIsNone(t *testing.T) {
	root := newRoot(nil)
	root.SetArgs([]string{"network", "routes", "--format", "ios"})
	root.SetOut(io.Discard)
	err := root.Execute()
	if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), `--format "ios": want bird, frr, ip, json, text`) {
		t.Error(err)
	}
}
