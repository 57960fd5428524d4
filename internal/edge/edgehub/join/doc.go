// Package join gets an edge node its certificate, keeps it, and renews it.
//
// A node that joins knows a token and an address. The first part of the token is
// the SHA-256 of the authority that signs cloudcore's certificate: of what
// anybody at that address says about authorities, only the one with that hash is
// believed. Then [Join] makes a key, which never leaves the node, and asks for a
// certificate with the rest of the token, on a connection that the authority
// vouches for. [Run] asks for the next certificate, with the present one, when 70
// to 90 % of its life is over.
//
// The node's folder has two files: [CertificateFile], the certificate and its
// key, which only their owner can read and which are replaced together, and
// [AuthoritiesFile].
package join
