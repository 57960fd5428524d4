// Package envvar reads the environment variables that flags default to.
package envvar

// Or makes of getenv a function that returns the fallback where a variable is not
// set or is empty.
func Or(getenv func(name string) string) func(name, fallback string) string {
	return func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
}
