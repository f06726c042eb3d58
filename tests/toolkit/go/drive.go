// Drives the broker's faults by toxiproxy's client. Arguments: address of the API, address of the broker.
package main

import (
	"fmt"
	"log"
	"os"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	client := toxiproxy.NewClient(os.Args[1])
	proxy, err := client.CreateProxy("go", "127.0.0.1:0", os.Args[2])
	check(err)
	_, err = proxy.AddToxic("slow", "latency", "upstream", 0.5, toxiproxy.Attributes{"latency": 5, "jitter": 1})
	check(err)
	toxic, err := proxy.UpdateToxic("slow", 1, toxiproxy.Attributes{"latency": 7})
	check(err)
	fmt.Println(toxic.Name, toxic.Type, toxic.Stream, toxic.Toxicity, toxic.Attributes["latency"], toxic.Attributes["jitter"])
	check(proxy.RemoveToxic("slow"))
	check(proxy.Disable())
	proxies, err := client.Proxies()
	check(err)
	fmt.Println(len(proxies), proxies["go"].Enabled, proxies["rabbitmq"].Enabled)
	check(client.ResetState())
	_, err = client.Populate([]toxiproxy.Proxy{{Name: "more", Listen: "127.0.0.1:0", Upstream: os.Args[2], Enabled: true}})
	check(err)
	_, err = client.CreateProxy("wrong", "127.0.0.1:0", "127.0.0.1:1")
	fmt.Println(err)
	check(proxy.Delete())
}
