package controller

// What the controller's service account may do. The chart's role has exactly
// these rules. The integration tests run the controller with them, and with
// OwnerReferencesPermissionEnforcement on.
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
// With the admission webhook, on one object each:
//
//	admissionregistration.k8s.io  validatingwebhookconfigurations  get patch
//	"" (own namespace)            secrets                          get update
//
// Patching Configurations is for one thing: removing the finalizers of
// upstream's agents (package migrate). Updating the finalizers subresources is
// for owner references with blockOwnerDeletion, if the admission plug-in
// OwnerReferencesPermissionEnforcement is on. The webhook checks broker and
// Service specs in dry runs, which need the same rights as creating them.
// Deleting Leases is what that plug-in requires of whoever sets an owner on
// one.
