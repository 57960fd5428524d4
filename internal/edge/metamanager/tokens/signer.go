package tokens

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/internal/atomicfile"
)

// Issuer is what edgecore's own tokens have as their issuer.
const Issuer = "edgecore"

// Life is how long they are good: the kubelet replaces them after 80 % of it,
// so soon after the link is back the cluster's are in all Pods.
const Life = 10 * time.Minute

// keyFile has the key, in the folder of the local authority.
const keyFile = "tokens.key"

// Signer makes tokens.
type Signer struct {
	key *ecdsa.PrivateKey
	id  string
}

// Open reads the key in a folder, or makes one. One that cannot be used is
// replaced: what it has signed does not live long.
func Open(dir string) (*Signer, error) {
	file := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key for tokens of Pods: %w", err)
	}
	if key := parseKey(text); key != nil {
		return newSigner(key)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := atomicfile.WriteDurable(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the key for tokens of Pods: %w", err)
	}
	return newSigner(key)
}

func parseKey(text []byte) *ecdsa.PrivateKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(*ecdsa.PrivateKey); err == nil && ok && key.Curve == elliptic.P256() {
		return key
	}
	return nil
}

func newSigner(key *ecdsa.PrivateKey) (*Signer, error) {
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, id: id}, nil
}

// Keys are what the signer's tokens are verified with.
func (s *Signer) Keys() Keys { return Keys{s.id: &s.key.PublicKey} }

// Sign makes a token.
func (s *Signer) Sign(c Claims) (string, error) {
	name, hash := curveAlgorithm(s.key.Curve)
	first, err := json.Marshal(header{Algorithm: name, KeyID: s.id})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(first) + "." + encode(payload)
	r, t, err := ecdsa.Sign(rand.Reader, s.key, digest(hash, signed))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	size := (s.key.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	t.FillBytes(signature[size:])
	return signed + "." + encode(signature), nil
}
