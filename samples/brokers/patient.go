package brokers

import (
	"net/http"
	"time"
)

// patientWriter gives each write a deadline. Between writes there is none.
type patientWriter struct {
	http.ResponseWriter

	control *http.ResponseController
	timeout time.Duration
}

// NewPatientWriter returns a writer for answers that do not end. A client that
// does not read what it asked for is cut off when one write takes longer than
// timeout.
func NewPatientWriter(w http.ResponseWriter, timeout time.Duration) http.ResponseWriter {
	p := patientWriter{w, http.NewResponseController(w), timeout}
	// Not all writers have deadlines, such as those of tests.
	_ = p.control.SetReadDeadline(time.Time{})
	_ = p.control.SetWriteDeadline(time.Time{})
	return p
}

func (p patientWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	n, err := p.ResponseWriter.Write(b)
	if err == nil {
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// FlushError is what [http.ResponseController] calls.
func (p patientWriter) FlushError() error {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	err := p.control.Flush()
	if err == nil {
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return err
}

// Flush is what gRPC calls.
func (p patientWriter) Flush() { _ = p.FlushError() }

// Unwrap is for [http.ResponseController].
func (p patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
