package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const url = "OPCUA_DISCOVERY_URL_ABCDEF=opc.tcp://plc:4840/x "
	for _, c := range []struct{ env, want string }{
		{url + "IDENTIFIER=Thermometer_Temperature NAMESPACE_INDEX=2",
			"opc.tcp://plc:4840/x  ns=2;s=Thermometer_Temperature 1s /etc/opcua-certs/client-pki 8083 8080"},
		{"OPCUA_DISCOVERY_URL=opc.tcp://plc OPCUA_APPLICATION_URI=urn:plc IDENTIFIER=i=2258 INTERVAL=250ms PORT=1 METRICS_PORT=2 CREDENTIAL_DIRECTORY=/c",
			"opc.tcp://plc urn:plc i=2258 250ms /c 1 2"},
		{"OPCUA_DISCOVERY_URL_BBBBBB=opc.tcp://b OPCUA_DISCOVERY_URL_AAAAAA=opc.tcp://a OPCUA_APPLICATION_URI_AAAAAA=urn:a OPCUA_APPLICATION_URI_BBBBBB=urn:b IDENTIFIER=x",
			"opc.tcp://a urn:a s=x 1s /etc/opcua-certs/client-pki 8083 8080"},
		{url + "IDENTIFIER=s=a;b=c NAMESPACE_INDEX=3", "opc.tcp://plc:4840/x  ns=3;s=a;b=c"},
		{url + "IDENTIFIER=speed=x NAMESPACE_INDEX=3", "opc.tcp://plc:4840/x  ns=3;s=speed=x"},
		{url + "IDENTIFIER=g=5eac051c-c313-43d7-b790-24aa2c3cfd37 NAMESPACE_INDEX=1", "opc.tcp://plc:4840/x  ns=1;g=5EAC051C-C313-43D7-B790-24AA2C3CFD37"},
		{"IDENTIFIER=x", "there is no server: the broker needs OPCUA_DISCOVERY_URL_<HASH>"},
		{"OPCUA_DISCOVERY_URL=http://plc IDENTIFIER=x", `OPCUA_DISCOVERY_URL="http://plc": want opc.tcp:// and a host`},
		{url, "IDENTIFIER is not set"},
		{url + "IDENTIFIER=x NAMESPACE_INDEX=-1", "NAMESPACE_INDEX=-1: want a number from 0 to 65535"},
		{url + "IDENTIFIER=x NAMESPACE_INDEX=65536", "NAMESPACE_INDEX=65536: want"},
		{url + "IDENTIFIER=i=x", "IDENTIFIER=i=x: "},
		{url + "IDENTIFIER=x INTERVAL=1", "INTERVAL=1: want a duration from 10ms to 1h0m0s"},
		{url + "IDENTIFIER=x INTERVAL=2h", "INTERVAL=2h: want a duration"},
	} {
		s, err := parse(strings.Fields(c.env))
		got := fmt.Sprintf("%s %s %s %v %s %s %s", s.url, s.application, s.node, s.interval, s.pki, s.port, s.probesPort)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n%s, want\n%s", c.env, got, c.want)
		}
	}
}
