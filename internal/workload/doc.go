// Package workload makes what a Configuration's specs describe: broker Pods,
// Jobs and Services. It only computes. The controller writes the results to the
// API server, and admission tries them in a dry run.
//
// Nouns:
//
//   - A spec is a PodSpec, JobSpec or ServiceSpec in a Configuration, as its
//     author wrote it. Every field is kept, including those that are newer than
//     this program.
//   - A template is a spec that was parsed and can be used. It makes one object
//     for each Instance, or for each Instance and node.
//   - The placeholder in a spec stands for the resource of the Instance that
//     the object is made for.
//   - The quantity of a Pod is how many slots of its Instance it takes.
//   - The owner of an object is the Instance or Configuration that it was made
//     for; the object is deleted with it.
package workload
