// Package browsertest has a headless Chromium for tests of pages, and makes
// pictures of pages and of terminals.
package browsertest
