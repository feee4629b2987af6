package resource

// FstabSwap is that no line of /etc/fstab turns swap on. Those that do become comments.
type FstabSwap struct{ unfinished }

func (FstabSwap) ID() ID { return ID{"fstab", "swap"} }
