"""What a softphone does: follow the tags of all calls, resume where the line broke. softphone.py URL TOKEN"""

import asyncio
import json
import sys

import aiohttp


async def follow(url: str, token: str) -> None:
    last_id, pause, field = "", 1.0, {"event": "", "data": ""}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=60)) as session:
        while True:
            headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last_id} if last_id else {})
            try:
                async with session.get(f"{url}/v1/events", headers=headers) as response:
                    if response.status == 401:
                        sys.exit("the service does not accept this token")
                    if response.status != 200:
                        print(response.status, (await response.text())[:200], file=sys.stderr)
                        if response.status < 500 and response.status not in (408, 429):
                            sys.exit(1)  # no later try would be answered otherwise
                    async for line in response.content:
                        name, _, value = line.decode().rstrip("\r\n").partition(": ")
                        if name == "id":
                            last_id = value
                        elif name == "retry":
                            pause = int(value) / 1000
                        elif name in field:
                            field[name] = value
                        elif name == "" and field["event"] in ("tag", "end"):  # an empty line ends the event
                            tag, field = json.loads(field["data"]), {"event": "", "data": ""}
                            print(tag["call_id"], tag["leg"], tag["kind"], tag["text"], tag["probability"], flush=True)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                print(f"line lost ({error}); resuming after {last_id or 'now'}", file=sys.stderr)
            await asyncio.sleep(pause)


asyncio.run(follow(sys.argv[1].rstrip("/"), sys.argv[2]))
