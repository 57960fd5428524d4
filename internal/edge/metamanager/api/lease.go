package api

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// leases has the node's Lease, as the kubelet wrote it last. It is in memory
// alone: the kubelet writes it every 10 s, and the one in the cluster is
// cloudcore's affair.
type leases struct {
	mu   sync.Mutex
	rv   uint64
	json []byte // nil: there is none
	head store.Head
	at   time.Time // when the kubelet was last heard
}

func (s *Server) isLease(t target) bool {
	return t.resource.Group == "coordination.k8s.io" && t.resource.Name == "leases" &&
		t.namespace == "kube-node-lease" && t.subresource == "" &&
		(t.name == s.Node || t.name == "")
}

func (s *Server) serveLease(w http.ResponseWriter, r *http.Request, t target) {
	body, err := readBody(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	var h store.Head
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if h, err = store.ReadHead(body); err != nil || h.Kind != "Lease" || h.Metadata.Name != s.Node {
			fail(w, apierrors.NewBadRequest("want the Lease of this node as JSON"))
			return
		}
	}
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	l := &s.lease
	switch {
	case r.Method == http.MethodGet && t.name != "" && l.json != nil:
		writeRaw(w, http.StatusOK, "", l.json)
	case r.Method == http.MethodGet && t.name != "":
		fail(w, apierrors.NewNotFound(t.groupResource(), s.Node))
	case r.Method == http.MethodPost && t.name == "" && l.json != nil:
		fail(w, apierrors.NewAlreadyExists(t.groupResource(), s.Node))
	case r.Method == http.MethodPost && t.name == "", r.Method == http.MethodPut && t.name != "" && l.json == nil:
		// edgecore may have restarted since the kubelet made it.
		l.set(body, fmt.Sprintf("%x-0000-4000-8000-000000000000", rand.Text()[:4]), time.Now())
		code := http.StatusCreated
		if r.Method == http.MethodPut {
			code = http.StatusOK
		}
		writeRaw(w, code, "", l.json)
	case r.Method == http.MethodPut && t.name != "":
		if rv := h.Metadata.ResourceVersion; rv != "" && rv != l.head.Metadata.ResourceVersion {
			fail(w, apierrors.NewConflict(t.groupResource(), s.Node, fmt.Errorf("the object has been modified")))
			return
		}
		l.set(body, l.head.Metadata.UID, time.Time{})
		writeRaw(w, http.StatusOK, "", l.json)
	default:
		fail(w, status(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
			"the Lease of an edge node can be got, created and updated"))
	}
}

// set takes a Lease; the lock is held. created is when it was made, zero if it
// was made before.
func (l *leases) set(body []byte, uid string, created time.Time) {
	var doc map[string]any
	if json.Unmarshal(body, &doc) != nil {
		return // it was read before
	}
	meta, ok := doc["metadata"].(map[string]any)
	if !ok {
		return
	}
	l.rv++
	l.at = time.Now()
	meta["resourceVersion"], meta["uid"] = strconv.FormatUint(l.rv, 10), uid
	if !created.IsZero() {
		meta["creationTimestamp"] = created.UTC().Format(time.RFC3339)
	}
	if data, err := json.Marshal(doc); err == nil {
		l.json = data
		l.head, _ = store.ReadHead(data)
	}
}
