// Package motion looks at a feed of the video streaming application, pictures that
// replace one another in one answer, and tells whether they move.
package motion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"
)

const (
	// seenTimeout is how long a feed may take for two pictures that differ.
	seenTimeout = 10 * time.Second
	// maxPictures is how many pictures are compared, of maxPictureBytes each.
	maxPictures     = 50
	maxPictureBytes = 4 << 20
)

// Seen returns nil if the feed at a URL shows two pictures that differ.
func Seen(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if err := differ(resp.Header.Get("Content-Type"), resp.Body); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// differ reads pictures until one differs from the one before.
func differ(contentType string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/x-mixed-replace" {
		return fmt.Errorf("it is %q, and not pictures that replace one another", contentType)
	}
	parts := multipart.NewReader(body, params["boundary"])
	var before []byte
	for range maxPictures {
		part, err := parts.NextPart()
		if err != nil {
			return err
		}
		picture, err := io.ReadAll(io.LimitReader(part, maxPictureBytes))
		if err != nil {
			return err
		}
		if _, err := jpeg.DecodeConfig(bytes.NewReader(picture)); err != nil {
			return fmt.Errorf("a picture: %w", err)
		}
		if before != nil && !bytes.Equal(before, picture) {
			return nil
		}
		before = picture
	}
	return errors.New("its picture does not change")
}
