// Command hello is packed by the tests of internal/images.
package main

import "fmt"

func main() { fmt.Println("hello") }
