//go:build integration

package main

import (
	"crypto/x509"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
	"github.com/akri-go/akri/internal/leaktest"
)

// node-opcua's servers, without security and with each policy that is good enough.
// Values come as they change, and again when the server was restarted.
func TestNodeOPCUA(t *testing.T) {
	leaktest.Check(t) // gopcua's servers leave some behind, so not with them
	node := opcuatest.StartNode(t, opcuatest.InstallNode(t))
	own := certificate(t, "broker", key(t, 1), nil, nil)
	for _, policy := range []string{"None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"} {
		t.Run(policy, func(t *testing.T) {
			port := freeport.Port(t)
			node.Thermometer(policy, "127.0.0.1", port, policy)
			running := true
			defer func() {
				if running {
					node.Stop(policy)
				}
			}()
			url := "opc.tcp://127.0.0.1:" + strconv.Itoa(port) + "/" + policy
			environ := []string{"OPCUA_DISCOVERY_URL_ABCDEF=" + url}
			var users []string
			if policy != "None" {
				offered, err := endpoints(t.Context(), url)
				if err != nil || len(offered) == 0 {
					t.Fatalf("%d endpoints, %v", len(offered), err)
				}
				environ = append(environ, "CREDENTIAL_DIRECTORY="+mount(t, map[string][]byte{
					"own/certs/AkriBroker.der": own.Raw, "own/private/AkriBroker.pem": x509.MarshalPKCS1PrivateKey(own.key),
					"trusted/certs/server.der": offered[0].ServerCertificate,
				}), "OPCUA_APPLICATION_URI_ABCDEF=urn:test:"+policy)
				users = []string{"OPCUA_USERNAME=admin", "OPCUA_PASSWORD=akri"}
			}
			t.Run("anonymous", func(t *testing.T) {
				b := start(t, environ...)
				b.gives(75)
				for _, v := range []float64{76.25, 99, 75} {
					node.Set(policy, v)
					b.gives(v)
				}
				node.Stop(policy)
				running = false
				b.lacks("")
				node.Thermometer(policy, "127.0.0.1", port, policy)
				running = true
				b.gives(75)
				node.Set(policy, 77)
				b.gives(77)
			})
			t.Run("no such node", func(t *testing.T) {
				start(t, append(slices.Clone(environ), "IDENTIFIER=Other")...).lacks("subscribe to the node ns=1;s=Other: the server has no such node")
			})
			if users == nil {
				return
			}
			t.Run("keys are renewed", func(t *testing.T) {
				if policy != "Basic256Sha256" { // it takes long
					return
				}
				s := settingsOf(t, environ...)
				s.lifetime = 20 * time.Second // renewed after three quarters
				b := startWith(t, s)
				for began, v := time.Now(), 0.0; time.Since(began) < 25*time.Second; v++ {
					node.Set(policy, v)
					b.gives(v)
				}
				node.Set(policy, 77)
				b.gives(77)
				if n := strings.Count(b.log.String(), "msg=connected"); n != 1 {
					t.Errorf("it has connected %d times", n)
				}
			})
			t.Run("a user", func(t *testing.T) { start(t, append(slices.Clone(environ), users...)...).gives(77) })
			t.Run("a wrong password", func(t *testing.T) {
				start(t, append(slices.Clone(environ), users[0], "OPCUA_PASSWORD=wrong")...).lacks("activate the session")
			})
		})
	}
	t.Run("a server that stalls", func(t *testing.T) {
		port := freeport.Port(t)
		node.Thermometer("stalls", "127.0.0.1", port, "None")
		defer node.Stop("stalls")
		p := newProxy(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		b := start(t, "OPCUA_DISCOVERY_URL=opc.tcp://"+p.address+"/stalls")
		b.gives(75)
		p.freeze()
		b.lacks("the server does not answer in time")
		p.thaw()
		b.gives(75)
	})
}
