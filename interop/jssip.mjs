// JsSIP, the SIP stack of browsers, in Node: driven by JSON lines. Its WebSocket is that of the package ws, its media are none.
//
// Commands: {"do": "start", "url", "uri", "ca"?, "origin"?, "password"?, "register"?}, {"do": "message", "token", "to", "body"},
// {"do": "call", "token", "to"}, {"do": "answer"} and {"do": "hangup"} for the last call, {"do": "stop"}.
// Events: connected; disconnected {code, reason}; registered, unregistered {code}; message {from, body, type}; answer {token, code};
// incoming {from}; confirmed, ended {by, cause} of a call.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");

let options = {};
const { WebSocket } = require("ws");
globalThis.window = globalThis;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, options);
  }
};

// As much of WebRTC as an offer takes that nobody will ever answer with media.
const offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 192.0.2.9\r\n" +
  "a=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\n" +
  "a=fingerprint:sha-256 " + Array(32).fill("00").join(":") + "\r\n";
// And as much as an answer takes: to the first of what is offered, by PCMU.
const answer = (theirs) => offer.replace("actpass", "active") + "a=mid:" + (/^a=mid:(\S+)/m.exec(theirs)?.[1] ?? "0") + "\r\n";
globalThis.RTCPeerConnection = class extends EventTarget {
  iceGatheringState = "complete";
  iceConnectionState = "new";
  signalingState = "stable";
  localDescription = null;
  async createOffer() {
    return { type: "offer", sdp: offer };
  }
  async createAnswer() {
    return { type: "answer", sdp: answer(this.remoteDescription.sdp) };
  }
  async setLocalDescription(description) {
    this.localDescription = description;
  }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
  }
  addTrack() {}
  getSenders() {
    return [];
  }
  close() {
    this.signalingState = "closed";
  }
};
globalThis.RTCSessionDescription = class {
  constructor(init) {
    Object.assign(this, init);
  }
};

const JsSIP = require("jssip");
let ua = null;
let session = null;

const commands = {
  start({ url, uri, ca, origin, password, register }) {
    options = { ca: ca && readFileSync(ca), origin };
    ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri,
      password,
      register: Boolean(register),
      session_timers: false,
      connection_recovery_min_interval: 1,
    });
    ua.on("connected", () => say("connected"));
    ua.on("disconnected", ({ code, reason }) => say("disconnected", { code: code ?? 0, reason: String(reason ?? "") }));
    ua.on("registered", () => say("registered"));
    ua.on("registrationFailed", ({ response }) => say("unregistered", { code: response?.status_code ?? 0 }));
    ua.on("newMessage", ({ originator, request }) => {
      if (originator !== "remote") return;
      say("message", { from: request.from.uri.toString(), body: request.body ?? "", type: request.getHeader("Content-Type") ?? "" });
    });
    ua.on("newRTCSession", ({ originator, request, session: fresh }) => {
      session = fresh;
      session.on("confirmed", () => say("confirmed"));
      const ended = ({ originator, cause }) => say("ended", { by: originator, cause });
      session.on("ended", ended);
      session.on("failed", ended);
      if (originator === "remote") say("incoming", { from: request.from.uri.toString() });
    });
    ua.start();
  },
  answer() {
    session.answer({ mediaConstraints: { audio: false, video: false } });
  },
  hangup() {
    session.terminate();
  },
  message({ token, to, body }) {
    const answer = ({ response }) => say("answer", { token, code: response?.status_code ?? 0 });
    ua.sendMessage(to, body, { contentType: "text/plain", eventHandlers: { succeeded: answer, failed: answer } });
  },
  call({ token, to }) {
    const eventHandlers = {
      failed: ({ message }) => say("answer", { token, code: message?.status_code ?? 0 }),
      accepted: ({ response }) => say("answer", { token, code: response?.status_code ?? 0 }),
    };
    ua.call(to, { eventHandlers, mediaConstraints: { audio: false, video: false } });
  },
  stop() {
    ua.stop();
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  try {
    const { do: name, ...fields } = JSON.parse(line);
    commands[name](fields);
  } catch (error) {
    say("problem", { what: String(error?.stack ?? error) });
  }
}).on("close", () => process.exit(0));
