package soap

import (
	"context"
	"net/http"
)

// Get returns what the target's URL has, such as a picture, as far as it has no
// more than limit bytes. A user is named only by HTTP digest, which snapshots of
// cameras ask for (ONVIF Media Service Specification, section 5.13).
//
// Errors are [*AuthError], [*StatusError], [*RedirectError], [ErrTooLarge], or of
// the network or of TLS.
func (c *Client) Get(ctx context.Context, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	send := func(authorization string) (reply, error) {
		return c.send(ctx, http.MethodGet, nil, authorization, limit)
	}
	user := c.options.Credentials
	var r reply
	var err error
	tried := user != nil && c.digest != nil
	if tried {
		r, err = c.withDigest(user, http.MethodGet, false, send)
	} else if r, err = send(""); err == nil && r.status == http.StatusUnauthorized && user != nil {
		if challenge, ok := strongest(r.header.Values("WWW-Authenticate")); ok {
			tried = true
			c.digest = &digestState{challenge: challenge}
			r, err = c.withDigest(user, http.MethodGet, true, send)
		}
	}
	if err != nil {
		return nil, err
	}
	switch r.status {
	case http.StatusOK:
		return r.body, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		e := &AuthError{}
		if tried {
			e.User, e.NoPassword = user.Username, user.Password == ""
		}
		return nil, e
	}
	return nil, &StatusError{Code: r.status}
}
