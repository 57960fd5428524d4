package devcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// registryDir holds one file per cluster of this machine, named after its
// index. It is in memory, as are the cluster's namespaces.
const registryDir = "/run/akri-dev"

const stateFormat = 1

// state is what Up writes down before it makes anything, so that Down can
// remove it.
type state struct {
	Format  int       `json:"format"`
	Index   int       `json:"index"`
	Nodes   int       `json:"nodes"`
	BinDir  string    `json:"binDir"`
	Bins    binaries  `json:"binaries"`
	CNIDir  string    `json:"cniDir"`
	Created time.Time `json:"created"`
}

// binaries maps the name of a binary to its path.
type binaries map[string]string

func stateFile(dir string) string { return filepath.Join(dir, "cluster.json") }

// readState returns nil when there is no cluster in dir.
func readState(dir string) (*state, error) {
	data, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("parse %s: %w; `akri dev down` removes it", stateFile(dir), err)
	}
	if s.Format != stateFormat || s.Index < 0 || s.Index >= maxClusters || s.Nodes < 1 || s.Nodes > MaxNodes {
		return nil, fmt.Errorf("%s was written by another version; `akri dev down` removes it", stateFile(dir))
	}
	return &s, nil
}

// entry is the registry's record of one cluster.
type entry struct {
	Dir string `json:"dir"`
}

func entryFile(index int) string {
	return filepath.Join(registryDir, strconv.Itoa(index)+".json")
}

// reserve gives dir an index that no other cluster and no network of the
// machine uses; want is the index that dir's data is made for, -1 for any.
func reserve(ctx context.Context, dir string, want int) (int, error) {
	unlock, err := lockFile(ctx, filepath.Join(registryDir, "lock"))
	if err != nil {
		return 0, err
	}
	defer unlock()
	used := map[int]string{}
	for i := range maxClusters {
		var e entry
		if err := readJSON(entryFile(i), &e); err != nil {
			return 0, err
		}
		if e.Dir != "" {
			used[i] = e.Dir
		}
	}
	addrs, err := hostPrefixes()
	if err != nil {
		return 0, err
	}
	index, err := chooseIndex(dir, want, used, addrs)
	if err != nil {
		return 0, err
	}
	return index, writeJSON(entryFile(index), entry{Dir: dir})
}

// chooseIndex picks an index for dir. used maps taken indices to the folders of
// their clusters; inUse are networks that the machine knows.
func chooseIndex(dir string, want int, used map[int]string, inUse []netip.Prefix) (int, error) {
	for i, d := range used {
		if d == dir && (want < 0 || want == i) {
			return i, nil
		}
	}
	free := func(i int) bool {
		if used[i] != "" {
			return false
		}
		for _, p := range inUse {
			if p.Overlaps(Network{i}.All()) {
				return false
			}
		}
		return true
	}
	if want >= 0 {
		if !free(want) {
			return 0, fmt.Errorf("the cluster in %s was made for the network %s, which something else uses now (%s); end that, or `akri dev down --dir %s` and start anew",
				dir, Network{want}.All(), used[want], dir)
		}
		return want, nil
	}
	for i := range maxClusters {
		if free(i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no free network for a cluster: each of the %d ranges in 10.208.0.0/12 is used by another cluster or an interface of this machine; end a cluster with `akri dev down --dir …`", maxClusters)
}

// hostPrefixes returns the networks of the machine's interfaces, and the
// destinations of its IPv4 routes save the default route.
func hostPrefixes() ([]netip.Prefix, error) {
	var list []netip.Prefix
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Masked())
		}
	}
	data, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	return append(list, parseRoutes(string(data))...), nil
}

// parseRoutes reads /proc/net/route. Routes of length 8 or shorter are left
// out: a VPN that takes all of 10.0.0.0/8 would leave no index at all, and the
// cluster's own routes are longer and win.
func parseRoutes(text string) []netip.Prefix {
	var list []netip.Prefix
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		dest, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		bits := 0
		for m := mask; m != 0; m &= m - 1 {
			bits++
		}
		if bits <= 8 {
			continue
		}
		// The kernel prints the words in the order of a little-endian machine.
		addr := netip.AddrFrom4([4]byte{byte(dest), byte(dest >> 8), byte(dest >> 16), byte(dest >> 24)})
		list = append(list, netip.PrefixFrom(addr, bits).Masked())
	}
	return list
}

// registered returns the index reserved for dir, -1 when there is none.
func registered(dir string) (int, error) {
	for i := range maxClusters {
		var e entry
		if err := readJSON(entryFile(i), &e); err != nil {
			return -1, err
		}
		if e.Dir == dir {
			return i, nil
		}
	}
	return -1, nil
}

// release gives an index back.
func release(ctx context.Context, index int) error {
	unlock, err := lockFile(ctx, filepath.Join(registryDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(entryFile(index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lockFile takes the lock at path, waiting for its holder until ctx ends. The
// lock's file is removed when it is given back.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		unlock, err := tryLock(path)
		if !errors.Is(err, errHeld) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another akri works on this cluster (lock %s): %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// errHeld says that a lock has a holder, or had one a moment ago.
var errHeld = errors.New("lock is held")

func tryLock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			return nil, errHeld // the folder came or went meanwhile
		}
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errHeld // its former holder has removed the folder
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !same(f, path) {
		err = unix.EWOULDBLOCK // its former holder has removed the file
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return nil, errHeld
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() {
		os.Remove(path)
		f.Close()
		os.Remove(filepath.Dir(path)) // when it was the last file
	}, nil
}

// same tells whether an open file is the one at path.
func same(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}
