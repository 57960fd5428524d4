package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"
	"github.com/gopcua/opcua/uasc"
)

const (
	// setupTimeout is how long it may take until the server has a subscription.
	setupTimeout = 20 * time.Second
	// requestTimeout is how long the server may take for an answer.
	requestTimeout = 5 * time.Second
	// logoutTimeout is how long it may take to end a session.
	logoutTimeout  = time.Second
	sessionTimeout = time.Minute
	nonceBytes     = 32
)

// channel is a secure channel to a server, over a tunnel.
type channel struct {
	*uasc.SecureChannel

	tunnel *tunnel
	url    string
	failed <-chan error // what the library could not give to who asked
}

// open opens a channel to the server at a URL, as an endpoint of it wants it.
func open(ctx context.Context, discovery string, e *ua.EndpointDescription, p *pki, lifetime time.Duration) (*channel, error) {
	address, err := addressOf(discovery, e.EndpointURL)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	config := &uasc.Config{
		SecurityPolicyURI: e.SecurityPolicyURI, SecurityMode: e.SecurityMode,
		// The guard ends the connection before the library gives up.
		Lifetime: uint32(lifetime / time.Millisecond), RequestTimeout: 2 * requestTimeout,
	}
	g := &guard{policy: e.SecurityPolicyURI}
	if e.SecurityMode != ua.MessageSecurityModeNone {
		config.Certificate, config.LocalKey = p.certificate.Raw, p.key
		config.RemoteCertificate, config.Thumbprint = e.ServerCertificate, uapolicy.Thumbprint(e.ServerCertificate)
		g.certificate = e.ServerCertificate
	}
	c := &channel{url: discovery, failed: failed}
	if e.EndpointURL != "" {
		c.url = e.EndpointURL
	}
	if c.tunnel, err = dig(ctx, address, c.url, g); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	if c.SecureChannel, err = uasc.NewSecureChannel(c.url, c.tunnel.Conn, config, failed); err == nil {
		// The library itself must not give up when ctx ends: an answer that comes late
		// would meet state that no lock guards.
		stop := context.AfterFunc(ctx, func() { c.tunnel.server.Close() })
		err = c.SecureChannel.Open(context.WithoutCancel(ctx))
		stop()
		if err != nil {
			if err = c.cause(err); ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			_ = c.SecureChannel.Close() // ends its goroutines
		}
	}
	if err != nil {
		c.tunnel.close()
		return nil, fmt.Errorf("open a secure channel with %s: %w", policyName(e.SecurityPolicyURI), err)
	}
	return c, nil
}

// cause says more of an error, if there is more to say.
func (c *channel) cause(err error) error {
	if errors.Is(err, ua.StatusBadTimeout) {
		select {
		case err = <-c.failed:
		default:
			err = errLate
		}
	}
	for _, ended := range []ua.StatusCode{ua.StatusBadSessionClosed, ua.StatusBadSessionIDInvalid, ua.StatusBadShutdown, ua.StatusBadServerHalted, ua.StatusBadSecureChannelClosed} {
		if errors.Is(err, ended) {
			err = errors.New("the server has ended the session")
		}
	}
	return c.tunnel.cause(err)
}

func (c *channel) close() {
	_ = c.SecureChannel.Close() // the connection ends anyway
	c.tunnel.close()
}

// endpoints asks a server what it offers, which needs no security.
func endpoints(ctx context.Context, discovery string) ([]*ua.EndpointDescription, error) {
	none := &ua.EndpointDescription{SecurityPolicyURI: ua.SecurityPolicyURINone, SecurityMode: ua.MessageSecurityModeNone}
	c, err := open(ctx, discovery, none, nil, setupTimeout)
	if err != nil {
		return nil, err
	}
	defer c.close()
	answer, err := call[*ua.GetEndpointsResponse](ctx, c, nil, &ua.GetEndpointsRequest{EndpointURL: discovery})
	if err != nil {
		return nil, fmt.Errorf("ask what the server offers: %w", err)
	}
	return answer.Endpoints, nil
}

// call asks and returns the answer, which must be of the right type.
func call[Answer ua.Response](ctx context.Context, c *channel, token *ua.NodeID, request ua.Request) (answer Answer, err error) {
	return callFor[Answer](ctx, c, token, request, requestTimeout)
}

