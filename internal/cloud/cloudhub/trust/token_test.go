package trust_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
)

// A token is for the node that it names, or for the first new one.
func TestTokens(t *testing.T) {
	k, m, c := start(t)
	m.Add("control-plane", false)
	m.Add("edge-9", true)
	named, of := token(t, k, "edge-1", time.Hour)
	open, _ := token(t, k, "", time.Hour)
	other, _ := token(t, k, "", time.Hour)
	forPlane, _ := token(t, k, "control-plane", time.Hour)
	forNine, _ := token(t, k, "edge-9", time.Hour)
	if of.Node != "edge-1" || of.Expires.Sub(of.Created) != time.Hour || strings.Count(named, ".") != 3 {
		t.Errorf("%+v %s", of, named)
	}
	join := func(name, token string) (*x509.Certificate, error) { return k.Join(t.Context(), node(t, name), token) }
	try := func(what, name, token, want string) {
		t.Helper()
		cert, err := join(name, token)
		refused(t, what, cert, err, want)
	}
	try("another node", "edge-2", named, `for node "edge-1"`)
	try("a name that somebody has a token for", "edge-1", open, "already")
	mustJoin(t, k, "edge-1", named)
	mustJoin(t, k, "edge-1", named) // its answer was lost
	try("a node that there is", "edge-9", open, "keadm gettoken --edgenode-name edge-9")
	mustJoin(t, k, "edge-9", forNine)
	try("a node of the cluster", "control-plane", open, "node of the cluster itself")
	try("a node of the cluster, named", "control-plane", forPlane, "node of the cluster itself")
	mustJoin(t, k, "edge-3", open)
	mustJoin(t, k, "edge-3", open)
	try("a second node", "edge-4", open, `for node "edge-3"`)
	try("the name of one that has just joined", "edge-3", other, "already")

	all, err := k.Tokens(t.Context())
	if err != nil || len(all) != 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := k.DeleteToken(t.Context(), of.ID); err != nil {
		t.Error(err)
	}
	if err := k.DeleteToken(t.Context(), of.ID); err == nil {
		t.Error("it is deleted twice")
	}
	try("a token that was deleted", "edge-1", named, "does not exist any more")
	c.add(time.Hour)
	try("a token that has expired", "edge-5", other, "expired")
	if all, err := k.Tokens(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("expired tokens: %+v, %v", all, err)
	}
	for name, life := range map[string]time.Duration{"too short": time.Second, "too long": 31 * 24 * time.Hour, "past": -time.Hour} {
		if _, _, err := k.CreateToken(t.Context(), "", life); err == nil {
			t.Errorf("%s is possible", name)
		}
	}
	if _, _, err := k.CreateToken(t.Context(), "No Name", 0); err == nil {
		t.Error("for no node's name")
	}
}

// What is not signed by this cloudcore is refused without a look at the Store.
func TestForgedTokens(t *testing.T) {
	k, m, _ := start(t)
	mine, _ := token(t, k, "edge-1", 0)
	theirs, _ := token(t, func() *trust.Keeper { k, _, _ := start(t); return k }(), "edge-1", 0)
	parts := strings.Split(mine, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0" // {"alg":"none","typ":"JWT"}
	m.Before = func() { t.Error("the Store is written") }
	for name, token := range map[string]string{
		"none":               "",
		"of another":         theirs,
		"noise":              "a.b.c.d",
		"no signature":       strings.Join(parts[1:3], ".") + ".",
		"another algorithm":  none + "." + parts[2] + "." + parts[3],
		"no algorithm":       none + "." + parts[2] + ".",
		"another claim":      parts[1] + "." + parts[1] + "." + parts[3],
		"more parts":         mine + ".x",
		"long":               strings.Repeat("x", 1<<20),
		"signature extended": mine + "A",
	} {
		c, err := k.Join(t.Context(), node(t, "edge-1"), token)
		refused(t, name, c, err, "not one of this cloudcore")
	}
}
