// Command clientv3 does with etcd's Go client what the lines on its standard input say, one after another, and answers
// each with a line: "ok", "locked" for a lock that somebody else has, or "error: …". It ends with its input.
//
//	lock NAME, trylock NAME, unlock NAME
//	campaign NAME VALUE, resign NAME
//	write NAME, unwrite NAME                 the write lock of an RWMutex
//	enter NAME COUNT, leave NAME             a DoubleBarrier
//	register SERVICE ID ADDR [METADATA]      an endpoint, with the session's lease
//	unregister SERVICE ID
//
// These answer with what they found:
//
//	endpoints SERVICE                        as JSON, by their keys
//	health SERVICE                           what an endpoint's health service says, found by grpc-go's resolver
//	row NAME                                 see rows.go
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

type peer struct {
	client    *clientv3.Client
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
		client:    client,
		session:   session,
		locks:     map[string]*concurrency.Mutex{},
		elections: map[string]*concurrency.Election{},
		writers:   map[string]*recipe.RWMutex{},
		barriers:  map[string]*recipe.DoubleBarrier{},
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := p.do(strings.Fields(lines.Text()))
		switch {
		case err == nil:
			fmt.Println(answer)
		case errors.Is(err, concurrency.ErrLocked):
			fmt.Println("locked")
		default:
			fmt.Println("error:", err)
		}
	}
	_ = session.Close()
	_ = client.Close()
}

func (p *peer) do(words []string) (string, error) {
	if len(words) < 2 {
		return "", errors.New("a command has a name")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch command, name := words[0], words[1]; command {
	case "endpoints":
		return p.endpoints(ctx, name)
	case "health":
		return p.health(ctx, name)
	case "row":
		row, known := rows[name]
		if !known {
			return "", fmt.Errorf("there is no row %q", name)
		}
		return row(ctx, p)
	}
	return "ok", p.change(ctx, words)
}

func (p *peer) change(ctx context.Context, words []string) error {
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
	case "register":
		endpoint := endpoints.Endpoint{Addr: words[3]}
		if len(words) > 4 {
			endpoint.Metadata = words[4]
		}
		return p.manager(name).AddEndpoint(ctx, name+"/"+words[2], endpoint, clientv3.WithLease(p.session.Lease()))
	case "unregister":
		return p.manager(name).DeleteEndpoint(ctx, name+"/"+words[2])
	default:
		return fmt.Errorf("there is no command %q", command)
	}
}

func (p *peer) manager(service string) endpoints.Manager {
	manager, err := endpoints.NewManager(p.client, service)
	if err != nil {
		fail(err)
	}
	return manager
}

func (p *peer) endpoints(ctx context.Context, service string) (string, error) {
	found, err := p.manager(service).List(ctx)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(found)
	return string(text), err
}

func (p *peer) health(ctx context.Context, service string) (string, error) {
	builder, err := resolver.NewBuilder(p.client)
	if err != nil {
		return "", err
	}
	insecure := grpc.WithTransportCredentials(insecure.NewCredentials())
	connection, err := grpc.NewClient("etcd:///"+service, grpc.WithResolvers(builder), insecure)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	answer, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return "", err
	}
	return answer.Status.String(), nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
