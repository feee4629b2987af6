package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/ui"
)

const (
	// adminsGroup may do everything: "kubewright apply" binds it to cluster-admin, as kubeadm does.
	adminsGroup = "kubeadm:cluster-admins"
	// mastersGroup is that of those whom nothing can be taken from again.
	mastersGroup = "system:masters"
)

func newKubeconfig(components Components) *cobra.Command {
	f := &clusterFlags{components: components}
	var k kubeconfigFlags
	c := &cobra.Command{
		Use:   "kubeconfig [FILE]",
		Short: "Let a person in: a kubeconfig with a certificate of its own, for a limited time",
		Long: `Makes a key here, has the cluster sign a certificate for it, and prints a kubeconfig with both, for kubectl and all that reads such files. FILE is the cluster
file, cluster.yaml by default. A control plane that answers over SSH asks its API for the certificate; the key never leaves this computer, and no key of the cluster leaves
the cluster. Which requests were made, "kubectl get csr" shows for an hour, and the audit log for longer.

The user is your login name, or "admin" if you have none here. Without --group it is in kubeadm:cluster-admins, and may do everything. With --group it may do what somebody binds to
its name and its groups (kubectl create rolebinding). system:masters is refused by the API: no rule could ever take anything from its members.

A certificate cannot be taken back before its time is over. --ttl is 24h by default, 10m at least, and at most what the controller manager signs for (a year, unless
controllerManager.extraArgs says something else with cluster-signing-duration).

The kubeconfig leads to endpoint.address of the cluster file, or if there is none to the address of the first control plane that answers, as the file has it. --server names another one: it has to be
in the certificates of API servers, where apiServer.extraSANs in the cluster file puts it.

With --merge cluster, user and context go into the file that kubectl uses ($KUBECONFIG, or ~/.kube/config), beside what it holds, and the context becomes the current one.`,
		Example: `  kubewright kubeconfig > prod.kubeconfig
  kubewright kubeconfig --merge && kubectl get nodes
  kubewright kubeconfig prod.yaml --user jane --group developers --ttl 8h -o jane.kubeconfig
  kubewright kubeconfig --server k8s.example.com:443 --merge`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := k.check(); err != nil {
				return err
			}
			in, err := readInput(c, args, false)
			if err != nil {
				return err
			}
			w, err := f.open(c, in, "kubeconfig")
			if err != nil {
				return err
			}
			defer w.Close()
			file, err := k.issue(c, w)
			if err != nil {
				return err
			}
			w.Close()
			return k.write(c, file)
		},
	}
	f.addHosts(c)
	k.add(c)
	return c
}

// kubeconfigFlags are what a kubeconfig shall be like.
type kubeconfigFlags struct {
	user, server, out string
	groups            []string
	ttl               time.Duration
	merge             bool
}

func (k *kubeconfigFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&k.user, "user", login(), "name that the cluster knows the user by")
	c.Flags().StringArrayVar(&k.groups, "group", []string{adminsGroup}, "group that the user is in; may be repeated")
	c.Flags().DurationVar(&k.ttl, "ttl", 24*time.Hour, "how long it is valid; 10m at least")
	c.Flags().StringVar(&k.server, "server", "", "address that the API is reached by from where it is used: HOST, HOST:PORT or https://HOST:PORT")
	c.Flags().StringVarP(&k.out, "out", "o", "", "write it to this file, for its owner's eyes only, instead of standard output")
	c.Flags().BoolVar(&k.merge, "merge", false, "put it into $KUBECONFIG or ~/.kube/config, and make its context the current one")
	c.MarkFlagsMutuallyExclusive("out", "merge")
}

// login is the name of who runs this.
func login() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "admin"
}

// check finds what cannot be meant, before anything is connected to.
func (k *kubeconfigFlags) check() error {
	switch {
	case k.user == "":
		return usageError{errors.New("--user: the user needs a name")}
	case slices.Contains(k.groups, mastersGroup):
		return usageError{fmt.Errorf("--group %s: the API signs no certificates for this group, since no rule could ever take anything from its members; %s may do everything, too", mastersGroup, adminsGroup)}
	case slices.Contains(k.groups, ""):
		return usageError{errors.New("--group: a group needs a name")}
	case k.ttl < resource.MinUserTTL:
		return usageError{fmt.Errorf("--ttl %s: the API takes no less than 10m", k.ttl)}
	}
	if k.server != "" {
		if _, err := serverURL(k.server, 0); err != nil {
			return usageError{fmt.Errorf("--server %q: %w", k.server, err)}
		}
	}
	return nil
}

