// Package helm installs charts as the command helm does, and as its field
// manager, so that helm can upgrade what was installed here.
package helm
