package controller

// What the controller's service account must be allowed; the chart's role has
// these rules and no others. The integration tests run it as a user with them,
// with OwnerReferencesPermissionEnforcement on.
//
// In the cluster:
//
//	akri.sh         configurations             get list watch patch
//	akri.sh         configurations/status      get patch
//	akri.sh         configurations/finalizers  update
//	akri.sh         instances                  get list watch patch delete
//	akri.sh         instances/status           get patch
//	akri.sh         instances/finalizers       update
//	""              pods                       get list watch create delete
//	""              pods/eviction              create
//	""              services                   get list watch create patch delete
//	batch           jobs                       get list watch create delete
//	""              nodes                      get list watch
//	""              nodes/status               patch
//	events.k8s.io   events                     create patch update
//
// In its own namespace:
//
//	coordination.k8s.io  leases                get create update list delete
//
// With the admission webhook, of one object each:
//
//	admissionregistration.k8s.io  validatingwebhookconfigurations  get patch
//	"" (own namespace)            secrets                          get update
//
// Configurations are patched for one thing: the finalizers of upstream's agents
// (package migrate). The verb update on the finalizers subresources is for
// owner references with blockOwnerDeletion where the admission plug-in
// OwnerReferencesPermissionEnforcement is on. The webhook tries broker and
// Service specs in dry runs, which need the same rights as making them.
// "delete" of Leases is also what that plug-in asks of whoever gives one an
// owner.
