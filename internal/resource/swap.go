package resource

// Swap is that no swap area is in use, and that no unit turns one on. Areas of a computer that the machine shares with others are its owner's.
type Swap struct{ unfinished }

func (Swap) ID() ID { return ID{"swap", "all"} }
