// Package tokens judges the tokens of service accounts that Pods present at the
// local API, and makes some while the link is cut. It has no state but a key,
// and knows neither the store nor the link.
//
// The words:
//
//   - A token is a JSON Web Token (RFC 7519) in the compact form of a JSON Web
//     Signature (RFC 7515), as the API server issues it for a Pod.
//   - Its claims are what it says. They are worth something once its signature is
//     verified and they keep the rules ([Claims.Check]).
//   - Keys are the public keys of an issuer, by id. The cluster's come as a JSON
//     Web Key Set (RFC 7517) from /openid/v1/jwks.
//   - A signer is edgecore's own issuer: its key never leaves the node, and its
//     tokens are worth nothing anywhere else.
//
// Time counts in one direction. A token that has expired is refused, with a
// minute's grace. A token of the future is taken: nobody can have one, so the
// clock is wrong, as that of a node may be that starts without a network. With a
// clock that is behind, a token lasts longer, but never longer than its Pod,
// which the local API checks each time. With a clock that is ahead, the kubelet
// sees the same as this package: that the token has expired, and gets another
// one.
package tokens
