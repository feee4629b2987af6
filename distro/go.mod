// Nothing is here: this keeps the modules below, and what they need, out of the program's own module. Everything is compiled with a Go of
// this version or later, which is what the component that asks for most wants.
module kubewright.dev/distro

go 1.26.6
