package bundle

import "github.com/google/go-containerregistry/pkg/v1/types"

// Types of artifacts (artifactType of their manifests) and of what they hold.
const (
	// BundleType is an index of parts.
	BundleType = "application/vnd.kubewright.bundle.v1"
	// ProgramsType is an artifact of programs for hosts.
	ProgramsType = "application/vnd.kubewright.programs.v1"
	// PackagesType is an artifact of packages for hosts.
	PackagesType = "application/vnd.kubewright.packages.v1"

	// ProgramLayer is a program at its place below the root directory of a host. The same blob is a layer of images.
	ProgramLayer types.MediaType = "application/vnd.kubewright.program.v1.tar+zstd"
	// RepositoryLayer is what makes a package repository of packages: its lists, and how a host uses it.
	RepositoryLayer types.MediaType = "application/vnd.kubewright.package-repository.v1.tar+zstd"
	// DebianPackageLayer is a package of Debian (deb(5)).
	DebianPackageLayer types.MediaType = "application/vnd.debian.binary-package"

	// EmptyConfig is the configuration of an artifact, which has none (OCI image specification 1.1).
	EmptyConfig types.MediaType = "application/vnd.oci.empty.v1+json"
)

// Annotations of parts and of what they hold. Those of OCI are named by its specification ("Annotations").
const (
	TitleAnnotation    = "org.opencontainers.image.title"
	RefNameAnnotation  = "org.opencontainers.image.ref.name"
	VersionAnnotation  = "org.opencontainers.image.version"
	RevisionAnnotation = "org.opencontainers.image.revision"
	LicencesAnnotation = "org.opencontainers.image.licenses"
	SourceAnnotation   = "org.opencontainers.image.source"
	VendorAnnotation   = "org.opencontainers.image.vendor"
	AboutAnnotation    = "org.opencontainers.image.description"

	// ComponentAnnotation is the component that a part was built as: a directory in distro.
	ComponentAnnotation = "dev.kubewright.component"
	// SumAnnotation is the digest of the source module, as in go.sum ("h1:…").
	SumAnnotation = "dev.kubewright.source.sum"
	// ChoiceAnnotation says why this version goes with this version of Kubernetes.
	ChoiceAnnotation = "dev.kubewright.choice"
	// KubeadmAnnotation is the image tag that kubeadm of the same Kubernetes names itself, where the part has another.
	KubeadmAnnotation = "dev.kubewright.kubeadm.tag"
	// CommandsAnnotation lists the names that a program is to be called by, separated by commas: links to it.
	CommandsAnnotation = "dev.kubewright.commands"
	// TestAnnotation marks what only tests use ("true").
	TestAnnotation = "dev.kubewright.test"
	// ToolchainAnnotation names what compiled the programs ("go1.26.8").
	ToolchainAnnotation = "dev.kubewright.toolchain"
	// PlatformAnnotation is the platform of a bundle ("linux/amd64").
	PlatformAnnotation = "dev.kubewright.platform"
	// DistributionAnnotation is the family of hosts that packages are for ("debian-12").
	DistributionAnnotation = "dev.kubewright.distribution"
)
