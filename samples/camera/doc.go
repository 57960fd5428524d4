// Package camera is what brokers and applications for cameras have in common.
//
// A [Frame] is one picture, a JPEG. A [Latest] has the newest of a camera, and
// nothing else: whoever is slow misses pictures, and nothing ever waits in a
// queue. A [Server] serves it as upstream Akri's brokers do, by gRPC, and to
// browsers and other HTTP clients beside it, on the same port.
package camera

//go:generate go -C ../../tools/gen run ./protogen -I ../../samples/camera/camerapb -out ../../samples/camera/camerapb camera.proto
