// Package browsertest opens pages in a headless Chromium, for tests that look at
// them as people do. Debian's Chromium is installed if the machine has none.
package browsertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/peers"
)

// Page is a page in a browser of its own.
type Page struct {
	// Patience is how long is waited for what must happen.
	Patience time.Duration

	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string
}

// Open opens a page. Its window has 1280 × 900 pixels.
func Open(t *testing.T, url string) *Page {
	t.Helper()
	peers.Install(t, "chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	p := &Page{t: t, ctx: ctx, Patience: 30 * time.Second}
	err := chromedp.Listen(ctx, func(event any) { // it starts the browser, too
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.said = append(p.said, fmt.Sprintf("%+v", *e.ExceptionDetails))
		case *log.EventEntryAdded: // what the policy forbids, among others
			p.said = append(p.said, fmt.Sprintf("%+v", *e.Entry))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return p
}

// Said returns the errors of the page so far.
func (p *Page) Said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// Do carries out actions.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Ask evaluates an expression of JavaScript.
func Ask[T any](p *Page, expression string) T {
	p.t.Helper()
	return get(p, chromedp.Evaluate[T](expression))
}

func get[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.Patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// Wait waits until an expression is true.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	eventually.Succeeds(p.t, p.Patience, func(context.Context) error {
		if !Ask[bool](p, expression) {
			return fmt.Errorf("%s is not so; the page: %s", expression, Ask[string](p, "document.body.innerText"))
		}
		return nil
	})
}

// Picture returns what a canvas shows.
func (p *Page) Picture(selector string) (image.Image, error) {
	p.t.Helper()
	url := Ask[string](p, fmt.Sprintf(`document.querySelector(%q)?.toDataURL("image/png") || ""`, selector))
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
	if err != nil {
		return nil, err
	}
	return png.Decode(bytes.NewReader(data))
}

// Moves waits until a canvas shows the camera of a number, and its frames advance.
// Read reads both from a picture.
func (p *Page) Moves(selector string, number int, read func(image.Image) (camera int, frame uint32, err error)) {
	p.t.Helper()
	first := uint32(0)
	eventually.Succeeds(p.t, p.Patience, func(context.Context) error {
		shown, err := p.Picture(selector)
		if err != nil {
			return fmt.Errorf("%s: %w", selector, err)
		}
		camera, frame, err := read(shown)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", selector, err)
		case camera != number:
			return fmt.Errorf("%s shows camera %d, want %d", selector, camera, number)
		case first == 0:
			first = frame
		}
		if frame < first+3 {
			return fmt.Errorf("%s shows frame %d after %d", selector, frame, first)
		}
		return nil
	})
}

// Photograph takes a picture of the page in a window of some size, in which nothing
// is cut off. It is kept if AKRI_SCREENSHOTS names a folder.
func (p *Page) Photograph(name string, width, height int64, dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.Do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	p.Wait(fmt.Sprintf("document.documentElement.scrollWidth <= %d", width))
	picture := get(p, chromedp.FullScreenshot(80))
	if dir := os.Getenv("AKRI_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".jpg"), picture, 0o644); err != nil {
			p.t.Error(err)
		}
	}
	if _, err := jpeg.DecodeConfig(bytes.NewReader(picture)); err != nil {
		p.t.Error(err)
	}
}
