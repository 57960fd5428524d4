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

func keyOf(i edgev1.Item) index.Key { return index.Key{Namespace: i.Namespace, Name: i.Name} }
