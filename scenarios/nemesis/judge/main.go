// Command judge judges what the nemesis has recorded: `judge DIR`. It also records the changes of the store (`record`),
// from the members' own ports, and puts keys with Go's clientv3 for comparison (`beside`).
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: judge judge DIR | judge record FLAGS | judge beside FLAGS")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "record":
		err = record(os.Args[2:])
	case "beside":
		err = beside(os.Args[2:])
	case "judge":
		var h *history
		if h, err = readHistory(os.Args[2]); err == nil {
			printFigures(h)
			violations := judge(h)
			for _, v := range violations {
				fmt.Printf("VIOLATION %s: %s\n", v.check, v.what)
			}
			fmt.Printf("%d violations\n", len(violations))
			if len(violations) > 0 {
				os.Exit(1)
			}
		}
	default:
		err = fmt.Errorf("no command is named %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
