package devcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/cell"
)

const downTimeout = 5 * time.Minute

// Down stops the cluster in dir and removes everything that Up made: processes,
// containers, namespaces, links, cgroups and files. Packages and the cache of
// binaries stay. It is no error if there is no cluster.
func Down(ctx context.Context, dir string, w io.Writer) error {
	if err := requireRoot(); err != nil {
		return err
	}
	out := newProgress(w)
	dir, err := absDir(dir)
	if err != nil {
		return err
	}
	unlock, err := cell.Lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()

	index, err := indexOf(dir)
	if err != nil {
		return err
	}
	lab := cell.Lab{Dir: dir, Network: network(index).Network, Hub: controlCell}
	if index >= 0 {
		if err := lab.Kill(ctx); err != nil {
			return err
		}
		out.step("processes and containers ended")
		if err := lab.Remove(ctx); err != nil {
			return err
		}
		out.step("namespaces, links and cgroups removed")
	}
	if err := lab.UnplugAll(ctx); err != nil {
		return err
	}
	if err := removeFiles(dir); err != nil {
		return err
	}
	if index >= 0 {
		// Last: until now a second Down can find the rest.
		if err := cell.Release(ctx, index); err != nil {
			return err
		}
	}
	out.step("nothing left of the cluster in %s", dir)
	return nil
}

// indexOf returns the index of the cluster in dir, or -1: from the registry,
// else from the cluster's state file unless another cluster has that index now.
func indexOf(dir string) (int, error) {
	index, err := cell.Registered(dir)
	if err != nil || index >= 0 {
		return index, err
	}
	// A state file that cannot be read is ignored, and removed with the others.
	st, err := readState(dir)
	if err != nil || st == nil {
		return -1, nil
	}
	owner, err := cell.Owner(st.Index)
	if err != nil || owner != "" {
		return -1, err
	}
	return st.Index, nil
}

// ownFiles lists what Up makes in the cluster's folder.
func ownFiles() []string {
	return append(cell.Files(), programDir, "config", "etcd", "kubeconfig", "pki", "cluster.json")
}

// removeFiles removes what Up made in dir, and dir itself if it is empty then.
func removeFiles(dir string) error {
	for _, name := range ownFiles() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove the cluster's files: %w", err)
		}
	}
	err := os.Remove(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	return nil
}
