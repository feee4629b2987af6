// Nothing is here: this keeps the modules below, and what they need, out of the program's own module.
module kubewright.dev/distro

go 1.26
