// The service's events, for as long as the page is open. A WebSocket, because a browser keeps only six HTTP connections to a host
// for all its tabs; where something in between lets none through, server-sent events.
import { apiUrl } from "./api.js";

const EVENTS = ["tag", "score", "exam", "end"];
const NOTICES = ["ping", "degraded", "restored", "gap"];
const RETRY_MS = 250; // until a stream that broke is opened again; doubled as long as it does not open
const RETRY_MAX_MS = 15_000;
const QUIET_MS = 35_000; // the service says something every 15 s; a stream that has been quiet for longer is dead

/** {close()} of a socket that calls onOpen(), onEvent(name, text, id) and, unless it was closed from here, onEnd(). */
function openSocket(query, { onOpen, onEvent, onEnd }) {
  const url = apiUrl(`v1/ws${query}`);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.onopen = onOpen;
  socket.onclose = onEnd;
  socket.onmessage = ({ data }) => {
    const told = parsed(data);
    if (told) onEvent(told.event, told.data, told.id);
  };
  return {
    close() {
      socket.onopen = socket.onclose = socket.onmessage = null;
      socket.close();
    },
  };
}

/** The same of an event source, which is never left to open itself again. */
function openEvents(query, { onOpen, onEvent, onEnd }) {
  const source = new EventSource(apiUrl(`v1/events${query}`));
  source.onopen = onOpen;
  source.onerror = () => {
    source.close();
    onEnd();
  };
  for (const name of [...EVENTS, ...NOTICES]) source.addEventListener(name, (event) => onEvent(name, parsed(event.data), event.lastEventId));
  return { close: () => source.close() };
}

/**
 * Follow the tags, from the last that was heard when the stream broke. When it cannot be opened, `onRefused` finds out why: it
 * promises "open" (it is only the stream that is refused), "away" or "locked"; after that we wait for another call of this.
 * A connection can die without a word: after `quiet` milliseconds without one it is given up and another one opened.
 * Returns {close()}.
 */
export function followEvents({ onTag, onOpen, onLost, onDegraded, onGap, onRefused, quiet = QUIET_MS }) {
  let open = openSocket;
  let stream = null;
  let timer;
  let delay = RETRY_MS;
  let closed = false;
  let heardAt = 0;
  let lastId = "";

  const hear = (name, data, id) => {
    heardAt = performance.now();
    lastId = id || lastId;
    if (EVENTS.includes(name)) onTag(tagOf(data));
    else if (name === "degraded" || name === "restored") onDegraded(name === "degraded");
    else if (name === "gap") onGap();
  };

  const again = () => {
    timer = setTimeout(listen, delay);
    delay = Math.min(RETRY_MAX_MS, delay * 2);
  };

  const refused = async () => {
    const why = await onRefused();
    if (closed || why === "locked") return;
    if (why === "open") {
      open = openEvents; // nothing but sockets may be what is refused
      lastId = ""; // or this; the list has told where the calls are
    }
    again();
  };

  const lose = (opened) => {
    stream = null;
    onLost();
    if (opened) again();
    else refused();
  };

  function listen() {
    let opened = false;
    heardAt = performance.now();
    const query = lastId && `?${new URLSearchParams({ last_event_id: lastId })}`;
    stream = open(query, {
      onEvent: hear,
      onOpen() {
        opened = true;
        delay = RETRY_MS;
        heardAt = performance.now();
        onOpen();
      },
      onEnd: () => lose(opened),
    });
  }

  const watch = setInterval(() => {
    if (!stream || performance.now() - heardAt < quiet) return; // without one the timer opens another
    stream.close();
    onLost();
    listen();
  }, quiet / 35);
  listen();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(watch);
      stream?.close();
    },
  };
}

/** What a text says, or null where it is no JSON: one bad event must not stop the page. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const tagOf = (data) => (data && typeof data.call_id === "string" ? data : null);
