package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"github.com/akri-go/akri/internal/shorten"
)

// policies are the security policies that are good enough, the best first.
var policies = []string{
	ua.SecurityPolicyURIAes256Sha256RsaPss, ua.SecurityPolicyURIAes128Sha256RsaOaep, ua.SecurityPolicyURIBasic256Sha256,
}

const overTCP = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"

// choose returns the endpoint to connect to: the best one that encrypts, or else
// that signs, if there are certificates; the one without security if there are
// none, and never one for the other.
func choose(endpoints []*ua.EndpointDescription, secure bool) (*ua.EndpointDescription, error) {
	var best *ua.EndpointDescription
	rank := -1
	for _, e := range endpoints {
		if e == nil || e.TransportProfileURI != "" && e.TransportProfileURI != overTCP {
			continue
		}
		if r := rankOf(e, secure); r > rank {
			best, rank = e, r
		}
	}
	if best != nil {
		return best, nil
	}
	remedy := "mount certificates, as the broker's README says"
	if secure {
		remedy = "let the server offer Basic256Sha256 with SignAndEncrypt, or mount no certificates"
	}
	return nil, fmt.Errorf("the server offers %s: %s", offers(endpoints), remedy)
}

// rankOf is greater for a better endpoint, and -1 for one that cannot be taken.
func rankOf(e *ua.EndpointDescription, secure bool) int {
	if !secure {
		if e.SecurityPolicyURI == ua.SecurityPolicyURINone && e.SecurityMode == ua.MessageSecurityModeNone {
			return 0
		}
		return -1
	}
	at := slices.Index(policies, e.SecurityPolicyURI)
	switch {
	case at < 0:
		return -1
	case e.SecurityMode == ua.MessageSecurityModeSignAndEncrypt:
		return 2*len(policies) - at
	case e.SecurityMode == ua.MessageSecurityModeSign:
		return len(policies) - at
	}
	return -1
}

// offers says in a few words what a server offers.
func offers(endpoints []*ua.EndpointDescription) string {
	var list []string
	for _, e := range endpoints {
		if e == nil {
			continue
		}
		text := policyName(e.SecurityPolicyURI)
		if mode := strings.TrimPrefix(e.SecurityMode.String(), "MessageSecurityMode"); mode != text {
			text += " with " + mode
		}
		if !slices.Contains(list, text) && len(list) < 10 {
			list = append(list, text)
		}
	}
	if list == nil {
		return "no endpoint"
	}
	return strings.Join(list, ", ") + " only"
}

// policyName is the name of a policy without what all have in common.
func policyName(uri string) string {
	return shorten.Text(strings.TrimPrefix(uri, ua.SecurityPolicyURIPrefix), 64)
}

// addressOf returns host and port of an endpoint: the host of the discovery URL,
// which is known to lead to the server, and the port that the endpoint names.
// Servers often call themselves by a name that only they know.
func addressOf(discovery, endpoint string) (string, error) {
	const port = "4840"
	u, err := url.Parse(discovery)
	if err != nil {
		return "", fmt.Errorf("the discovery URL %q: %w", discovery, err)
	}
	at := cmp.Or(u.Port(), port)
	if endpoint != "" {
		e, err := url.Parse(endpoint)
		if err != nil || e.Scheme != "opc.tcp" {
			return "", errors.New("the server names an endpoint that is no URL of opc.tcp")
		}
		at = cmp.Or(e.Port(), port)
	}
	return net.JoinHostPort(u.Hostname(), at), nil
}

// tokenOf returns the policy of an endpoint for a kind of user.
func tokenOf(e *ua.EndpointDescription, kind ua.UserTokenType) (*ua.UserTokenPolicy, error) {
	for _, t := range e.UserIdentityTokens {
		if t != nil && t.TokenType == kind {
			return t, nil
		}
	}
	if kind == ua.UserTokenTypeAnonymous {
		return nil, errors.New("the server takes no anonymous users: set OPCUA_USERNAME and OPCUA_PASSWORD")
	}
	return nil, errors.New("the server takes no users with passwords: unset OPCUA_USERNAME")
}
