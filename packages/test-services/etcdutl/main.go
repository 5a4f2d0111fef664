// Command etcdutl is the part of etcd's own tool that restores and reads snapshots, built from its published module:
// `go install go.etcd.io/etcd/etcdutl/v3@version` refuses, because of that module's replace directives.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
)

func main() {
	root := &cobra.Command{Use: "etcdutl"}
	root.AddCommand(etcdutl.NewSnapshotCommand())
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}
