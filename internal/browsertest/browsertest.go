package browsertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/peers"
)

// patience is how long a browser on a busy machine may take.
const patience = eventually.Patience

// Browser is a page in a headless Chromium.
type Browser struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // errors of the page
}

// Open opens a page; the test is skipped where Chromium cannot be had.
func Open(t *testing.T, url string) *Browser {
	t.Helper()
	peers.Install(t, "chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &Browser{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) { // it starts the browser, too
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.said = append(b.said, fmt.Sprintf("%+v", *e.ExceptionDetails))
		case *log.EventEntryAdded: // what the policy forbids, among others
			b.said = append(b.said, fmt.Sprintf("%+v", *e.Entry))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return b
}

// Do does something in the page.
func (b *Browser) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// Ask evaluates an expression of JavaScript.
func Ask[T any](b *Browser, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

func get[T any](b *Browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// Wait waits until an expression is true. What is undefined, such as the text of an
// element that is not there yet, is not.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	eventually.Succeeds(b.t, patience, func(context.Context) error {
		if !Ask[bool](b, "!!("+expression+")") {
			return fmt.Errorf("%s is not so; the page: %s", expression, Ask[string](b, "document.body.innerText"))
		}
		return nil
	})
}

// Picture returns what a canvas shows.
func (b *Browser) Picture(selector string) (image.Image, error) {
	b.t.Helper()
	url := Ask[string](b, fmt.Sprintf(`document.querySelector(%q)?.toDataURL("image/png") || ""`, selector))
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
	if err != nil {
		return nil, err
	}
	return png.Decode(bytes.NewReader(data))
}

// Moves waits until a canvas shows the camera of a number, and its frames advance.
// Read reads both from a picture.
func (b *Browser) Moves(selector string, number int, read func(image.Image) (camera int, frame uint32, err error)) {
	b.t.Helper()
	first := uint32(0)
	eventually.Succeeds(b.t, patience, func(context.Context) error {
		shown, err := b.Picture(selector)
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

// Photograph sees that a page of a width has nothing that is cut off, and keeps a
// picture of it if AKRI_SCREENSHOTS is a folder.
func (b *Browser) Photograph(name string, width, height int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	b.Wait(fmt.Sprintf("document.documentElement.scrollWidth <= %d", width))
	picture := get(b, chromedp.FullScreenshot(100)) // a PNG
	if dir := os.Getenv("AKRI_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
			b.t.Error(err)
		}
	}
	if _, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil {
		b.t.Error(err)
	}
}

// Nameless returns what a screen reader could not say a name of, among the elements
// of a selector that can be seen.
func (b *Browser) Nameless(selector string) []string {
	b.t.Helper()
	return Ask[[]string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].filter(e => e.checkVisibility() &&
		!(e.ariaLabel || e.labels?.[0]?.textContent || e.textContent).trim()).map(e => e.outerHTML)`, selector))
}

// Quiet fails the test if the page has said that something is wrong, such as that
// its own policy forbids what it does; some of that may be expected.
func (b *Browser) Quiet(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.said {
		if !slices.ContainsFunc(expected, func(e string) bool { return strings.Contains(said, e) }) {
			b.t.Errorf("the page says: %s", said)
		}
	}
}
