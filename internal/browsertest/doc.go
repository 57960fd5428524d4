// Package browsertest has a headless Chromium for tests of pages.
package browsertest