// serverURL is an address of the API as kubeconfigs have it. The address is that of a host, with a port or without, or a URL.
func serverURL(address string, port int) (string, error) {
	if !strings.Contains(address, "://") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(port))
		}
		address = "https://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", errors.New("want HOST, HOST:PORT or https://HOST:PORT")
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("want HOST, HOST:PORT or https://HOST:PORT")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// certified says whether the certificates of API servers are for the host of a URL, as the cluster file has it.
func certified(c *cluster.Cluster, server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	names := slices.Concat(c.EndpointNames(), []string{"kubernetes"}, c.Cluster.APIServer.ExtraSANs)
	for _, h := range c.Hosts {
		names = append(append(names, h.Name, h.Address), h.InternalAddresses...)
	}
	return slices.Contains(names, u.Hostname())
}

// issue makes the kubeconfig, with a new key.
func (k *kubeconfigFlags) issue(c *cobra.Command, w *work) (*api.Config, error) {
	key, err := pki.NewKey(pki.Algorithm(w.cluster.Certificates.Algorithm))
	if err != nil {
		return nil, err
	}
	request, err := pki.NewUserRequest(key, k.user, k.groups)
	if err != nil {
		return nil, err
	}
	issued, err := w.Issue(c.Context(), request, k.ttl)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s cannot be had: %w", k.user, err)
	}
	if why := pki.Invalid(issued.Certificate, key, issued.Authority, k.user, time.Now()); why != "" {
		return nil, fmt.Errorf("the certificate of %s that the cluster signed is of no use here: %s", k.user, why)
	}
	address := cmp.Or(k.server, w.cluster.PublicAddress(), issued.Host.Address)
	server, err := serverURL(address, w.cluster.Cluster.APIServer.Port)
	if err != nil {
		return nil, fmt.Errorf("the address of %s: %w", issued.Host.Name, err)
	}
	if !certified(w.cluster, server) {
		fmt.Fprintf(c.ErrOrStderr(), "Warning: the certificates of API servers are not for %s; name it in apiServer.extraSANs of the cluster file, and apply that\n", server)
	}
	return kubeconfig(w.cluster.Name, k.user, server, issued.Authority, issued.Certificate, key), nil
}

// kubeconfig is one for a user of a cluster. Several of them fit one file: the user bears the cluster's name, too.
func kubeconfig(cluster, user, server string, authority, certificate, key []byte) *api.Config {
	name := user + "@" + cluster
	return &api.Config{
		Clusters:       map[string]*api.Cluster{cluster: {Server: server, CertificateAuthorityData: authority}},
		AuthInfos:      map[string]*api.AuthInfo{name: {ClientCertificateData: certificate, ClientKeyData: key}},
		Contexts:       map[string]*api.Context{name: {Cluster: cluster, AuthInfo: name}},
		CurrentContext: name,
	}
}

// write prints it, or puts it where it shall be.
func (k *kubeconfigFlags) write(c *cobra.Command, file *api.Config) error {
	if !k.merge && k.out == "" {
		text, err := clientcmd.Write(*file)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	path := k.out
	if k.merge {
		path = clientcmd.NewDefaultPathOptions().GetDefaultFilename()
		// It may be a link, which stays.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		there, err := readKubeconfig(path)
		if err != nil {
			return err
		}
		if file, err = mergeKubeconfig(there, file); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
	}
	text, err := clientcmd.Write(*file)
	if err != nil {
		return err
	}
	if err := writePrivate(path, text); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	use := ""
	if k.out != "" {
		use = " --kubeconfig " + k.out
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "Wrote %s, context %s, valid for %s. Try: kubectl%s get nodes\n", path, file.CurrentContext, ui.Seconds(k.ttl), use)
	return err
}

// readKubeconfig reads a kubeconfig; one that is not there is empty.
func readKubeconfig(path string) (*api.Config, error) {
	there, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return api.NewConfig(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a kubeconfig, so nothing is put into it: %w", path, err)
	}
	return there, nil
}

// mergeKubeconfig puts cluster, user and context of one kubeconfig into another, whose other content stays, and chooses the context.
func mergeKubeconfig(there, add *api.Config) (*api.Config, error) {
	merged := there.DeepCopy()
	for name, c := range add.Clusters {
		// Another cluster of the same name must not be lost.
		if was := merged.Clusters[name]; was != nil && !pki.Same(was.CertificateAuthorityData, c.CertificateAuthorityData) {
			return nil, fmt.Errorf("it has another cluster named %s already, at %s. If that is gone, take it out with \"kubectl config delete-cluster %s\"; or write a file of its own with -o", name, was.Server, name)
		}
		merged.Clusters[name] = c
	}
	for name, u := range add.AuthInfos {
		merged.AuthInfos[name] = u
	}
	for name, x := range add.Contexts {
		if was := merged.Contexts[name]; was != nil {
			x = x.DeepCopy()
			x.Namespace = was.Namespace // that somebody chose
		}
		merged.Contexts[name] = x
	}
	merged.CurrentContext = add.CurrentContext
	return merged, nil
}
