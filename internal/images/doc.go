// Package images makes the container images of this repository without a
// container engine.
//
// An [Image] contains one static program and nothing else: no shell, no
// libraries, no root. [Build] compiles the programs for each [Platform] and
// writes one [Archive] for each image and platform: a tar file that is both an
// OCI image layout and a "docker save" file, so that containerd, K3s, Podman
// and Docker can all load it. The same source code gives the same bytes.
//
// Debug images also contain Debian's busybox-static, which is downloaded for
// them.
package images
