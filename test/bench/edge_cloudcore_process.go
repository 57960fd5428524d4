package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
)

const (
	secretName = trust.SecretName
	// cloudcoreMemory is what the chart gives cloudcore, as package bounded hands
	// it on.
	cloudcoreMemory = 1 << 30 / 10 * 9
	readyTimeout    = time.Minute
	maxSaidBytes    = 4 << 10
)

// cloudcore is the program in a process of its own, with an API server without
// nodes.
type cloudcore struct {
	server      *kubetest.Server
	api         client.Client
	apiMetrics  func(context.Context) ([]byte, error)
	dir         string
	cmd         *exec.Cmd
	said        lastSaid
	hub, health string // addresses
}

// startCloudcore starts both.
func startCloudcore(ctx context.Context) (c *cloudcore, err error) {
	c = &cloudcore{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop(true))
		}
	}()
	if c.dir, err = os.MkdirTemp("", "akri-bench-"); err != nil {
		return c, err
	}
	program := filepath.Join(c.dir, "cloudcore")
	if err := build(ctx, "./cmd/cloudcore", program); err != nil {
		return c, err
	}
	if c.server, err = kubetest.New(ctx, kubetest.WithCRDs(""), kubetest.WithNodeRestriction()); err != nil {
		return c, err
	}
	config := rest.CopyConfig(c.server.Config)
	if c.api, err = client.New(config, client.Options{Scheme: clientgoscheme.Scheme}); err != nil {
		return c, err
	}
	if c.apiMetrics, err = metricsReader(config); err != nil {
		return c, err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName, Namespace: metav1.NamespaceDefault}}
	if err := c.api.Create(ctx, secret); err != nil {
		return c, err
	}
	return c, c.start(ctx, program)
}

// start starts the program, and waits until it is ready.
func (c *cloudcore) start(ctx context.Context, program string) error {
	addresses, err := freeAddresses(3)
	if err != nil {
		return err
	}
	c.hub, c.health = addresses[0], addresses[1]
	kubeconfig, config := filepath.Join(c.dir, "kubeconfig"), filepath.Join(c.dir, "cloudcore.yaml")
	text := fmt.Sprintf("hub: {address: %q}\nhealth: {address: %q}\njoin: {address: %q}\n", addresses[0], addresses[1], addresses[2])
	if err := errors.Join(writeKubeconfig(kubeconfig, c.server.Config), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return err
	}
	cmd := exec.Command(program, "--config", config, "--kubeconfig", kubeconfig, "--namespace", metav1.NamespaceDefault)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", cloudcoreMemory))
	cmd.Stderr = &c.said
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd = cmd
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return poll.Until(ctx, "cloudcore is ready", 100*time.Millisecond, func(ctx context.Context) error {
		if _, err := get(ctx, "http://"+c.health+"/readyz"); err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.hub)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// stop ends what was started. After a failure it tells what cloudcore said last.
func (c *cloudcore) stop(failed bool) (err error) {
	if c.cmd != nil {
		err = errors.Join(c.cmd.Process.Signal(unix.SIGTERM), c.cmd.Wait())
	}
	if failed && len(c.said) > 0 {
		fmt.Fprintf(os.Stderr, "cloudcore said last:\n%s\n", c.said)
	}
	if c.server != nil {
		c.server.Close()
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// lastSaid is the end of what a program says. A file would make it wait for the
// disk.
type lastSaid []byte

func (l *lastSaid) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	if len(*l) > 2*maxSaidBytes {
		*l = append((*l)[:0], (*l)[len(*l)-maxSaidBytes:]...)
	}
	return len(p), nil
}

func (c *cloudcore) process() process { return process(fmt.Sprintf("/proc/%d", c.cmd.Process.Pid)) }

// build builds a program of this checkout as images have it.
func build(ctx context.Context, folder, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", images.Tags, "-ldflags", "-s -w", "-o", to, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", folder, err, said)
	}
	return nil
}

// freeAddresses are addresses of loopback that are free now.
func freeAddresses(count int) (list []string, err error) {
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are known
		list = append(list, l.Addr().String())
	}
	return list, nil
}

func writeKubeconfig(path string, c *rest.Config) error {
	k := clientcmdapi.NewConfig()
	k.Clusters["bench"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos["bench"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData}
	k.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	k.CurrentContext = "bench"
	return clientcmd.WriteToFile(*k, path)
}

// metricSum adds the values of a metric in Prometheus' text, of those that have all of
// these labels.
func metricSum(text []byte, name string, having ...string) (sum float64) {
	for line := range strings.Lines(string(text)) {
		of, labelled := strings.CutPrefix(line, name)
		if !labelled || of == "" || of[0] != '{' && of[0] != ' ' {
			continue
		}
		all := true
		for _, label := range having {
			all = all && strings.Contains(of, label)
		}
		words := strings.Fields(of)
		if !all || len(words) == 0 {
			continue
		}
		var value float64
		if _, err := fmt.Sscan(words[len(words)-1], &value); err == nil {
			sum += value
		}
	}
	return sum
}
