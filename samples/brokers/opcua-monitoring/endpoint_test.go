package main

import (
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"
)

func offer(policy string, mode ua.MessageSecurityMode) *ua.EndpointDescription {
	return &ua.EndpointDescription{SecurityPolicyURI: ua.SecurityPolicyURIPrefix + policy, SecurityMode: mode, TransportProfileURI: overTCP}
}

func TestChoose(t *testing.T) {
	none := offer("None", ua.MessageSecurityModeNone)
	sign := offer("Basic256Sha256", ua.MessageSecurityModeSign)
	encrypt := offer("Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt)
	better := offer("Aes256_Sha256_RsaPss", ua.MessageSecurityModeSignAndEncrypt)
	betterSign := offer("Aes256_Sha256_RsaPss", ua.MessageSecurityModeSign)
	old := offer("Basic256", ua.MessageSecurityModeSignAndEncrypt)
	odd := offer("None", ua.MessageSecurityModeSignAndEncrypt)
	web := offer("Basic256Sha256", ua.MessageSecurityModeSignAndEncrypt)
	web.TransportProfileURI = "http://opcfoundation.org/UA-Profile/Transport/https-uabinary"
	type list = []*ua.EndpointDescription
	for _, c := range []struct {
		name    string
		offered list
		secure  bool
		want    *ua.EndpointDescription
		err     string
	}{
		{"no security is taken without certificates", list{encrypt, none}, false, none, ""},
		{"and not with them", list{none}, true, nil, "the server offers None only: let the server offer Basic256Sha256 with SignAndEncrypt"},
		{"encryption before signatures", list{none, betterSign, encrypt, sign}, true, encrypt, ""},
		{"the better policy", list{encrypt, better, sign}, true, better, ""},
		{"signatures alone if there is nothing else", list{none, sign}, true, sign, ""},
		{"policies that are not safe any more", list{old, none}, true, nil, "the server offers Basic256 with SignAndEncrypt, None only"},
		{"a mode that the policy does not have", list{odd}, true, nil, "the server offers None with SignAndEncrypt only"},
		{"nor without certificates", list{odd}, false, nil, "mount certificates"},
		{"certificates are missing", list{encrypt}, false, nil, "the server offers Basic256Sha256 with SignAndEncrypt only: mount certificates"},
		{"other transports", list{web}, true, nil, "let the server offer"},
		{"nothing", list{nil}, false, nil, "the server offers no endpoint"},
	} {
		got, err := choose(c.offered, c.secure)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestAddressOf(t *testing.T) {
	for _, c := range []struct{ discovery, endpoint, want string }{
		{"opc.tcp://plc:4841", "", "plc:4841"},
		{"opc.tcp://plc", "", "plc:4840"},
		{"opc.tcp://10.0.0.7:4840", "opc.tcp://PLC-7:48010/UA", "10.0.0.7:48010"},
		{"opc.tcp://[fd00::1]:1", "opc.tcp://PLC-7", "[fd00::1]:4840"},
		{"opc.tcp://plc", "http://plc", "the server names an endpoint that is no URL of opc.tcp"},
	} {
		got, err := addressOf(c.discovery, c.endpoint)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.discovery, c.endpoint, got, c.want)
		}
	}
}

func TestTokenOf(t *testing.T) {
	e := &ua.EndpointDescription{UserIdentityTokens: []*ua.UserTokenPolicy{nil, {PolicyID: "u", TokenType: ua.UserTokenTypeUserName}}}
	if p, err := tokenOf(e, ua.UserTokenTypeUserName); err != nil || p.PolicyID != "u" {
		t.Error(p, err)
	}
	if _, err := tokenOf(e, ua.UserTokenTypeAnonymous); err == nil || !strings.Contains(err.Error(), "set OPCUA_USERNAME") {
		t.Error(err)
	}
	if _, err := tokenOf(new(ua.EndpointDescription), ua.UserTokenTypeUserName); err == nil || !strings.Contains(err.Error(), "unset OPCUA_USERNAME") {
		t.Error(err)
	}
}
