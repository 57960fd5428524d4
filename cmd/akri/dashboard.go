package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/akri-go/akri/internal/dashboard"
	"github.com/akri-go/akri/internal/kubeconfig"
)

func newDashboardCommand() *cobra.Command {
	var file, context, namespace, listen string
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show a cluster's devices and what is wrong, on a page that follows them",
		Long: `Serves the dashboard from here, with the rights of your kubeconfig. Nothing is
installed in the cluster, and nothing is changed. It needs the same rights as akri
explain, and to watch. What you may not read in all namespaces is shown of one: the
one that you give, or that of the kubeconfig's context. The page, and what is
written here, say which right is missing.

Only programs on this machine can reach the page, until Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			o := dashboard.Options{Address: listen, Log: log}
			if err := o.Check(); err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			cfg, own, err := kubeconfig.User(file, context)
			if err != nil {
				return err
			}
			o.Config, o.Namespace = cfg, cmp.Or(namespace, own)
			ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
			klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // what matters is on the page
			d, err := dashboard.New(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "dashboard: http://%s   (Ctrl-C ends it)\n", d.Addr())
			return d.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "kubeconfig", "", "`file` that says how to reach the API server (default: as kubectl)")
	cmd.Flags().StringVar(&context, "context", "", "`context` of the kubeconfig")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "`namespace` that is shown of what you may not read in all namespaces")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "`address` on the loopback of this machine")
	return cmd
}
