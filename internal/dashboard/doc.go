// Package dashboard serves a page that shows a cluster's nodes, Configurations,
// devices and their users as they change, and says why something is not as one
// wants it.
//
// Package follow watches the cluster. While somebody looks, a keeper makes a board
// (package board) of what it sees, and package feed sends browsers what changes.
// Without a browser nothing is computed. The page is in the folder page: plain
// HTML, CSS and JavaScript modules.
//
// It only reads. Who may look is decided by access: whoever may forward a port to
// its Pod, or whoever has the token. What it has counted is in its metrics.
package dashboard
