package resource

// Block is some lines in a text file that belongs to the user: /etc/hosts. They stand between two comments, and the rest stays as it is.
type Block struct {
	Path string `json:"path"`
	// Name tells apart the blocks of a file: "# BEGIN kubewright NAME".
	Name string `json:"name"`
	// Text is its lines.
	Text string `json:"text"`
	unfinished
}

func (b Block) ID() ID { return ID{"block", b.Path + " " + b.Name} }
