// Package workload makes what a Configuration's specs ask for: broker Pods and
// Jobs, and the Services over them. It only computes; the controller writes what
// it returns to the API server, and admission tries it there.
//
// Nouns:
//
//   - A spec is a PodSpec, JobSpec or ServiceSpec that a Configuration holds as
//     its author wrote it. Every field is kept, including those that are newer
//     than this program.
//   - A template is a spec that was read and found usable. It makes one object
//     for each Instance, or for each Instance and node.
//   - The placeholder stands in a spec for the resource of the Instance that the
//     object is made for.
//   - The quantity of a Pod is how many slots of its Instance it takes.
//   - The owner of an object is the Instance or Configuration that it was made
//     for; the object is deleted with it.
package workload
