module leveret/tlsclient

go 1.22

require github.com/rabbitmq/amqp091-go v1.14.0
