// Package images makes the container images of this repository without a
// container engine.
//
// An [Image] holds one static program and nothing to run it with: no shell, no
// libraries, no root. [Build] compiles the programs for each [Platform] and
// writes one [Archive] an image and platform: a tar file that is an OCI image
// layout and a "docker save" file at once, so that containerd, K3s, Podman and
// Docker all load it. The same sources give the same bytes.
//
// Debug images have Debian's busybox-static besides; it is fetched for them and
// is in no other image.
package images
