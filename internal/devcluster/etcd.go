package devcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	etcdURL         = "http://127.0.0.1:2379" // in the control plane's cell
	maxEtcdAnswer   = 1 << 20
	firstKey        = "AA==" // of etcd, in base64
	etcdDirMode     = 0o700
	etcdDir         = "etcd" // below the cluster's folder
	netNamespaceDir = "/run/netns/"
)

// BackupEtcd copies the data of etcd into the folder to, which must not be there
// yet. The API server and etcd are away meanwhile.
func (c *Cluster) BackupEtcd(ctx context.Context, to string) error {
	err := c.stopEtcd(ctx)
	if err == nil {
		err = os.CopyFS(to, os.DirFS(c.path(etcdDir)))
	}
	if err = errors.Join(err, c.startControlPlane(ctx, newProgress(nil))); err != nil {
		return fmt.Errorf("back up etcd: %w", err)
	}
	return nil
}

// RestoreEtcd gives etcd the data that BackupEtcd has copied into the folder from.
// Then it restarts, as Kubernetes tells to, what knows of a future that has not
// been: the control plane, and the kubelet and kube-proxy of each node. Edge nodes
// and what runs in Pods are not told.
func (c *Cluster) RestoreEtcd(ctx context.Context, from string) error {
	err := c.stopEtcd(ctx)
	for _, component := range []string{Scheduler, ControllerManager} {
		err = errors.Join(err, c.cell(controlCell).Stop(ctx, component, unix.SIGKILL))
	}
	if err == nil {
		err = replaceDir(c.path(etcdDir), from)
	}
	if err = errors.Join(err, c.startControlPlane(ctx, newProgress(nil))); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	for i := 1; i <= c.state.Nodes; i++ {
		for _, component := range []string{Kubelet, Proxy} {
			if err := c.Restart(ctx, nodeCell(i), component); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopEtcd ends etcd. The API server goes first and at once: on SIGTERM it waits for
// its watches.
func (c *Cluster) stopEtcd(ctx context.Context) error {
	if err := c.StopAPIServer(ctx); err != nil {
		return err
	}
	return c.cell(controlCell).Stop(ctx, Etcd, unix.SIGTERM)
}

func replaceDir(dir, from string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return err
	}
	return os.Chmod(dir, etcdDirMode)
}

// CompactEtcd has etcd forget all versions of objects but the present ones, as it
// does by itself from time to time. Who wants to go on from an older one cannot.
func (c *Cluster) CompactEtcd(ctx context.Context) error {
	var now struct{ Header struct{ Revision string } }
	if err := c.askEtcd(ctx, "/v3/kv/range", map[string]any{"key": firstKey}, &now); err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	if err := c.askEtcd(ctx, "/v3/kv/compaction", map[string]any{"revision": now.Header.Revision, "physical": true}, nil); err != nil {
		return fmt.Errorf("compact etcd to revision %s: %w", now.Header.Revision, err)
	}
	return nil
}

// askEtcd sends a request of etcd's API in JSON. etcd listens in its cell only.
func (c *Cluster) askEtcd(ctx context.Context, path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, c.network.NetNS(controlCell), network, address)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, etcdURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxEtcdAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// dialIn connects to an address in a network namespace.
func dialIn(ctx context.Context, netNS, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // until this goroutine ends, and its thread with it
		var f *os.File
		if f, err = os.Open(netNamespaceDir + netNS); err != nil {
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter network namespace %s: %w", netNS, err)
			return
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}()
	<-done
	return conn, err
}
