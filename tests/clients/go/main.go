// Connects over TLS with a certificate, logs in by it or with a token, and gets a message back.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	port, authority, certfile, keyfile, token := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	pem, err := os.ReadFile(authority)
	check(err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	identity, err := tls.LoadX509KeyPair(certfile, keyfile)
	check(err)
	var login amqp.Authentication = &amqp.ExternalAuth{}
	if token != "" {
		login = &amqp.PlainAuth{Username: "", Password: token}
	}
	connection, err := amqp.DialConfig("amqps://localhost:"+port+"/", amqp.Config{
		SASL:            []amqp.Authentication{login},
		Vhost:           "/",
		TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{identity}},
	})
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	check(err)
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	body := bytes.Repeat([]byte{7}, 200_000)
	check(channel.Publish("", queue.Name, false, false, amqp.Publishing{Body: body}))
	if confirm := <-confirms; !confirm.Ack {
		check(fmt.Errorf("not confirmed"))
	}
	message, found, err := channel.Get(queue.Name, true)
	check(err)
	if !found || !bytes.Equal(message.Body, body) {
		check(fmt.Errorf("another message"))
	}
	fmt.Println("done")
}
