package udev

import (
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// index lists the devices of the node, sorted by devpath. It has only their
// names: the rest is read when a rule needs it.
type index []sysfs.Ref

func newIndex(t *sysfs.Tree) (index, error) {
	var ix index
	if err := t.Devices(func(ref sysfs.Ref) { ix = append(ix, ref) }); err != nil {
		return nil, err
	}
	slices.SortFunc(ix, func(a, b sysfs.Ref) int { return strings.Compare(a.Devpath, b.Devpath) })
	return slices.CompactFunc(ix, func(a, b sysfs.Ref) bool { return a.Devpath == b.Devpath }), nil
}

func (ix index) position(devpath string) (i int, ok bool) {
	return slices.BinarySearchFunc(ix, devpath, func(ref sysfs.Ref, p string) int { return strings.Compare(ref.Devpath, p) })
}

func (ix index) get(devpath string) (sysfs.Ref, bool) {
	i, ok := ix.position(devpath)
	if !ok {
		return sysfs.Ref{}, false
	}
	return ix[i], true
}

func (ix *index) put(ref sysfs.Ref) {
	i, ok := ix.position(ref.Devpath)
	if ok {
		(*ix)[i] = ref
	} else {
		*ix = slices.Insert(*ix, i, ref)
	}
}

// below returns the devices below a devpath, without itself.
func (ix index) below(devpath string) index {
	from, _ := ix.position(devpath + "/")
	to, _ := ix.position(devpath + "0") // the byte after the slash
	return ix[from:to]
}

func (ix *index) remove(devpath string) {
	if i, ok := ix.position(devpath); ok {
		*ix = slices.Delete(*ix, i, i+1)
	}
}
