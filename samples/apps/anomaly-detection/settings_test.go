package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"CONFIGURATION_NAME=akri-opcua-monitoring", "akri-opcua-monitoring in default [] 33 0 5000"},
		{"CONFIGURATION_NAME=c NAMESPACE=n PORT=1 TRAINING=first:50 STEP=0.5", "c in n [] 0 50 1"},
		{"CONFIGURATION_NAME=akri-opcua AKRI_OPCUA_SVC_SERVICE_HOST=10.0.0.1 AKRI_OPCUA_SVC_SERVICE_PORT=80 AKRI_OPCUA_SVC_SERVICE_PORT_GRPC=81",
			"akri-opcua in default [{main 10.0.0.1:81}] 33 0 5000"},
		{"CONFIGURATION_NAME=c C_SVC_SERVICE_HOST=fd00::1 C_SVC_SERVICE_PORT=80", "c in default [{main [fd00::1]:80}]"},
		{"BROKERS=one,10.0.0.2:8083,", " in  [{one:80 one:80} {10.0.0.2:8083 10.0.0.2:8083}] 33 0 5000"},
		{"", "set CONFIGURATION_NAME to the name of a Configuration, or list the brokers: BROKERS="},
		{"BROKERS=" + strings.Repeat("x,", 65), "BROKERS has 65 brokers, 64 are allowed"},
		{"BROKERS=x TRAINING=x", `TRAINING: "x": "x" is no number`},
		{"BROKERS=x STEP=0", "STEP=0: want a number from 1e-09 to 1e+09"},
		{"BROKERS=x STEP=-1", "STEP=-1: want"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		s, err := parse(func(name string) string { return env[name] })
		got := fmt.Sprintf("%s in %s %v %d %d %s", s.configuration, s.namespace, s.brokers, len(s.training.usual), s.training.first, s.port)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.env, got, c.want)
		}
	}
}
