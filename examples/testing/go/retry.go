// A retry after a day in a moment: go run . beside `leveret serve --testing`.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func leveret(path, body string) string {
	answer, err := http.Post(os.Getenv("LEVERET_URL")+"/"+path, "application/json", strings.NewReader(body))
	check(err)
	text, err := io.ReadAll(answer.Body)
	check(err)
	return string(text)
}

func main() { // LEVERET_URL: http://guest:guest@localhost:15672/api/leveret, AMQP_URL: amqp://guest:guest@localhost
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	check(err)
	channel, err := connection.Channel()
	check(err)
	_, err = channel.QueueDeclare("retry", true, false, false, false, amqp.Table{"x-message-ttl": int32(86400000)})
	check(err)
	check(channel.PublishWithContext(context.Background(), "", "retry", false, false, amqp.Publishing{Body: []byte("job")}))
	leveret("clock/freeze", "{}")
	fmt.Println(leveret("clock/advance", `{"by": 86400}`), leveret("wait", `{"for": "idle"}`))
}
