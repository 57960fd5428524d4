// Package kube is cloudcore's client of the API server: plain requests in JSON
// over one shared transport, each in the name of a [User].
//
// A clientset with informers would keep every object that it watches. What
// cloudcore keeps is decided by the packages above.
package kube
