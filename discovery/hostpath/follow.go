package hostpath

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// errUnseen says that a path is in a folder of the node's root that this process
// does not see.
var errUnseen = errors.New("the agent does not see this folder of the node")

const maxLinks = 40 // as the kernel has it

// follow resolves all symbolic links of a clean path, as on the node. It
// returns the resolved path and what is there; nil for the root. If something
// on the way does not exist or is not seen, it returns the path as far as links
// could be resolved, and an error. It refuses places that differ between
// processes.
func (r *Rules) follow(p string) (string, fs.FileInfo, error) {
	var info fs.FileInfo
	at, rest, links := "/", strings.Split(p[1:], "/"), 0
	for len(rest) > 0 {
		element := rest[0]
		rest = rest[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			at, info = path.Dir(at), nil
			continue
		}
		next := path.Join(at, element)
		if own, ok := inside(next, ofProcesses()); ok {
			return "", nil, fmt.Errorf("leads to %s, which differs between processes", own)
		}
		var err error
		if info, err = fs.Lstat(r.node, next[1:]); err != nil {
			if at == "/" && errors.Is(err, fs.ErrNotExist) {
				err = errUnseen
			}
			return path.Join(append([]string{next}, rest...)...), nil, bare(err)
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errors.New("leads through too many links")
		}
		target, err := fs.ReadLink(r.node, next[1:])
		if err != nil {
			return "", nil, bare(err)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
		info = nil
	}
	if info == nil && at != "/" { // a link to a folder above
		var err error
		if info, err = fs.Lstat(r.node, at[1:]); err != nil {
			return "", nil, bare(err)
		}
	}
	return at, info, nil
}

// bare removes call and path from an error: the path is not the node's.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	var perr *fs.PathError
	if errors.As(err, &perr) {
		return perr.Err
	}
	return err
}