func callFor[Answer ua.Response](ctx context.Context, c *channel, token *ua.NodeID, request ua.Request, timeout time.Duration) (answer Answer, err error) {
	err = c.SendRequestWithTimeout(ctx, request, token, timeout, func(r ua.Response) error {
		var ok bool
		if answer, ok = r.(Answer); !ok {
			return fmt.Errorf("the server answers with a %T", r)
		}
		return nil
	})
	if err != nil {
		return answer, c.cause(err)
	}
	return answer, nil
}

// session is one with a server, on a channel.
type session struct {
	*channel

	token *ua.NodeID
}

// login begins a session and activates it for a user; anonymous if there is no
// name.
func login(ctx context.Context, c *channel, e *ua.EndpointDescription, p *pki, username, password string) (*session, error) {
	nonce := make([]byte, nonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	client := &ua.ApplicationDescription{
		ApplicationURI: "urn:akri:opcua-monitoring-broker", ProductURI: "https://github.com/akri-go/akri",
		ApplicationName: ua.NewLocalizedText("Akri"), ApplicationType: ua.ApplicationTypeClient,
	}
	request := &ua.CreateSessionRequest{
		ClientDescription: client, EndpointURL: c.url, SessionName: "akri", ClientNonce: nonce,
		RequestedSessionTimeout: float64(sessionTimeout / time.Millisecond), MaxResponseMessageSize: maxMessageBytes,
	}
	if e.SecurityMode != ua.MessageSecurityModeNone {
		client.ApplicationURI = applicationURI(p.certificate) // servers compare them
		request.ClientCertificate = p.certificate.Raw
	}
	created, err := call[*ua.CreateSessionResponse](ctx, c, nil, request)
	if err != nil {
		return nil, fmt.Errorf("begin a session: %w", err)
	}
	activate := &ua.ActivateSessionRequest{ClientSignature: new(ua.SignatureData), UserTokenSignature: new(ua.SignatureData)}
	if e.SecurityMode != ua.MessageSecurityModeNone {
		if created.ServerSignature == nil {
			return nil, errors.New("begin a session: the server does not sign its answer")
		}
		if err := c.VerifySessionSignature(e.ServerCertificate, nonce, created.ServerSignature.Signature); err != nil {
			return nil, fmt.Errorf("begin a session: the server's signature is wrong: %w", err)
		}
		activate.ClientSignature.Signature, activate.ClientSignature.Algorithm, err = c.NewSessionSignature(e.ServerCertificate, created.ServerNonce)
		if err != nil {
			return nil, fmt.Errorf("begin a session: %w", err)
		}
	}
	user, err := c.user(e, created.ServerNonce, username, password)
	if err != nil {
		return nil, err
	}
	activate.UserIdentityToken = ua.NewExtensionObject(user)
	if _, err := call[*ua.ActivateSessionResponse](ctx, c, created.AuthenticationToken, activate); err != nil {
		return nil, fmt.Errorf("activate the session: %w", err)
	}
	return &session{channel: c, token: created.AuthenticationToken}, nil
}

// user makes what says who the user is.
func (c *channel) user(e *ua.EndpointDescription, nonce []byte, name, password string) (any, error) {
	if name == "" {
		policy, err := tokenOf(e, ua.UserTokenTypeAnonymous)
		if err != nil {
			return nil, err
		}
		return &ua.AnonymousIdentityToken{PolicyID: policy.PolicyID}, nil
	}
	policy, err := tokenOf(e, ua.UserTokenTypeUserName)
	if err != nil {
		return nil, err
	}
	if e.SecurityMode == ua.MessageSecurityModeNone {
		return nil, errors.New("OPCUA_PASSWORD is not sent to a server that is not known to be the right one: mount certificates")
	}
	uri := policy.SecurityPolicyURI
	if uri == "" || uri == ua.SecurityPolicyURINone {
		uri = e.SecurityPolicyURI
	}
	secret, algorithm, err := c.EncryptUserPassword(uri, password, e.ServerCertificate, nonce)
	if err != nil {
		return nil, fmt.Errorf("encrypt the password: %w", err)
	}
	return &ua.UserNameIdentityToken{PolicyID: policy.PolicyID, UserName: name, Password: secret, EncryptionAlgorithm: algorithm}, nil
}

// logout ends the session, if the server still answers.
func (s *session) logout() {
	ctx, cancel := context.WithTimeout(context.Background(), logoutTimeout)
	defer cancel()
	_, _ = call[*ua.CloseSessionResponse](ctx, s.channel, s.token, &ua.CloseSessionRequest{DeleteSubscriptions: true})
}
