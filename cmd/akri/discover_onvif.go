package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/onvif"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// newDiscoverOnvifCommand makes the command of the handler onvif: without flags
// it shows all cameras that this machine hears of.
func newDiscoverOnvifCommand(kind all.Kind) *cobra.Command {
	var (
		d       discoverFlags
		details struct {
			Interfaces []string `json:"interfaces,omitempty"`
			Addresses  []string `json:"addresses,omitempty"`
			Networks   []string `json:"networks,omitempty"`
			Timeout    int      `json:"discoveryTimeoutSeconds"`
		}
		file string
	)
	cmd := &cobra.Command{
		Use:   kind.Name + " [--interface NAME]... [--address IP]... [--network CIDR]... | --details FILE",
		Short: "Show " + kind.Summary,
		Long: `Show the cameras that answer on the networks of this machine, or at addresses.
Cameras tell who made them only to users that they know: give one with
--credentials, a YAML file with username_default and password_default, or any
other discoveryProperties of a Configuration.

` + kind.About,
		Example: `  akri discover onvif
  akri discover onvif --interface eth1 --credentials cameras.yaml --watch
  akri discover onvif --network 10.20.0.0/24 -o json
  akri discover onvif --details details.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := yaml.Marshal(details)
			if file != "" {
				b, err = readDetails(file, cmd.InOrStdin())
			}
			if err != nil {
				return err
			}
			properties, err := d.properties(cmd)
			if err != nil {
				return err
			}
			return d.run(cmd, kind, startOnvif, discovery.Request{Details: string(b), Properties: properties})
		},
	}
	d.register(cmd, "akri-onvif")
	d.registerDetails(cmd, &file)
	d.registerCredentials(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&details.Interfaces, "interface", nil,
		"`name` of a network interface, or a pattern; may be given several times")
	f.StringArrayVar(&details.Addresses, "address", nil, "`IP` address to probe; may be given several times")
	f.StringArrayVar(&details.Networks, "network", nil,
		"network, as `CIDR`, whose addresses are probed one by one; may be given several times")
	f.IntVar(&details.Timeout, "timeout", 2, "how many `seconds` to wait for answers")
	for _, other := range []string{"interface", "address", "network", "timeout"} {
		cmd.MarkFlagsMutuallyExclusive("details", other)
	}
	return cmd
}

// startOnvif makes the handler onvif for a person: what it would log is in its
// notes too.
func startOnvif(setup.Program) (discovery.Handler, error) {
	return onvif.New(onvif.Options{Log: slog.New(slog.DiscardHandler)}), nil
}
