// Package cli has the habits that the command-line programs akri and keadm have
// in common: how a wrong call is answered, what help says of exit codes, how
// flags are completed, and what Ctrl-C does.
package cli
