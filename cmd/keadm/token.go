package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm"
	"github.com/akri-go/akri/internal/kubeconfig"
	"github.com/akri-go/akri/internal/version"
)

// cluster says how to reach the Secret with the tokens.
type cluster struct{ kubeconfig, namespace, secret string }

func (c *cluster) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.kubeconfig, "kube-config", "", "kubeconfig `file`; without, that of kubectl")
	f.StringVar(&c.namespace, "namespace", keadm.NamespaceDefault, "namespace of cloudcore")
	f.StringVar(&c.secret, "secret", trust.SecretName, "Secret of cloudcore with its certificates and join tokens")
}

// completions come last: they need the flags.
func (c *cluster) completions(cmd *cobra.Command) {
	cli.CompleteFlag(cmd, "kube-config", "yaml", "yml", "conf", "kubeconfig")
}

func (c *cluster) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("find the cluster: %w", kubeconfig.Missing("set KUBECONFIG or give --kube-config, on K3s /etc/rancher/k3s/k3s.yaml"))
	case err != nil:
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	cfg.UserAgent = "keadm/" + version.String()
	return cfg, nil
}

func (c *cluster) tokens() (*trust.Keeper, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	store, err := trust.NewCluster(cfg, c.namespace, c.secret)
	if err != nil {
		return nil, err
	}
	return trust.New(store, nil, slog.New(slog.DiscardHandler)), nil
}

func (c *cluster) client() (kubernetes.Interface, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(cfg)
}

// with does something with a cluster's tokens.
func (c *cluster) with(do func(*trust.Keeper) error) error {
	t, err := c.tokens()
	if err != nil {
		return err
	}
	return do(t)
}

func newGetTokenCommand() *cobra.Command {
	var (
		in      cluster
		node    string
		life    time.Duration
		command bool
	)
	cmd := &cobra.Command{
		Use:   "gettoken",
		Short: "Make a token with which a node can join",
		Long: `Makes a join token and prints it. It is good for one node: the named one, as often
as it needs, or the first new one that uses it. Whoever has it can join, so keep
it to yourself; keadm gettoken revoke makes it useless.

keadm reaches the cluster as kubectl does, and needs the right to read and change
the Secret of cloudcore.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkToken(node, life); err != nil {
				return err
			}
			ctx, out, notes := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			way := func(token string) string { return token }
			if command {
				client, err := in.client()
				if err != nil {
					return err
				}
				w, err := keadm.FindWay(ctx, client, in.namespace)
				if err != nil {
					return err
				}
				way = func(token string) string { return w.Command(node, token) }
			}
			return in.with(func(t *trust.Keeper) error { return keadm.Get(ctx, t, node, life, way, out, notes) })
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVarP(&node, "edgenode-name", "i", "", "node that may join; without, the first new one")
	cmd.Flags().DurationVar(&life, "ttl", trust.TokenLifetime, fmt.Sprintf("how long the token is good, up to %s", trust.MaxTokenLifetime))
	cmd.Flags().BoolVar(&command, "print-join-command", false, "print the whole command that joins the node, not the token alone")
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the tokens that are good now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return in.with(func(t *trust.Keeper) error {
				return keadm.List(cmd.Context(), t, time.Now(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}, &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token useless",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return in.with(func(t *trust.Keeper) error { return t.DeleteToken(cmd.Context(), args[0]) })
		},
	})
	in.completions(cmd)
	return cmd
}

// checkToken refuses what no token can be made for, before the cluster is asked.
func checkToken(node string, life time.Duration) error {
	if node != "" {
		if err := trust.ValidNode(node); err != nil {
			return exitcode.Usagef("--edgenode-name: %w", err)
		}
	}
	if life != 0 {
		if err := trust.ValidLifetime(life); err != nil {
			return exitcode.Usagef("--ttl: %w", err)
		}
	}
	return nil
}

// maxTokenBytes is how long a file with a token may be.
const maxTokenBytes = 4096

// readToken reads a token from a file, or from the input if that is "-".
func readToken(in io.Reader, file string) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxTokenBytes || strings.ContainsAny(token, " \n\t") {
		return "", exitcode.Usagef("--token-file %s has no token in it, as keadm gettoken prints it: one line", file)
	}
	return token, nil
}
