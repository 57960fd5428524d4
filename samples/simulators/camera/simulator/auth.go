package simulator

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// clockWindow is how far the time of a token may be from the camera's clock
// (WS-Security UsernameToken Profile 1.0, 3.1, recommends five minutes).
const clockWindow = 5 * time.Minute

// maxNonces bounds what is remembered against replay.
const maxNonces = 4096

// errAskedForDigest says that the answer is written: 401 with a challenge.
var errAskedForDigest = errors.New("HTTP digest is asked for")

// guard decides who may ask a camera.
type guard struct {
	auth               Auth
	username, password string
	now                func() time.Time // the camera's clock
	tokens             *used
	digest             *digest
}

func newGuard(o *Options, now func() time.Time) guard {
	return guard{auth: o.Auth, username: o.Username, password: o.Password, now: now, tokens: &used{},
		digest: newDigest(o, time.Now)}
}

// admit returns nil if the request has the right credentials, *fault or
// errAskedForDigest if not (ONVIF Core 5.9.1).
func (g *guard) admit(w http.ResponseWriter, r *http.Request, header *element) error {
	if g.auth == AuthNone {
		return nil
	}
	token := header.find(security("Security"), security("UsernameToken"))
	byHTTP := r.Header.Get("Authorization") != ""
	switch {
	case g.auth == AuthUsernameToken:
		return g.admitToken(token)
	case g.auth == AuthBoth && token != nil && !byHTTP:
		return g.admitToken(token)
	}
	if !g.digest.admit(w, r) {
		return errAskedForDigest
	}
	if g.auth == AuthBoth && token != nil { // who brings both is judged by both
		return g.admitToken(token)
	}
	return nil
}

// admitToken judges a UsernameToken with a password digest: Base64(SHA-1(nonce +
// created + password)).
func (g *guard) admitToken(token *element) error {
	if err := g.checkToken(token); err != nil {
		return &fault{errNotAuthorized.sender, errNotAuthorized.subcodes, errNotAuthorized.reason + ": " + err.Error()}
	}
	return nil
}

func security(local string) xml.Name { return xml.Name{Space: nsSecurity, Local: local} }

func (g *guard) checkToken(token *element) error {
	if token == nil {
		return errors.New("no UsernameToken")
	}
	wsse := func(local string) *element { return token.find(security(local)) }
	password := wsse("Password")
	if password == nil {
		return errors.New("no password")
	}
	if kind := password.attr("Type"); kind != passwordDigest {
		return fmt.Errorf("the password's type is %q, not a digest", kind)
	}
	nonce, err := base64.StdEncoding.DecodeString(wsse("Nonce").content())
	if err != nil || len(nonce) == 0 || len(nonce) > 256 {
		return errors.New("no nonce, or none that is base64 of at most 256 bytes")
	}
	created := token.find(xml.Name{Space: nsUtility, Local: "Created"}).content()
	at, err := time.Parse(time.RFC3339Nano, created)
	if err != nil {
		return errors.New("the time when it was created is none")
	}
	h := sha1.New()
	h.Write(nonce)
	h.Write([]byte(created))
	h.Write([]byte(g.password))
	want := base64.StdEncoding.EncodeToString(h.Sum(nil))
	if wsse("Username").content() != g.username || !hmac.Equal([]byte(want), []byte(password.content())) {
		return errors.New("username or password is wrong")
	}
	now := g.now()
	if d := now.Sub(at); d > clockWindow || d < -clockWindow {
		return fmt.Errorf("it was created at %s, and the camera's clock says %s",
			at.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	if !g.tokens.first(string(nonce)+created, now) {
		return errors.New("the nonce was used before")
	}
	return nil
}

// passwordDigest is the type of a password (UsernameToken Profile 1.0, 3.1).
const passwordDigest = usernameToken + "#PasswordDigest"

const usernameToken = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"

// used remembers nonces for as long as their time is good.
type used struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// first notes a nonce and says whether it is new. When too many are remembered,
// nothing is new.
func (u *used) first(nonce string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.until[nonce]; ok {
		return false
	}
	if len(u.until) >= maxNonces {
		for n, t := range u.until {
			if now.After(t) || t.Sub(now) > 4*clockWindow { // the clock was set back
				delete(u.until, n)
			}
		}
		if len(u.until) >= maxNonces {
			return false
		}
	}
	if u.until == nil {
		u.until = map[string]time.Time{}
	}
	u.until[nonce] = now.Add(2 * clockWindow)
	return true
}
