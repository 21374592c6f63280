// A call from this browser: microphone -> WHIP (RFC 9725) -> the service. No DOM beyond the given audio element.
import { request } from "./api.js";

// The browser's clean-up would alter the very traces the detector listens for.
const AUDIO = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
const GATHER_MAX_MS = 2000; // an unreachable STUN server must not hold the call up
const METER_MS = 66;
const FLOOR_DB = -60;

const REFUSALS = {
  NotAllowedError: "This browser may not use the microphone. Allow it in the address bar, then call again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is in use by another program.",
};

/**
 * Ask for the microphone and place the call.
 * onState("asking" | "connecting" | "live" | "ended", sentence), onLevel(0..1). Returns {hangUp()}; throws an Error with a sentence.
 */
export async function placeCall({ onState, onLevel, prompt }) {
  onState("asking", "Waiting for the microphone");
  const stream = await openMicrophone();
  const meter = followLevel(stream, onLevel);
  const peer = new RTCPeerConnection();
  const release = () => {
    meter.stop();
    stream.getTracks().forEach((track) => track.stop());
    peer.close();
  };
  try {
    onState("connecting", "Connecting");
    peer.ontrack = ({ streams, track }) => { prompt.srcObject = streams[0] ?? new MediaStream([track]); };
    const location = await exchange(peer, stream);
    return followCall({ peer, stream, location, release, onState });
  } catch (error) {
    release();
    throw error;
  }
}

async function openMicrophone() {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only to pages on https or on this machine (localhost).");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: AUDIO });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The microphone could not be opened (${error.name}).`);
  }
}

/** Offer out, answer in; returns the session's URL. sendrecv: the service may later play a prompt back. */
async function exchange(peer, stream) {
  peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  const response = await request("v1/whip", {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: peer.localDescription.sdp,
  });
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  const location = response.headers.get("Location");
  return location ? new URL(location, response.url) : null;
}

function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") resolve();
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    setTimeout(resolve, GATHER_MAX_MS);
  });
}

function followCall({ peer, stream, location, release, onState }) {
  let over = false;
  const end = async (sentence, tell = true) => {
    if (over) return;
    over = true;
    release();
    onState("ended", sentence);
    // The session may be gone already, which is what we want; keepalive lets it leave while the page closes.
    if (tell && location) await request(location, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  peer.onconnectionstatechange = () => {
    if (peer.connectionState === "connected") onState("live", processing(stream));
    if (peer.connectionState === "failed") end("The audio connection to the service failed.");
    if (peer.connectionState === "closed") end("The service ended the call.", false);
  };
  stream.getAudioTracks()[0].onended = () => end("The microphone was taken away.");
  if (peer.connectionState === "connected") onState("live", processing(stream));
  const id = location?.pathname.split("/").filter(Boolean).at(-1) ?? null;
  return { id, hangUp: () => end("You hung up.") };
}

/** Say so when the browser kept its processing on in spite of being asked not to. */
function processing(stream) {
  const settings = stream.getAudioTracks()[0].getSettings();
  const kept = Object.keys(AUDIO).filter((name) => AUDIO[name] === false && settings[name] === true);
  return kept.length ? `On the line. This browser kept its own ${kept.length > 1 ? "processing" : kept[0]} on: the score may suffer.` : "On the line";
}

function followLevel(stream, onLevel) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const level = 10 * Math.log10(power + 1e-12); // dB below full scale
    onLevel(Math.min(1, Math.max(0, 1 - level / FLOOR_DB)));
  }, METER_MS);
  return {
    stop() {
      clearInterval(timer);
      context.close();
    },
  };
}
