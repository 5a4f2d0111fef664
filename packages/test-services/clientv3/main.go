// Command clientv3 does with etcd's Go client what the lines on its standard input say, one after another, and answers
// each with a line: "ok", "locked" for a lock that somebody else has, or "error: …". It ends with its input.
//
//	lock NAME, trylock NAME, unlock NAME
//	campaign NAME VALUE, resign NAME
//	write NAME, unwrite NAME                 the write lock of an RWMutex
//	enter NAME COUNT, leave NAME             a DoubleBarrier
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

type peer struct {
	session   *concurrency.Session
	locks     map[string]*concurrency.Mutex
	elections map[string]*concurrency.Election
	writers   map[string]*recipe.RWMutex
	barriers  map[string]*recipe.DoubleBarrier
}

func main() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(os.Args[1], ","),
		DialTimeout: 10 * time.Second,
	})
	if err != nil {
		fail(err)
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	if err != nil {
		fail(err)
	}
	p := &peer{
		session:   session,
		locks:     map[string]*concurrency.Mutex{},
		elections: map[string]*concurrency.Election{},
		writers:   map[string]*recipe.RWMutex{},
		barriers:  map[string]*recipe.DoubleBarrier{},
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		err := p.do(strings.Fields(lines.Text()))
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.Is(err, concurrency.ErrLocked):
			fmt.Println("locked")
		default:
			fmt.Println("error:", err)
		}
	}
	_ = session.Close()
	_ = client.Close()
}

func (p *peer) do(words []string) error {
	if len(words) < 2 {
		return errors.New("a command has a name")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command, name := words[0], words[1]
	switch command {
	case "lock":
		p.locks[name] = concurrency.NewMutex(p.session, name)
		return p.locks[name].Lock(ctx)
	case "trylock":
		p.locks[name] = concurrency.NewMutex(p.session, name)
		return p.locks[name].TryLock(ctx)
	case "unlock":
		return p.locks[name].Unlock(ctx)
	case "campaign":
		p.elections[name] = concurrency.NewElection(p.session, name)
		return p.elections[name].Campaign(ctx, words[2])
	case "resign":
		return p.elections[name].Resign(ctx)
	case "write":
		p.writers[name] = recipe.NewRWMutex(p.session, name)
		return p.writers[name].Lock()
	case "unwrite":
		return p.writers[name].Unlock()
	case "enter":
		count, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		p.barriers[name] = recipe.NewDoubleBarrier(p.session, name, count)
		return p.barriers[name].Enter()
	case "leave":
		return p.barriers[name].Leave()
	default:
		return fmt.Errorf("there is no command %q", command)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
