package rule

// unsupported says why a key of udev(7) cannot be used here.
func unsupported(name string) (why string, ok bool) {
	switch name {
	case "ACTION":
		return "a rule here selects the devices that are there, not events", true
	case "NAME":
		return "it matches what a rule of udevd has named a network interface: use KERNEL or ENV{INTERFACE}", true
	case "SYMLINK":
		return `it names links below /dev for udevd: to match them use ENV{DEVLINKS}=="*…*"`, true
	case "CONST", "SYSCTL":
		return "it looks at the system, not at a device: choose nodes by labels instead", true
	case "TEST":
		return `it looks for a file: use ATTR{file}=="*" to ask for an attribute`, true
	case "PROGRAM", "RESULT", "RUN":
		return "programs are never run", true
	case "IMPORT":
		return "properties are those that udevd has recorded: match them with ENV{…}", true
	case "GOTO", "LABEL":
		return "every rule stands for itself, and a device is selected if one of them matches", true
	case "WAIT_FOR", "WAIT_FOR_SYSFS":
		return "a device is looked at again whenever the kernel reports a change", true
	case "GROUP", "MODE", "OWNER", "SECLABEL":
		return "device nodes stay as they are: what a container may do with one is set by permissions in the discoveryDetails", true
	case "OPTIONS":
		return "it changes what udevd does", true
	case "SYSFS":
		return "it is the old name of ATTR{…} and ATTRS{…}", true
	case "BUS", "ID":
		return "it is an old name of SUBSYSTEMS, KERNELS", true
	}
	return "", false
}
