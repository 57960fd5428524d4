package devcluster

import (
	"fmt"
	"time"
)

// minNodeGrace leaves room for the kubelet's renewals, which are whole seconds
// apart, and for a machine that stalls.
const minNodeGrace = 4 * time.Second

// CheckNodeGrace refuses what Options.NodeGrace cannot be.
func CheckNodeGrace(grace time.Duration) error {
	if grace != 0 && (grace < minNodeGrace || grace%time.Second != 0) {
		return fmt.Errorf("node monitor grace period %v: want whole seconds, at least %v, or 0 for Kubernetes' own", grace, minNodeGrace)
	}
	return nil
}

// chooseNodeGrace returns the grace of a cluster, given the state of the one
// that is there, or nil, and what is asked for, which may be 0. A cluster keeps
// its own: components that run would not take up another.
func chooseNodeGrace(old *state, wish time.Duration) (time.Duration, error) {
	if err := CheckNodeGrace(wish); err != nil {
		return 0, err
	}
	if old == nil || wish == old.NodeGrace {
		return wish, nil
	}
	if wish != 0 {
		return 0, fmt.Errorf("the cluster that is there has the node monitor grace period %v (0s is Kubernetes' own), not %v, and does not change; "+
			"`akri dev down` first, or make another with --dir", old.NodeGrace, wish)
	}
	return old.NodeGrace, nil
}

// monitorArgs are the controller-manager's, with which it notices in time that
// a node is silent.
func (c *Cluster) monitorArgs() []string {
	grace := c.state.NodeGrace
	if grace == 0 {
		return nil
	}
	return []string{
		"--node-monitor-grace-period=" + grace.String(),
		"--node-monitor-period=" + min(grace/4, 5*time.Second).String(),
	}
}

// leaseSeconds is the duration of a node's Lease, which the kubelet renews four
// times in that time; 0 means the kubelet's own, 40.
func (c *Cluster) leaseSeconds() int { return int(c.state.NodeGrace / time.Second) }
