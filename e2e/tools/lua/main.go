// The Lua that Argo CD runs its health checks in, for a test of ours: lua SCRIPT prints what the script prints.
package main

import (
	"fmt"
	"os"

	lua "github.com/yuin/gopher-lua"
)

func main() {
	state := lua.NewState()
	defer state.Close()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lua SCRIPT")
		os.Exit(2)
	}
	if err := state.DoString(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
