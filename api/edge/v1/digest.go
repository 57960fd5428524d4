package edgev1

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Digest is the SHA-256 of the items in the order of namespace and name, each
// text with its length before it. Both ends compute it of what they have; where
// they are equal, nothing else need be sent. It sorts items. That of no items is
// nil.
func Digest(items []Item) []byte {
	if len(items) == 0 {
		return nil
	}
	slices.SortFunc(items, func(a, b Item) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	h := sha256.New()
	var buf []byte
	for _, i := range items {
		buf = buf[:0]
		for _, s := range []string{i.Namespace, i.Name, i.UID, i.Version} {
			buf = binary.AppendUvarint(buf, uint64(len(s)))
			buf = append(buf, s...)
		}
		h.Write(buf)
	}
	return h.Sum(nil)
}
