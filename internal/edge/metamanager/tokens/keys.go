package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // of the algorithms below
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// What keys may be.
const (
	maxKeys      = 64
	minRSABits   = 2048
	maxRSABits   = 8192 // the time that a signature takes grows with its square
	maxExponent  = 1<<31 - 1
	uncompressed = 4 // SEC 1, section 2.3.3
)

// ErrUnknownKey means that a token is signed with a key that is not there.
var ErrUnknownKey = errors.New("it is signed with a key that is not known")

// Keys are public keys by their ids.
type Keys map[string]crypto.PublicKey

// jsonWebKey is one key of a set (RFC 7518, section 6).
type jsonWebKey struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	Use   string `json:"use"`
	Curve string `json:"crv"`
	X     number `json:"x"`
	Y     number `json:"y"`
	N     number `json:"n"`
	E     number `json:"e"`
}

// number is a large one, written as base64url.
type number []byte

func (n *number) UnmarshalText(text []byte) (err error) {
	*n, err = base64.RawURLEncoding.DecodeString(string(text))
	return err
}

// ParseKeys reads a JSON Web Key Set. Keys of kinds that the API server does not
// sign with are left out.
func ParseKeys(set []byte) (Keys, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &doc); err != nil {
		return nil, fmt.Errorf("read the keys of the issuer: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer has %d keys, more than %d", len(doc.Keys), maxKeys)
	}
	keys := Keys{}
	for _, raw := range doc.Keys {
		var k jsonWebKey
		if json.Unmarshal(raw, &k) != nil || k.ID == "" || k.Use != "" && k.Use != "sig" {
			continue
		}
		if public := k.public(); public != nil {
			keys[k.ID] = public
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer has no key of a known kind")
	}
	return keys, nil
}

// public returns the key, nil if it is of another kind or is not good.
func (k jsonWebKey) public() crypto.PublicKey {
	switch k.Type {
	case "RSA":
		n, e := new(big.Int).SetBytes(k.N), new(big.Int).SetBytes(k.E)
		if n.BitLen() < minRSABits || n.BitLen() > maxRSABits || !e.IsInt64() || e.Int64() < 3 || e.Int64() > maxExponent {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "EC":
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			size := (curve.Params().BitSize + 7) / 8
			if curve.Params().Name != k.Curve || len(k.X) != size || len(k.Y) != size {
				continue
			}
			point := append(append([]byte{uncompressed}, k.X...), k.Y...)
			if public, err := ecdsa.ParseUncompressedPublicKey(curve, point); err == nil {
				return public
			}
		}
	}
	return nil
}

// curveAlgorithm is how a key of a curve signs (RFC 7518, section 3.4).
func curveAlgorithm(curve elliptic.Curve) (name string, hash crypto.Hash) {
	switch curve {
	case elliptic.P256():
		return "ES256", crypto.SHA256
	case elliptic.P384():
		return "ES384", crypto.SHA384
	case elliptic.P521():
		return "ES512", crypto.SHA512
	}
	return "", 0
}

// Verify checks the signature of a token. The key decides by which algorithm.
func (t Token) Verify(keys Keys) error {
	switch key := keys[t.KeyID].(type) {
	case *rsa.PublicKey:
		if t.algorithm != "RS256" {
			return fmt.Errorf("algorithm %q is not that of its key", t.algorithm)
		}
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest(crypto.SHA256, t.signed), t.signature); err != nil {
			return fmt.Errorf("its signature is wrong: %w", err)
		}
		return nil
	case *ecdsa.PublicKey:
		name, hash := curveAlgorithm(key.Curve)
		size := (key.Curve.Params().BitSize + 7) / 8
		switch {
		case t.algorithm != name:
			return fmt.Errorf("algorithm %q is not that of its key", t.algorithm)
		case len(t.signature) != 2*size:
			return errors.New("its signature has a wrong length")
		}
		r, s := new(big.Int).SetBytes(t.signature[:size]), new(big.Int).SetBytes(t.signature[size:])
		if !ecdsa.Verify(key, digest(hash, t.signed), r, s) {
			return errors.New("its signature is wrong")
		}
		return nil
	}
	return ErrUnknownKey
}

func digest(hash crypto.Hash, text string) []byte {
	h := hash.New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

// keyID is the API server's id of a key: it depends on the key alone.
func keyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(digest(crypto.SHA256, string(der))), nil
}
