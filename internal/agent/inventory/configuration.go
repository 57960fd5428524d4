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
	// Handler is the name that is asked, and Question identifies what; it is
	// "" while nothing can be asked.
	Handler   string
	RequestID string
	// Trouble says why it is not asked what the Configuration says, if it is
	// not: then Question is an earlier one, or "".
	Trouble string

	Capacity           int
	BrokerProperties   map[string]string
	OfflineGracePeriod *metav1.Duration
}

// Grace returns how long a device that is no longer reported stays.
func (r Configuration) Grace(shared bool) time.Duration {
	return (&v0.DiscoveryHandlerInfo{OfflineGracePeriod: r.OfflineGracePeriod}).Grace(shared)
}
