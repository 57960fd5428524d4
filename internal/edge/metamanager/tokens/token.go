package tokens

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxTokenBytes bounds a token. Those of the API server have some 1,200.
const maxTokenBytes = 16 << 10

// ErrMalformed is wrapped by errors about what is no token at all.
var ErrMalformed = errors.New("not a token of a service account")

// Claims are what a token says, in the API server's form.
type Claims struct {
	Audiences  Audiences  `json:"aud"`
	Expiry     int64      `json:"exp"` // Unix seconds, as all times
	IssuedAt   int64      `json:"iat"`
	Issuer     string     `json:"iss"`
	ID         string     `json:"jti,omitempty"`
	Kubernetes Kubernetes `json:"kubernetes.io"`
	NotBefore  int64      `json:"nbf"`
	Subject    string     `json:"sub"`
}

// Kubernetes says whose token it is, and what it is bound to.
type Kubernetes struct {
	Namespace      string `json:"namespace"`
	Node           *Ref   `json:"node,omitempty"`
	Pod            *Ref   `json:"pod,omitempty"`
	Secret         *Ref   `json:"secret,omitempty"`
	ServiceAccount Ref    `json:"serviceaccount"`
}

// Ref names an object.
type Ref struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Audiences are whom a token is for. One alone may stand there without a list.
type Audiences []string

// UnmarshalJSON reads a list or a text.
func (a *Audiences) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = Audiences{one}
		return nil
	}
	var all []string
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*a = all
	return nil
}

// Subject is that of a service account's token: its user's name.
func Subject(namespace, name string) string { return "system:serviceaccount:" + namespace + ":" + name }

// header is the first part of a token.
type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Critical  json.RawMessage `json:"crit,omitempty"`
}

// Token is a token of which nothing is verified yet.
type Token struct {
	KeyID  string
	Claims Claims

	algorithm string
	signed    string // what the signature is of
	signature []byte
}

// Parse reads a token.
func Parse(text string) (Token, error) {
	if len(text) > maxTokenBytes {
		return Token{}, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxTokenBytes)
	}
	first, rest, _ := strings.Cut(text, ".")
	payload, last, ok := strings.Cut(rest, ".")
	if !ok {
		return Token{}, fmt.Errorf("%w: it has no three parts", ErrMalformed)
	}
	var h header
	t := Token{signed: first + "." + payload}
	if err := readPart(first, &h); err != nil {
		return Token{}, err
	}
	if len(h.Critical) > 0 {
		return Token{}, fmt.Errorf("%w: it has critical parameters", ErrMalformed)
	}
	if err := readPart(payload, &t.Claims); err != nil {
		return Token{}, err
	}
	var err error
	if t.signature, err = decode(last); err != nil {
		return Token{}, err
	}
	t.KeyID, t.algorithm = h.KeyID, h.Algorithm
	return t, nil
}

func readPart(part string, into any) error {
	data, err := decode(part)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// decode reads one part. Go's decoder passes over ends of lines; a token has none.
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: it has more than one line", ErrMalformed)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return data, nil
}
