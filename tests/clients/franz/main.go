// franz-go as a client of the service: `send SERVERS TOPIC` and `read SERVERS TOPIC COUNT`.
//
// send reads a JSON array of records from standard input; read writes each record as a line of JSON. Strings of bytes
// are in base64, as encoding/json has it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type header struct {
	Name  string
	Value []byte
}

type record struct {
	Key     []byte
	Value   []byte
	Headers []header
}

type batch struct {
	Transaction string // "", "commit" or "abort"
	Compression string // "", "gzip", "snappy", "lz4" or "zstd"
	Records     []record
}

var codecs = map[string]kgo.CompressionCodec{
	"":       kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	servers, topic := strings.Split(os.Args[2], ","), os.Args[3]
	var err error
	if os.Args[1] == "send" {
		err = send(ctx, servers, topic)
	} else {
		err = read(ctx, servers, topic, os.Args[4])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func send(ctx context.Context, servers []string, topic string) error {
	var batches []batch
	if err := json.NewDecoder(os.Stdin).Decode(&batches); err != nil {
		return err
	}
	for number, batch := range batches {
		if err := sendBatch(ctx, servers, topic, batch, number); err != nil {
			return fmt.Errorf("batch %d: %w", number, err)
		}
	}
	return nil
}

func sendBatch(ctx context.Context, servers []string, topic string, batch batch, number int) error {
	options := []kgo.Opt{kgo.SeedBrokers(servers...), kgo.ProducerBatchCompression(codecs[batch.Compression])}
	if batch.Transaction != "" {
		options = append(options, kgo.TransactionalID(fmt.Sprintf("%s-%d", topic, number)))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if batch.Transaction != "" {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
	}
	var records []*kgo.Record
	for _, each := range batch.Records {
		record := &kgo.Record{Topic: topic, Key: each.Key, Value: each.Value}
		for _, header := range each.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
		}
		records = append(records, record)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	if batch.Transaction != "" {
		return client.EndTransaction(ctx, kgo.TransactionEndTry(batch.Transaction == "commit"))
	}
	return nil
}

func read(ctx context.Context, servers []string, topic, countText string) error {
	count, err := strconv.Atoi(countText)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(servers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	lines := json.NewEncoder(os.Stdout)
	for count > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, each := range fetches.Records() {
			seen := record{Key: each.Key, Value: each.Value}
			for _, each := range each.Headers {
				seen.Headers = append(seen.Headers, header{each.Key, each.Value})
			}
			if err := lines.Encode(seen); err != nil {
				return err
			}
			count--
		}
	}
	return nil
}
