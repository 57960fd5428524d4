// Package pages has what programs with a page have in common that shows something as
// it changes: the page's files, its viewers, and the listener.
//
// A viewer is one open page. It is told that something has changed, and looks what.
package pages
