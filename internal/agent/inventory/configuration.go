package inventory

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Configuration is what the inventory must know of a Configuration.
type Configuration struct {
	Name types.NamespacedName
	// Owner is the UID and Generation the generation of the Configuration.
	Owner      types.UID
	Generation int64
	// Handler is the name of the handlers that are asked, and RequestID what they
	// are asked; it is "" while nothing can be asked.
	Handler   string
	RequestID string
	// Problem says why the Configuration's own request cannot be made, if it
	// cannot: then RequestID is of an earlier request, or "".
	Problem string

	Capacity           int
	BrokerProperties   map[string]string
	OfflineGracePeriod *metav1.Duration
}

// Grace returns how long a device that is no longer reported stays.
func (c Configuration) Grace(shared bool) time.Duration {
	return (&v0.DiscoveryHandlerInfo{OfflineGracePeriod: c.OfflineGracePeriod}).Grace(shared)
}
