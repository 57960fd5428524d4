package cell

// Setting is a kernel setting of all cells of a lab.
type Setting struct {
	Name  string // below /proc/sys, with slashes: net/ipv4/ip_forward
	Value string
	// Pretend is for settings of the whole machine: programs in a cell can read
	// and write the value, and the kernel's own does not change.
	Pretend bool
}

// String is the setting as cell.sh reads it.
func (s Setting) String() string {
	if s.Pretend {
		return s.Name + "~" + s.Value
	}
	return s.Name + "=" + s.Value
}
