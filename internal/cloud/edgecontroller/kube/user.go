package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/transport"
)

// The extra keys of a service account's user, as the API server sets them for a
// token that is bound to a Pod (k8s.io/apiserver/pkg/authentication/serviceaccount).
const (
	ExtraNode   = "authentication.kubernetes.io/node-name"
	ExtraPod    = "authentication.kubernetes.io/pod-name"
	ExtraPodUID = "authentication.kubernetes.io/pod-uid"
)

// What the names of users begin with.
const (
	serviceAccount = "system:serviceaccount:"
	node           = "system:node:"
)

// User is who a request is made as: the API server judges it by this user's
// rights, and its audit log names both. The zero User is cloudcore itself.
type User struct {
	Name string
	// Groups are those beside the ones that the API server adds; see
	// [User.AllGroups].
	Groups []string
	// Extra has values by key, in lower case.
	Extra map[string]string
}

// Node is the user of an edge node.
func Node(name string) User {
	return User{Name: node + name, Groups: []string{"system:nodes"}}
}

// IsNode returns the name of the edge node whose user it is.
func (u User) IsNode() (string, bool) { return strings.CutPrefix(u.Name, node) }

// ServiceAccount is the user of a service account. The API server adds its
// groups.
func ServiceAccount(namespace, name string, extra map[string]string) User {
	return User{Name: serviceAccount + namespace + ":" + name, Extra: extra}
}

// Component is the user of a program of a node that is no Pod, such as
// kube-proxy.
func Component(name string) User { return User{Name: "system:" + name} }

// Itself tells whether the user is cloudcore.
func (u User) Itself() bool { return u.Name == "" }

// AllGroups returns the user's groups with those that the API server adds when a
// request is made in its name.
func (u User) AllGroups() []string {
	all := slices.Clone(u.Groups)
	if name, ok := strings.CutPrefix(u.Name, serviceAccount); ok {
		namespace, _, _ := strings.Cut(name, ":")
		all = append(all, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	return append(all, "system:authenticated")
}

// Key is equal for equal users only.
func (u User) Key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q", u.Name, u.Groups)
	for _, k := range slices.Sorted(maps.Keys(u.Extra)) {
		fmt.Fprintf(&b, " %q=%q", k, u.Extra[k])
	}
	return b.String()
}

// impersonation is the user in client-go's form.
func (u User) impersonation() transport.ImpersonationConfig {
	c := transport.ImpersonationConfig{UserName: u.Name, Groups: u.Groups}
	if len(u.Extra) > 0 {
		c.Extra = make(map[string][]string, len(u.Extra))
		for k, v := range u.Extra {
			c.Extra[k] = []string{v}
		}
	}
	return c
}
