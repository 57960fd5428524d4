package tokens

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// grace is how long a token is good after its time: clocks differ, and who uses
// it reads the next one once a minute.
const grace = time.Minute

// Rules are what a token must say.
type Rules struct {
	// Issuer is who makes tokens.
	Issuer string
	// Audiences has one that the token is for.
	Audiences []string
	// Node is this node.
	Node string
}

// Check returns why claims do not keep the rules. They must be those of a token
// that is verified, and that is bound to a Pod. Whether there is that Pod is not
// known here.
func (c Claims) Check(r Rules, now time.Time) error {
	k := c.Kubernetes
	switch {
	case r.Issuer == "" || c.Issuer != r.Issuer:
		return fmt.Errorf("its issuer is %q, not %q", c.Issuer, r.Issuer)
	case !slices.ContainsFunc(c.Audiences, func(a string) bool { return slices.Contains(r.Audiences, a) }):
		return fmt.Errorf("it is for %q, not for the API server: %q", c.Audiences, r.Audiences)
	case c.Expiry == 0:
		return errors.New("it has no end")
	case now.Add(-grace).Unix() >= c.Expiry:
		return fmt.Errorf("it has expired at %s by this node's clock", time.Unix(c.Expiry, 0).UTC().Format(time.RFC3339))
	case k.Namespace == "" || k.ServiceAccount.Name == "" || c.Subject != Subject(k.Namespace, k.ServiceAccount.Name):
		return fmt.Errorf("its subject %q is not its service account %s/%s", c.Subject, k.Namespace, k.ServiceAccount.Name)
	case k.Pod == nil || k.Pod.Name == "" || k.Pod.UID == "" || k.Secret != nil:
		return errors.New("it is not bound to a Pod")
	case k.Node != nil && k.Node.Name != r.Node:
		return fmt.Errorf("its Pod is bound to node %q", k.Node.Name)
	}
	return nil
}
