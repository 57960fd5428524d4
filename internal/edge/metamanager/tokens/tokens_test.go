package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// webKey is a key as the API server publishes it.
func webKey(t testing.TB, id string, public crypto.PublicKey) map[string]string {
	t.Helper()
	switch key := public.(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": encode(key.N.Bytes()),
			"e": encode(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		return map[string]string{"kty": "EC", "use": "sig", "kid": id, "crv": key.Curve.Params().Name,
			"x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	}
	t.Fatalf("%T", public)
	return nil
}

func webKeys(t testing.TB, keys ...map[string]string) []byte {
	t.Helper()
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sign makes a token in any way.
func sign(t testing.TB, h map[string]any, payload string, key crypto.Signer) string {
	t.Helper()
	first, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	signed := encode(first) + "." + encode([]byte(payload))
	hash := crypto.SHA256
	switch key := key.(type) {
	case nil:
		return signed + "."
	case *ecdsa.PrivateKey:
		_, hash = curveAlgorithm(key.Curve)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest(hash, signed))
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return signed + "." + encode(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
	}
	signature, err := key.Sign(rand.Reader, digest(hash, signed), hash)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(signature)
}

const payload = `{"sub":"system:serviceaccount:n:sa"}`

func TestVerify(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p256, p384, p521, stranger := curve(elliptic.P256()), curve(elliptic.P384()), curve(elliptic.P521()), curve(elliptic.P256())
	keys, err := ParseKeys(webKeys(t, webKey(t, "rsa", rsaKey.Public()), webKey(t, "256", p256.Public()),
		webKey(t, "384", p384.Public()), webKey(t, "521", p521.Public()), map[string]string{"kty": "OKP", "kid": "other"}))
	if err != nil || len(keys) != 4 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	is := func(alg, kid string) map[string]any { return map[string]any{"alg": alg, "kid": kid} }
	// A key that everybody knows must not become a secret.
	secret := strings.TrimSuffix(sign(t, is("HS256", "rsa"), payload, nil), ".")
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(secret))
	good := sign(t, is("ES256", "256"), payload, p256)
	parts := strings.Split(good, ".")
	other := encode([]byte(strings.Replace(payload, "sa", "admin", 1)))
	for name, c := range map[string]struct {
		token string
		says  string // "": it is good
	}{
		"RSA":                      {sign(t, is("RS256", "rsa"), payload, rsaKey), ""},
		"P-256":                    {good, ""},
		"P-384":                    {sign(t, is("ES384", "384"), payload, p384), ""},
		"P-521":                    {sign(t, is("ES512", "521"), payload, p521), ""},
		"a stranger's key":         {sign(t, is("ES256", "256"), payload, stranger), "signature is wrong"},
		"a key that is not there":  {sign(t, is("ES256", "x"), payload, p256), "not known"},
		"no key":                   {sign(t, is("ES256", ""), payload, p256), "not known"},
		"another key's id":         {sign(t, is("ES256", "384"), payload, p256), "algorithm"},
		"no signature":             {parts[0] + "." + parts[1] + ".", "length"},
		"algorithm none":           {sign(t, is("none", "256"), payload, nil), "algorithm"},
		"a public key as a secret": {secret + "." + encode(mac.Sum(nil)), "algorithm"},
		"other claims":             {parts[0] + "." + other + "." + parts[2], "signature is wrong"},
		"r and s are zero":         {parts[0] + "." + parts[1] + "." + encode(make([]byte, 64)), "signature is wrong"},
		"the other curve's length": {parts[0] + "." + parts[1] + "." + encode(make([]byte, 96)), "length"},
		"critical parameters":      {sign(t, map[string]any{"alg": "ES256", "kid": "256", "crit": []string{"b64"}, "b64": false}, payload, p256), "critical"},
		"two parts":                {parts[0] + "." + parts[1], "three parts"},
		"four parts":               {good + ".x", "not a token"},
		"an end of a line":         {parts[0] + "\n." + parts[1] + "." + parts[2], "one line"},
		"padding":                  {good + "=", "not a token"},
		"no JSON":                  {sign(t, is("ES256", "256"), "x", p256), "not a token"},
		"too long":                 {good + strings.Repeat("x", maxTokenBytes), "more than"},
		"nothing":                  {"", "three parts"},
	} {
		token, err := Parse(c.token)
		if err == nil {
			err = token.Verify(keys)
		}
		if c.says == "" && (err != nil || token.Claims.Subject != Subject("n", "sa")) {
			t.Errorf("%s: %+v, %v", name, token.Claims, err)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if token, _ := Parse(sign(t, is("ES256", "x"), payload, p256)); !errors.Is(token.Verify(keys), ErrUnknownKey) || !errors.Is(token.Verify(nil), ErrUnknownKey) {
		t.Error("it does not tell that the key is unknown")
	}
}

func TestParseKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func(change ...string) map[string]string {
		k := webKey(t, "a", p256.Public())
		for i := 0; i < len(change); i += 2 {
			k[change[i]] = change[i+1]
		}
		return k
	}
	many := make([]map[string]string, maxKeys+1)
	for i := range many {
		many[i] = good("kid", fmt.Sprint(i))
	}
	for name, set := range map[string][]byte{
		"a short RSA key":         webKeys(t, webKey(t, "a", small.Public())),
		"not on the curve":        webKeys(t, good("x", encode(make([]byte, 32)))),
		"another curve":           webKeys(t, good("crv", "P-384")),
		"a curve that is unknown": webKeys(t, good("crv", "secp256k1")),
		"for encryption":          webKeys(t, good("use", "enc")),
		"without an id":           webKeys(t, good("kid", "")),
		"no base64":               webKeys(t, good("x", "!")),
		"too many":                webKeys(t, many...),
		"none":                    []byte(`{}`),
		"no JSON":                 []byte(`x`),
		"an even exponent of 0":   []byte(`{"keys":[{"kty":"RSA","kid":"a","n":"` + encode(make([]byte, 256)) + `","e":""}]}`),
	} {
		if keys, err := ParseKeys(set); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
	if keys, err := ParseKeys(webKeys(t, good("use", ""), good("kid", "b"), map[string]string{"kty": "?"})); err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestCheck(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	rules := Rules{Issuer: "https://issuer", Audiences: []string{"https://issuer", "api"}, Node: "edge-1"}
	good := func() Claims {
		return Claims{
			Issuer: "https://issuer", Audiences: Audiences{"other", "api"}, Subject: "system:serviceaccount:n:sa",
			Expiry: now.Unix() + 600, IssuedAt: now.Unix(), NotBefore: now.Unix(),
			Kubernetes: Kubernetes{Namespace: "n", ServiceAccount: Ref{"sa", "1"}, Pod: &Ref{"p", "2"}, Node: &Ref{"edge-1", "3"}},
		}
	}
	for name, c := range map[string]struct {
		change func(*Claims)
		says   string // "": it keeps the rules
	}{
		"good":                              {func(*Claims) {}, ""},
		"without a node":                    {func(c *Claims) { c.Kubernetes.Node = nil }, ""},
		"expired within the grace":          {func(c *Claims) { c.Expiry = now.Unix() - 59 }, ""},
		"of the future":                     {func(c *Claims) { c.NotBefore, c.IssuedAt = now.Unix()+9999, now.Unix()+9999 }, ""},
		"expired":                           {func(c *Claims) { c.Expiry = now.Unix() - 60 }, "expired"},
		"without an end":                    {func(c *Claims) { c.Expiry = 0 }, "no end"},
		"an end before all time":            {func(c *Claims) { c.Expiry = -1 << 63 }, "expired"},
		"another issuer":                    {func(c *Claims) { c.Issuer = "https://other" }, "issuer"},
		"no issuer":                         {func(c *Claims) { c.Issuer = "" }, "issuer"},
		"another audience":                  {func(c *Claims) { c.Audiences = Audiences{"vault"} }, "vault"},
		"no audience":                       {func(c *Claims) { c.Audiences = nil }, "not for the API server"},
		"another subject":                   {func(c *Claims) { c.Subject = "system:serviceaccount:kube-system:admin" }, "subject"},
		"another namespace":                 {func(c *Claims) { c.Kubernetes.Namespace = "kube-system" }, "subject"},
		"no service account":                {func(c *Claims) { c.Kubernetes = Kubernetes{}; c.Subject = "system:serviceaccount::" }, "subject"},
		"bound to nothing":                  {func(c *Claims) { c.Kubernetes.Pod = nil }, "not bound to a Pod"},
		"bound to a Pod without UID":        {func(c *Claims) { c.Kubernetes.Pod.UID = "" }, "not bound to a Pod"},
		"bound to a Secret":                 {func(c *Claims) { c.Kubernetes.Pod, c.Kubernetes.Secret = nil, &Ref{"s", "1"} }, "not bound to a Pod"},
		"bound to a Pod and a Secret":       {func(c *Claims) { c.Kubernetes.Secret = &Ref{"s", "1"} }, "not bound to a Pod"},
		"bound to a Node alone":             {func(c *Claims) { c.Kubernetes.Pod = nil }, "not bound to a Pod"},
		"bound to a Pod of another node":    {func(c *Claims) { c.Kubernetes.Node.Name = "edge-2" }, "edge-2"},
		"bound to a Pod of a nameless node": {func(c *Claims) { c.Kubernetes.Node.Name = "" }, "node"},
	} {
		claims := good()
		c.change(&claims)
		err := claims.Check(rules, now)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	claims := good()
	claims.Issuer = ""
	if claims.Check(Rules{Audiences: rules.Audiences, Node: "edge-1"}, now) == nil {
		t.Error("an issuer that is not known is that of a token without one")
	}
}

func TestAudiences(t *testing.T) {
	for text, want := range map[string]string{`"a"`: "[a]", `["a","b"]`: "[a b]", `null`: "[]", `[]`: "[]"} {
		var a Audiences
		if err := json.Unmarshal([]byte(text), &a); err != nil || fmt.Sprint(a) != want {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
	var a Audiences
	if json.Unmarshal([]byte(`{"a":1}`), &a) == nil {
		t.Error(a)
	}
}

func TestSigner(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	claims := Claims{Issuer: Issuer, Audiences: Audiences{"a"}, Subject: Subject("n", "sa"), Expiry: 1, Kubernetes: Kubernetes{Namespace: "n", ServiceAccount: Ref{Name: "sa"}}}
	text, err := first.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := Parse(text)
	if err == nil {
		err = token.Verify(again.Keys())
	}
	if err != nil || token.Claims.Subject != claims.Subject {
		t.Errorf("after a restart: %+v, %v", token.Claims, err)
	}
	file := filepath.Join(dir, keyFile)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(token.Verify(fresh.Keys()), ErrUnknownKey) {
		t.Error("a new key verifies what the old one has signed")
	}
	if third, err := Open(dir); err != nil || third.id != fresh.id {
		t.Errorf("the new key does not stay: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a folder is a key")
	}
}

// No text panics, and what is verified says what was signed.
func FuzzParse(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newSigner(key)
	if err != nil {
		f.Fatal(err)
	}
	good, err := s.Sign(Claims{Subject: Subject("n", "sa"), Audiences: Audiences{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	signed := good[:strings.LastIndex(good, ".")]
	f.Add(good)
	f.Add(signed + ".")
	f.Add("e30.e30.")
	f.Add(encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{"aud":["a"],"exp":1}`)) + ".")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			return
		}
		_ = token.Claims.Check(Rules{Issuer: Issuer, Audiences: []string{"a"}}, time.Unix(0, 0))
		// The signed part is the one that was signed, whatever becomes of the rest.
		again, err := Parse(signed + text[strings.LastIndex(text, "."):])
		for _, token := range []Token{token, again} {
			if err == nil && token.Verify(s.Keys()) == nil && (token.signed != signed || token.Claims.Subject != Subject("n", "sa")) {
				t.Fatalf("%q is verified", text)
			}
		}
	})
}

// Whatever a key set is, its keys can be used.
func FuzzParseKeys(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(webKeys(f, webKey(f, "a", key.Public())))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, err := ParseKeys(set)
		if err != nil {
			return
		}
		for id := range keys {
			for _, alg := range []string{"RS256", "ES256", "ES384", "ES512"} {
				token := Token{KeyID: id, algorithm: alg, signed: "x", signature: make([]byte, 64)}
				if token.Verify(keys) == nil {
					t.Fatalf("an empty signature is good: %s", set)
				}
			}
		}
	})
}
