package main

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/all"
	"github.com/akri-go/akri/internal/handlers/mqtt"
	"github.com/akri-go/akri/internal/handlers/setup"
)

// defaultListen is for how long a person waits for devices to speak.
const defaultListen = 10 * time.Second

// newDiscoverMQTTCommand makes the command of the handler mqtt: without patterns of
// topics it shows the devices of both conventions.
func newDiscoverMQTTCommand(kind all.Kind) *cobra.Command {
	type pattern struct {
		Pattern string `json:"pattern"`
	}
	var (
		d       discoverFlags
		details struct {
			Broker        string    `json:"broker"`
			Homie         *struct{} `json:"homie,omitempty"`
			HomeAssistant *struct{} `json:"homeAssistant,omitempty"`
			Topics        []pattern `json:"topics,omitempty"`
		}
		patterns []string
		listen   time.Duration
		file     string
	)
	cmd := &cobra.Command{
		Use:   kind.Name + " (--broker URL [--topic PATTERN]... | --details FILE)",
		Short: "Show " + kind.Summary,
		Long: `Show the devices that announce themselves on an MQTT broker: by Homie, by Home
Assistant's discovery or, with --topic, by a topic that they publish to. Give
the broker's username and password with --credentials, a YAML file with these
and any other discoveryProperties of a Configuration.

` + kind.About,
		Example: `  akri discover mqtt --broker mqtt://broker.example
  akri discover mqtt --broker mqtts://broker.example --credentials broker.yaml --watch
  akri discover mqtt --broker mqtt://broker.example --topic sensors/+/state --listen 1m
  akri discover mqtt --details details.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range patterns {
				details.Topics = append(details.Topics, pattern{p})
			}
			if len(patterns) == 0 {
				details.Homie, details.HomeAssistant = &struct{}{}, &struct{}{}
			}
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
			return d.run(cmd, kind, startMQTT(listen), discovery.Request{Details: string(b), Properties: properties})
		},
	}
	d.register(cmd, "akri-mqtt")
	d.registerDetails(cmd, &file)
	d.registerCredentials(cmd)
	f := cmd.Flags()
	f.StringVar(&details.Broker, "broker", "", "`URL` of the broker, mqtt://host or mqtts://host")
	f.StringArrayVar(&patterns, "topic", nil,
		"`pattern` of topics with one +, which stands for a device; may be given several times")
	f.DurationVar(&listen, "listen", defaultListen, "how `long` to wait for what devices publish to those topics")
	cmd.MarkFlagsOneRequired("broker", "details")
	cmd.MarkFlagsMutuallyExclusive("broker", "details")
	cmd.MarkFlagsMutuallyExclusive("topic", "details")
	return cmd
}

// startMQTT makes the handler mqtt for a person, who waits for all that the broker
// retains. What the handler logs is in its notes too.
func startMQTT(listen time.Duration) setup.New {
	return func(setup.Program) (discovery.Handler, error) {
		log := slog.New(slog.DiscardHandler)
		return mqtt.New(mqtt.Options{Patience: 30 * time.Second, Listen: listen, Log: log}), nil
	}
}
