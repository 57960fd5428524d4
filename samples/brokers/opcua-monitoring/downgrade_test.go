package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"
	"github.com/gopcua/opcua/uapolicy"
	"github.com/gopcua/opcua/uasc"

	"github.com/akri-go/akri/internal/leaktest"
)

// between is somebody between a client and its server, who has not the server's key.
// They answer the opening of a channel with their own certificate first, and then
// with no security, signed with their own key.
type between struct {
	t    *testing.T
	cert []byte
	key  *rsa.PrivateKey
}

// answer is one to the opening of a channel, encrypted for the client.
func (m *between) answer(client *rsa.PublicKey, policy string, certificate []byte, request uint32) []byte {
	algorithm, err := uapolicy.Asymmetric(ua.SecurityPolicyURIBasic256Sha256, m.key, client)
	if err != nil {
		m.t.Error(err)
		return nil
	}
	head := append(words(7, uint32(len(policy))), policy...)
	head = append(append(head, words(uint32(len(certificate)))...), certificate...)
	head = append(head, words(1<<32-1)...)
	body, err := ua.Encode(&ua.OpenSecureChannelResponse{
		ResponseHeader: &ua.ResponseHeader{ServiceDiagnostics: &ua.DiagnosticInfo{}, AdditionalHeader: ua.NewExtensionObject(nil)},
		SecurityToken:  &ua.ChannelSecurityToken{ChannelID: 7, TokenID: 1, RevisedLifetime: 60_000, CreatedAt: time.Now()},
		ServerNonce:    make([]byte, nonceBytes),
	})
	if err != nil {
		m.t.Error(err)
		return nil
	}
	const response = 449 // OpenSecureChannelResponse in the binary encoding
	plain := append(words(1, request), 1, 0, response&0xff, response>>8)
	plain = append(plain, body...)
	padding := 0
	for (len(plain)+1+padding+algorithm.SignatureLength())%algorithm.PlaintextBlockSize() != 0 {
		padding++
	}
	for range padding + 1 {
		plain = append(plain, byte(padding))
	}
	size := 8 + len(head) + (len(plain)+algorithm.SignatureLength())/algorithm.PlaintextBlockSize()*algorithm.BlockSize()
	message := binary.LittleEndian.AppendUint32([]byte("OPNF"), uint32(size))
	message = append(append(message, head...), plain...)
	signature, err := algorithm.Signature(message)
	if err != nil {
		m.t.Error(err)
		return nil
	}
	secret, err := algorithm.Encrypt(append(plain, signature...))
	if err != nil {
		m.t.Error(err)
		return nil
	}
	return append(message[:8+len(head)], secret...)
}

// serve takes one connection, and returns what came after the channel was open.
func (m *between) serve(l net.Listener, client *rsa.PublicKey) (after []byte) {
	c, err := l.Accept()
	if err != nil {
		return nil
	}
	defer c.Close()
	buffer := make([]byte, 1<<16)
	if _, err := c.Read(buffer); err != nil { // Hello
		return nil
	}
	_, _ = c.Write(acknowledged)
	if _, err := c.Read(buffer); err != nil { // OpenSecureChannel, which they cannot read
		return nil
	}
	_, _ = c.Write(m.answer(client, ua.SecurityPolicyURIBasic256Sha256, m.cert, 999))
	_, _ = c.Write(m.answer(client, ua.SecurityPolicyURINone, nil, 1))
	after, _ = io.ReadAll(io.LimitReader(c, 1<<16))
	return after
}

// Somebody between broker and server cannot have the channel opened without
// security. The library alone lets them.
func TestDowngrade(t *testing.T) {
	leaktest.Check(t)
	own, its := certificate(t, "broker", key(t, 0), nil, nil), certificate(t, "server", key(t, 1), nil, nil)
	theirs := certificate(t, "server", key(t, 2), nil, nil)
	meet := func(client func(ctx context.Context, address string) error) ([]byte, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		after := make(chan []byte, 1)
		m := &between{t, theirs.Raw, theirs.key}
		go func() { after <- m.serve(l, own.PublicKey.(*rsa.PublicKey)) }()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err = client(ctx, l.Addr().String())
		return <-after, err
	}
	endpoint := &ua.EndpointDescription{SecurityPolicyURI: ua.SecurityPolicyURIBasic256Sha256, SecurityMode: ua.MessageSecurityModeSignAndEncrypt, ServerCertificate: its.Raw}
	session := &ua.CreateSessionRequest{ClientDescription: &ua.ApplicationDescription{ApplicationName: ua.NewLocalizedText("x")}, SessionName: "a session that nobody may see"}
	after, err := meet(func(ctx context.Context, address string) error {
		p := &pki{certificate: own.Certificate, key: own.key, trusted: []*x509.Certificate{its.Certificate}}
		c, err := open(ctx, "opc.tcp://"+address, endpoint, p, time.Minute)
		if err != nil {
			return err
		}
		defer c.close()
		_, err = call[*ua.CreateSessionResponse](ctx, c, nil, session)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "is somebody between the server and this broker?") {
		t.Errorf("the broker: %v", err)
	}
	if strings.Contains(string(after), session.SessionName) {
		t.Error("the broker has sent a message in plain text")
	}
	after, err = meet(func(ctx context.Context, address string) error {
		conn, err := uacp.Dial(ctx, "opc.tcp://"+address)
		if err != nil {
			return err
		}
		defer conn.Close()
		c, err := uasc.NewSecureChannel("opc.tcp://"+address, conn, &uasc.Config{
			SecurityPolicyURI: endpoint.SecurityPolicyURI, SecurityMode: endpoint.SecurityMode, Certificate: own.Raw, LocalKey: own.key,
			RemoteCertificate: its.Raw, Thumbprint: uapolicy.Thumbprint(its.Raw), Lifetime: 60_000, RequestTimeout: time.Second,
		}, make(chan error, 1))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Open(ctx); err != nil {
			return err
		}
		return c.SendRequest(ctx, session, nil, func(ua.Response) error { return nil })
	})
	t.Logf("the library alone: %v; the message was sent in plain text: %v", err, strings.Contains(string(after), session.SessionName))
}
