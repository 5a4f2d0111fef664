package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// connection holds how a subcommand reaches the cluster.
type connection struct {
	endpoints, ca, user string
	// Pings, as the workload's clients with keepAlive send them, so that a member that is frozen or cut off is left.
	keepAlive bool
}

func (c *connection) flags(set *flag.FlagSet) {
	set.StringVar(&c.endpoints, "endpoints", "", "client URLs, with commas between")
	set.StringVar(&c.ca, "ca", "", "file with the certificate authority, for https")
	set.BoolVar(&c.keepAlive, "keepalive", false, "ping every 5 s, and wait 1 s")
	set.StringVar(&c.user, "user", "", "name:password")
}

func (c *connection) dial() (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: strings.Split(c.endpoints, ","), Logger: zap.NewNop(), DialTimeout: 5 * time.Second,
	}
	if c.keepAlive {
		config.DialKeepAliveTime, config.DialKeepAliveTimeout = 5*time.Second, time.Second
	}
	config.Username, config.Password, _ = strings.Cut(c.user, ":")
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.ca)
		}
		config.TLS = &tls.Config{RootCAs: pool}
	}
	return clientv3.New(config)
}

const endKey = "nemesis-end"

// record writes all changes of the store to a file until its stdin ends, and the revisions that it has reached to stdout.
func record(args []string) error {
	set := flag.NewFlagSet("record", flag.ExitOnError)
	var to connection
	to.flags(set)
	to.keepAlive = true
	output := set.String("output", "", "file to write")
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := to.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	file, err := os.Create(*output)
	if err != nil {
		return err
	}
	writer := bufio.NewWriterSize(file, 1<<20)
	lines := json.NewEncoder(writer)
	go endWithInput(client)
	next, reported := int64(1), time.Time{}
	for {
		// A new context each time: ending it ends a watch that must be made again.
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
		watch := client.Watch(ctx, "", clientv3.WithFromKey(), clientv3.WithRev(next), clientv3.WithCreatedNotify())
		for response := range watch {
			if err := response.Err(); err != nil {
				if response.CompactRevision > 0 {
					cancel()
					return fmt.Errorf("the store was compacted to %d before %d was recorded", response.CompactRevision, next)
				}
				break
			}
			now := milliseconds(time.Now())
			done := false
			for _, change := range response.Events {
				kv := change.Kv
				e := event{
					Revision: kv.ModRevision, Deleted: change.Type == clientv3.EventTypeDelete, Key: string(kv.Key),
					Value: string(kv.Value), Created: kv.CreateRevision, Version: kv.Version, At: now,
				}
				if kv.Lease != 0 {
					e.Lease = fmt.Sprintf("%x", kv.Lease)
				}
				if err := lines.Encode(e); err != nil {
					cancel()
					return err
				}
				next = kv.ModRevision + 1
				done = done || e.Key == endKey
			}
			if done || time.Since(reported) > 200*time.Millisecond {
				fmt.Println(next - 1)
				reported = time.Now()
			}
			if done {
				cancel()
				if err := writer.Flush(); err != nil {
					return err
				}
				return file.Close()
			}
		}
		cancel()
		time.Sleep(50 * time.Millisecond)
	}
}

// endWithInput marks the end of the history once stdin has ended.
func endWithInput(client *clientv3.Client) {
	buffer := make([]byte, 16)
	for {
		if _, err := os.Stdin.Read(buffer); err != nil {
			break
		}
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := client.Put(ctx, endKey, "")
		cancel()
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// beside puts keys one after another until stdin ends, and writes each result: for comparison with clientv3.
func beside(args []string) error {
	set := flag.NewFlagSet("beside", flag.ExitOnError)
	var to connection
	to.flags(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := to.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString(0)
		close(ended)
	}()
	name := "clientv3"
	if to.keepAlive {
		name += " keepAlive"
	}
	lines := json.NewEncoder(os.Stdout)
	for n := 0; ; n++ {
		select {
		case <-ended:
			return nil
		default:
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, err := client.Put(ctx, "nemesis-beside-"+name, fmt.Sprint(n))
		cancel()
		result := map[string]any{
			"t": "beside", "client": name, "kind": "put", "start": milliseconds(start),
			"end": milliseconds(time.Now()), "ok": err == nil,
		}
		if err := lines.Encode(result); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func milliseconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
