package cloud

import (
	"bytes"
	_ "embed" // defaults.yaml
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/logging"
)

// defaults is the whole configuration with its defaults and what each key means.
//
//go:embed defaults.yaml
var defaults string

// Config is cloudcore's configuration. The file defaults.yaml has the defaults
// and says what each key means.
type Config struct {
	Hub        Hub        `json:"hub"`
	Join       Join       `json:"join"`
	Controller Controller `json:"controller"`
	Health     Health     `json:"health"`
	Kubernetes Kubernetes `json:"kubernetes"`
	LogLevel   string     `json:"logLevel"`
}

// Hub is where edge nodes connect.
type Hub struct {
	Address        string          `json:"address"`
	MaxNodes       int             `json:"maxNodes"`
	PingInterval   metav1.Duration `json:"pingInterval"`
	BytesPerSecond string          `json:"bytesPerSecond"` // of one node, a quantity
}

// Join is where edge nodes get certificates.
type Join struct {
	Address string `json:"address"`
}

// Controller is what edge nodes see and write.
type Controller struct {
	Autonomy   bool   `json:"autonomy"`
	MaxObjects int64  `json:"maxObjects"`
	MaxWatches int    `json:"maxWatches"`
	Cache      string `json:"cache"` // a quantity

	LeaseRenewInterval metav1.Duration `json:"leaseRenewInterval"`
}

// Health is where probes and metrics are served.
type Health struct {
	Address string `json:"address"`
}

// Kubernetes is how the API server is reached, and what is kept there.
type Kubernetes struct {
	Kubeconfig string `json:"kubeconfig"`
	Namespace  string `json:"namespace"`
	Secret     string `json:"secret"`
}

// Default returns the configuration with its defaults.
func Default() Config {
	var c Config
	if err := c.read([]byte(defaults)); err != nil {
		c.LogLevel = err.Error() // a test reads the file
	}
	return c
}

// read reads YAML over what is there. A key that is not known is an error.
func (c *Config) read(text []byte) error { return yaml.UnmarshalStrict(text, c) }

// Load returns the configuration that a file has; what it does not mention has
// its default.
func Load(file string) (Config, error) {
	c := Default()
	text, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := c.read(text); err != nil {
		return c, fmt.Errorf("read the configuration %s (see cloudcore --defaultconfig): %w", file, err)
	}
	return c, nil
}

// DefaultText is the whole configuration with comments, in YAML.
func DefaultText() string { return defaults }

// MinText is a configuration with the keys that people change, in YAML.
func MinText() string {
	d := Default()
	return fmt.Sprintf(minimal, d.Hub.Address, d.Join.Address, d.Controller.Autonomy, d.LogLevel)
}

const minimal = `# The keys that people change; cloudcore --defaultconfig shows all.
hub:
  address: %q
join:
  address: %q
controller:
  autonomy: %v
logLevel: %s
`

// Check returns what is wrong with the configuration, in all of its keys.
func (c *Config) Check() error {
	var all []error
	bad := func(key, format string, args ...any) { all = append(all, fmt.Errorf(key+": "+format, args...)) }
	for key, address := range map[string]string{"hub.address": c.Hub.Address, "join.address": c.Join.Address,
		"health.address": c.Health.Address} {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			bad(key, "%q is not an address such as :10000", address)
		}
	}
	if c.Hub.MaxNodes < 1 {
		bad("hub.maxNodes", "%d: want at least 1", c.Hub.MaxNodes)
	}
	if d := c.Hub.PingInterval.Duration; d < time.Second || d > time.Minute {
		bad("hub.pingInterval", "%s: want 1s to 1m", d)
	}
	if d := c.Controller.LeaseRenewInterval.Duration; d < time.Second || d > time.Minute {
		bad("controller.leaseRenewInterval", "%s: want 1s to 1m", d)
	}
	if n, err := quantity(c.Hub.BytesPerSecond); err != nil || n < 64<<10 {
		bad("hub.bytesPerSecond", "%q is not a quantity of at least 64Ki", c.Hub.BytesPerSecond)
	}
	if n, err := quantity(c.Controller.Cache); err != nil || n < 1<<20 {
		bad("controller.cache", "%q is not a quantity of at least 1Mi", c.Controller.Cache)
	}
	if c.Controller.MaxObjects < 1 {
		bad("controller.maxObjects", "%d: want at least 1", c.Controller.MaxObjects)
	}
	if c.Controller.MaxWatches < 1 {
		bad("controller.maxWatches", "%d: want at least 1", c.Controller.MaxWatches)
	}
	if c.Kubernetes.Secret == "" {
		bad("kubernetes.secret", "it is empty; the chart's is %s", trust.SecretName)
	}
	if _, err := logging.New(new(bytes.Buffer), c.LogLevel); err != nil {
		bad("logLevel", "%v", err)
	}
	return errors.Join(all...)
}

func quantity(text string) (int64, error) {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, err
	}
	return q.Value(), nil
}
