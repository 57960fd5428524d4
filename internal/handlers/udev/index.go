package udev

import (
	"slices"
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
)

// index is the devices of the node, sorted by devpath. It holds nothing but
// names: everything else is read when a rule asks for it.
type index []sysfs.Entry

func newIndex(t *sysfs.Tree) (index, error) {
	var ix index
	if err := t.Devices(func(e sysfs.Entry) { ix = append(ix, e) }); err != nil {
		return nil, err
	}
	slices.SortFunc(ix, func(a, b sysfs.Entry) int { return strings.Compare(a.Devpath, b.Devpath) })
	return slices.CompactFunc(ix, func(a, b sysfs.Entry) bool { return a.Devpath == b.Devpath }), nil
}

func (ix index) search(devpath string) (i int, ok bool) {
	return slices.BinarySearchFunc(ix, devpath, func(e sysfs.Entry, p string) int { return strings.Compare(e.Devpath, p) })
}

func (ix index) get(devpath string) (sysfs.Entry, bool) {
	i, ok := ix.search(devpath)
	if !ok {
		return sysfs.Entry{}, false
	}
	return ix[i], true
}

func (ix *index) put(e sysfs.Entry) {
	i, ok := ix.search(e.Devpath)
	if ok {
		(*ix)[i] = e
	} else {
		*ix = slices.Insert(*ix, i, e)
	}
}

// below returns the devices below a devpath, without itself.
func (ix index) below(devpath string) index {
	from, _ := ix.search(devpath + "/")
	to, _ := ix.search(devpath + "0") // the byte after the slash
	return ix[from:to]
}

func (ix *index) remove(devpath string) {
	if i, ok := ix.search(devpath); ok {
		*ix = slices.Delete(*ix, i, i+1)
	}
}
