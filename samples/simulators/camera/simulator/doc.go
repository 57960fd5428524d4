// Package simulator simulates ONVIF cameras, each with its own address,
// WS-Discovery, device service and media service, and with faults on demand. It
// is a peer for tests and a demo without hardware.
//
// A [Simulator] has cameras, which [New] creates from [Options]. The identity of a
// camera depends only on a seed and its number ([Identify]), so it is the same in
// every run.
//
//	s, err := simulator.New(simulator.Options{Addresses: addresses, Auth: simulator.AuthBoth})
//	if err != nil {
//		return err
//	}
//	if err := s.Start(); err != nil { // sends Hello
//		return err
//	}
//	defer s.Close() // sends Bye
//	s.Cameras()[0].SetFaults(simulator.Faults{Silent: true})
//
// It implements WS-Discovery of April 2005 over SOAP-over-UDP, as the ONVIF
// Core Specification (section 7) profiles it; the ONVIF device and media
// services (ver10), SOAP 1.2 over HTTP; WS-Security UsernameToken Profile 1.0
// and HTTP digest (RFC 7616).
//
// It shares no code with Akri's ONVIF handler, so that tests compare two
// independent readings of the specifications.
package simulator
