package cell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/atomicfile"
)

// registryDir holds one file per lab of this machine, named after its index. It
// is in memory, as are the labs' namespaces.
const registryDir = "/run/akri-dev"

// Why Reserve returns no index.
var (
	// ErrTaken says that the network that a lab was made for is no longer free.
	ErrTaken = errors.New("something else uses")
	// ErrNoneFree says that all indices are in use.
	ErrNoneFree = errors.New("no free network")
)

// Folder returns the absolute path of dir without symbolic links, even if dir
// does not exist yet: the registry compares folders as text.
func Folder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return realPath(abs), nil
}

// realPath resolves the symbolic links in the part of path that exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(realPath(parent), filepath.Base(path))
}

// reservation is the registry's record of one lab.
type reservation struct {
	Dir string `json:"dir"`
}

func reservationFile(index int) string {
	return filepath.Join(registryDir, strconv.Itoa(index)+".json")
}

// Owner returns the folder of the lab that has an index, "" if none has it.
func Owner(index int) (string, error) {
	var e reservation
	err := atomicfile.ReadJSON(reservationFile(index), &e)
	return e.Dir, err
}

// Reserve gives the lab in dir an index that no other lab and no network of the
// machine uses. want is the index that dir was made for, -1 for any.
func Reserve(ctx context.Context, dir string, want int) (int, error) {
	unlock, err := lockFile(ctx, filepath.Join(registryDir, "lock"))
	if err != nil {
		return 0, err
	}
	defer unlock()
	used := map[int]string{}
	for i := range MaxLabs {
		owner, err := Owner(i)
		if err != nil {
			return 0, err
		}
		if owner != "" {
			used[i] = owner
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
	return index, atomicfile.WriteJSON(reservationFile(index), reservation{Dir: dir})
}

// chooseIndex picks an index for dir. used maps taken indices to the folders of
// their labs; inUse are networks that the machine knows.
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
			return 0, fmt.Errorf("what is in %s was made for the network %s, which %w now (%s)", dir, Network{want}.All(), ErrTaken, used[want])
		}
		return want, nil
	}
	for i := range MaxLabs {
		if free(i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: each of the %d ranges in 10.208.0.0/12 is used by another lab or an interface of this machine", ErrNoneFree, MaxLabs)
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
// lab's own routes are longer and win.
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

// Registered returns the index reserved for dir, -1 when there is none.
func Registered(dir string) (int, error) {
	for i := range MaxLabs {
		owner, err := Owner(i)
		if err != nil {
			return -1, err
		}
		if owner == dir {
			return i, nil
		}
	}
	return -1, nil
}

// Release gives an index back.
func Release(ctx context.Context, index int) error {
	unlock, err := lockFile(ctx, filepath.Join(registryDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(reservationFile(index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
