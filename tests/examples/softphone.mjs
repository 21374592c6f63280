// What a softphone does: follow the tags of all calls, resume where the line broke. node softphone.mjs URL TOKEN

const [url, token] = process.argv.slice(2);
let lastId = "";
let pause = 1000;

function receive(block) {
  const event = { id: lastId, event: "", data: "", retry: pause };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name in event) event[name] = value;
  }
  [lastId, pause] = [event.id, Number(event.retry)];
  if (event.event !== "tag" && event.event !== "end") return;
  const tag = JSON.parse(event.data);
  console.log(tag.call_id, tag.leg, tag.kind, tag.text, tag.probability);
}

for (;;) {
  try {
    const headers = { Authorization: `Bearer ${token}`, ...(lastId && { "Last-Event-ID": lastId }) };
    const response = await fetch(`${url.replace(/\/+$/, "")}/v1/events`, { headers });
    if (response.status === 401) throw Object.assign(new Error("the service does not accept this token"), { final: true });
    if (!response.ok) {
      const final = response.status < 500 && ![408, 429].includes(response.status); // no later try would be answered otherwise
      throw Object.assign(new Error(`${response.status} ${(await response.text()).slice(0, 200)}`), { final });
    }
    let rest = "";
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + text).split(/\r?\n\r?\n/); // an empty line ends the event
      rest = blocks.pop();
      blocks.forEach(receive);
    }
  } catch (error) {
    console.error(error.message);
    if (error.final) process.exit(1);
  }
  await new Promise((resolve) => setTimeout(resolve, pause));
}
