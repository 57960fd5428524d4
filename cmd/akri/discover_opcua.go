package main

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/opcua"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// newDiscoverOpcuaCommand makes the command of the handler opcua, whose URLs can
// be tried on the command line.
func newDiscoverOpcuaCommand(kind all.Kind) *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			URLs []string `json:"discoveryUrls"`
		}
		file string
	)
	cmd := &cobra.Command{
		Use:   kind.Name + " ((--url URL)... | --details FILE)",
		Short: "Show " + kind.Summary,
		Long: `Show which OPC UA servers are known at discovery URLs: those of servers, or of
discovery servers. The servers are asked what security they offer; nothing is
read from them, and no certificate is needed.

` + kind.About,
		Example: `  akri discover opcua --url opc.tcp://plc.example:4840
  akri discover opcua --url opc.tcp://10.0.0.5 --url opc.tcp://10.0.0.6 --watch
  akri discover opcua --details details.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := discovery.Request{}
			b, err := yaml.Marshal(details)
			if file != "" {
				b, err = readDetails(file, cmd.InOrStdin())
			}
			if err != nil {
				return err
			}
			req.Details = string(b)
			return d.run(cmd, kind, startOpcua, req)
		},
	}
	d.register(cmd, "akri-opcua")
	d.registerDetails(cmd, &file)
	cmd.Flags().StringArrayVar(&details.URLs, "url", nil, "discovery `URL`, opc.tcp://host; may be given several times")
	cmd.MarkFlagsOneRequired("url", "details")
	cmd.MarkFlagsMutuallyExclusive("url", "details")
	return cmd
}

// startOpcua makes the handler opcua for a person, who wants to see at once what
// all URLs say. What the handler logs is in its notes too.
func startOpcua(setup.Program) (discovery.Handler, error) {
	return opcua.New(opcua.Options{Patience: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}), nil
}
