package edgecontroller

import (
	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
)

// Plan decides what an edge node must be sent, that has some items and should
// have others: the objects to put, and what it has too many.
func Plan(has, should []edgev1.Item) (put []index.Key, gone []edgev1.Item) {
	there := make(map[index.Key]edgev1.Item, len(has))
	for _, i := range has {
		there[keyOf(i)] = i
	}
	for _, i := range should {
		k := keyOf(i)
		if old, ok := there[k]; !ok || old.UID != i.UID || old.Version != i.Version {
			put = append(put, k)
		}
		delete(there, k)
	}
	for _, i := range has {
		if old, left := there[keyOf(i)]; left && old == i {
			gone = append(gone, edgev1.Item{Namespace: i.Namespace, Name: i.Name, UID: i.UID})
			delete(there, keyOf(i))
		}
	}
	return put, gone
}

// forgotten decides whether the cluster has forgotten what an edge node has seen:
// it has objects in older versions now, though its list is newer. Of what the node
// has from after the list, ahead is the newest; that may have come by another way.
func forgotten(has, should []edgev1.Item, list string) (certain bool, ahead string) {
	now := make(map[index.Key]edgev1.Item, len(should))
	for _, i := range should {
		now[keyOf(i)] = i
	}
	for _, i := range has {
		if index.Older(list, i.Version) {
			if ahead == "" || index.Older(ahead, i.Version) {
				ahead = i.Version
			}
			continue
		}
		is, there := now[keyOf(i)]
		known := i.Version == list || index.Older(i.Version, list) // by the list
		if there && known && is.UID == i.UID && index.Older(is.Version, i.Version) {
			certain = true
		}
	}
	return certain, ahead
}

func keyOf(i edgev1.Item) index.Key { return index.Key{Namespace: i.Namespace, Name: i.Name} }
