// Drives the broker's faults by toxiproxy's client from npm. Arguments: URL of the API, address of the broker.
const { Toxiproxy } = require("toxiproxy-node-client");

async function main([url, upstream]) {
  const toxiproxy = new Toxiproxy(url);
  const version = await toxiproxy.getVersion();
  const proxy = await toxiproxy.createProxy({ name: "node", listen: "127.0.0.1:0", upstream });
  const toxic = await proxy.addToxic({
    name: "slow",
    type: "latency",
    stream: "downstream",
    toxicity: 1.0,
    attributes: { latency: 5, jitter: 1 },
  });
  await toxic.update({ attributes: { latency: 7, jitter: 0 } });
  const changed = await proxy.getToxic("slow");
  console.log(JSON.stringify({ version, toxic: changed.toJson() }));
  await changed.remove();
  await proxy.update({ enabled: false });
  await toxiproxy.reset();
  console.log(JSON.stringify((await toxiproxy.get("node")).enabled));
  await (await toxiproxy.get("node")).remove();
  console.log(JSON.stringify(Object.keys(await toxiproxy.getAll())));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
