// Command draw turns what a program wrote to a terminal, from standard input, into a picture of it on standard output: "make pictures" runs it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/kubewright/kubewright/internal/ui/still"
)

func main() {
	var s still.Shown
	flag.StringVar(&s.Title, "title", "", "the command that stands above it")
	flag.IntVar(&s.Width, "width", 100, "columns of the terminal")
	flag.IntVar(&s.Height, "height", 40, "rows of the terminal")
	flag.IntVar(&s.Lines, "lines", 0, "lines that are drawn at most; 0 is all")
	flag.Float64Var(&s.Frame, "frame", 0, "draw the screen as it was after this share of all frames, 0 to 1; 0 is the end, with all that scrolled away")
	flag.Parse()
	if flag.NArg() > 0 || s.Width < 1 || s.Height < 1 || s.Lines < 0 || s.Frame < 0 || s.Frame > 1 {
		flag.Usage()
		os.Exit(2)
	}
	written, err := io.ReadAll(os.Stdin)
	if err == nil && len(written) == 0 {
		err = fmt.Errorf("nothing was written to the terminal")
	}
	if err == nil {
		_, err = os.Stdout.Write(still.Draw(written, s))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "draw: %v\n", err)
		os.Exit(1)
	}
}
