// Package simulator has ONVIF cameras that do not exist: each on an address of
// its own, with WS-Discovery, the device service and the media service, and
// with faults on demand. It is a peer for tests and a demo without hardware.
//
// A [Simulator] has cameras, which [New] makes from [Options]. Who a camera is
// follows from a seed and its number ([Identify]), so that it is the same
// camera in every run.
//
//	s, err := simulator.New(simulator.Options{Addresses: addresses, Auth: simulator.AuthBoth})
//	if err != nil {
//		return err
//	}
//	if err := s.Start(); err != nil { // says Hello
//		return err
//	}
//	defer s.Close() // says Bye
//	s.Cameras()[0].SetFaults(simulator.Faults{Silent: true})
//
// What it speaks: WS-Discovery of April 2005 over SOAP-over-UDP, as the ONVIF
// Core Specification (section 7) profiles it; the ONVIF device and media
// services (ver10), SOAP 1.2 over HTTP; WS-Security UsernameToken Profile 1.0
// and HTTP digest (RFC 7616).
//
// It knows nothing of Akri's ONVIF handler and shares no code with it: that the
// two agree is what tests show.
package simulator
