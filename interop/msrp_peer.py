#!/usr/bin/python3
"""A SIP user agent with MSRP that a test drives: JSON lines in, JSON lines out. It calls and is called, sits in chat rooms
and keeps some. It is written from the RFCs alone (3261, 3262, 3264, 3311, 3515, 3862, 3994, 4488, 4575, 4579, 4975, 4976,
5438, 6135, 6665, 7701, 8122, 8866) and from nothing of the gateway, so that one reading of them does not test itself.

It is strict: whatever the other side does against those RFCs is an event "fault", and a fault fails the test. What it does
itself is right unless a command says otherwise.

Each line on stdin is one command, an object with the key "do"; each line on stdout is one event, an object with the key
"event". Calls have names, "s": the test names those that it begins, those that come in are "i1", "i2", ... The end of
stdin ends it. `--self-test` lets two of them talk to each other.

Commands
    listen     host, port, msrp_port, tls_port (None: no TLS), trust (PEM file: clients must show a certificate of it), user,
               domain, folder (for its own certificate) -> "listening"
    policy     how INVITEs are answered from now on: code (200; 0 waits for commands), reason, headers, ring (send 180), delay
               (s), reoffer (false: re-INVITE and UPDATE wait for "answer"), and OPTIONS below; with a method (MESSAGE, ...):
               how requests outside of dialogs with this method are (REFER: outcome is the code in its NOTIFY) -> "noted"
    register   host, port, expires: at a registrar -> "response"
    invite     s, uri, host, port, transport, from, to, call_id, headers [[name, value]], no_offer, ack (s of delay, or false:
               never), contact or gr, lazy (do not connect before there is something to say), hush (connect and say nothing),
               relay (name), and OPTIONS: setup (active, passive, actpass; None: no such attribute), accept, wrapped, max_size,
               tls, direction, path, path_host, fingerprint, attributes [text], share (false: a connection of its own),
               sdp (the whole, with @PATH@), chatroom (the value of a=chatroom: it is a room, accept and wrapped are a participant's)
    ring       s, code (180), reason, headers, reliable, sdp (true: the answer is in it)
    accept     s, headers, silent (the 200 is lost), and OPTIONS     refuse  s, code, reason, headers
    ack        s (one that was held back)                            cancel  s, headers
    bye        s, headers                                            forget  s (the call is over without a word)
    offer      s, method (INVITE or UPDATE), headers, empty, and OPTIONS       answer  s, code, reason, headers
    send       s, text, body_hex or size (that many bytes); type, cpim (true, or {from, to, headers, mime, type}), imdn (list
               of what is asked for), message_id, success, failure, headers, chunk (bytes), whole (one chunk), ranges [[start,
               end, flag]], star, total, abort_after, break_after (bytes; the connection breaks there), tid -> "sent"
    weave      s, messages [as send]: a chunk of each in turn
    composing  s, state, refresh, cpim               imdn     s, about, notification, status, message_id
    empty      s (a SEND without a body)             report   s, message_id, start, end, total, code, comment
    answering  s (or all), rules [{code (0: none), delay, times, comment, report (its code; 0: none)}]: how SENDs are answered
    pause / resume   s or on: stops reading from the connection
    break      s or on: cuts the connection          path     s -> "path" (ours and theirs)
    open       on (a name), s (whose hop) or uri: a connection by hand; what comes on it is "frame"
    raw        s or on, text or bytes_hex            hijack   on, s, ours, theirs, text: a SEND of s's there, with other paths
    relay      name, uri, user, password: AUTH at a relay -> "relayed"
    subscribe  s, expires, within (in the call's dialog), about (the URI; else the focus' Contact), headers: to the room of a call; 0 ends it -> "response", "roster"
    nickname   s, nick, or value (as it is)     -> "nicknamed"
    say        s, text, and as send: to all in the room         whisper   s, to (nickname or address), text, and as send
    refer      s, to, sub (false: without a subscription), headers; with uri, host, port, from outside of dialogs
    await      s, roster [names], heard (how many), subject, token -> "awaited" as soon as all of that holds    look  s -> "look"
    room       room (its name), user, domain, out [host, port] or {domain: [host, port]}, subject, title, nicknames, private, wrapped,
               entities ("aor"; "nick": the room's address with the nickname), version (the first), every (s between NOTIFYs), full,
               lose (so many NOTIFYs), refuse {code, reason, headers}, most, reserved [nicknames], refer (false), refer_once,
               norefersub: a room with its focus, or other settings of one -> "noted"
    kick       room, who, reason, ban           dial      room, to          topic     room, subject         destroy   room
    room_await room, roster [names], spoken (how many), token -> "awaited"  room_look room -> "room"
    allow      fault: what contains this text is no fault from now on          faults -> "faults" (how many there were)
    sip        method, s, headers, body, content_type: any request in the dialog
    raw_sip    bytes_hex, host, port, transport
Events
    listening noted invited progress established confirmed forked failed ended cancelled offered pracked response request again
    orphan timeout; bound message composing imdn empty aborted refused sent answered report late lost frame hung_up relayed path
    faults fault closed problem; roster (what a subscriber knows) nicknamed referred progressed (of a REFER) look awaited; of a
    room: asked joined left named conflict whispered watched unwatched expired swallowed referral dialling room
"""

import asyncio
import os
import sys
import tempfile

from im_bodies import imdn_headers, write_composing, write_cpim, write_imdn
from msrp_grammar import Uri, build
from msrp_session import Hub, Relay, make_certificate, secret
from sdp_grammar import Media, compose, own_uri
from msrp_room import Focus
from participant import IN_A_ROOM
from sip_call import Call
from sip_dialog import ALLOW, ALLOW_EVENTS, uri_of
from sip_wire import describe, emit, fresh

OPTIONS = (
    "setup", "accept", "wrapped", "max_size", "tls", "direction", "path", "path_host", "fingerprint", "attributes", "share", "sdp",
    "lazy", "hush", "ack", "relay", "reoffer", "chatroom",
)  # fmt: skip
# What we take unless a test says otherwise.
TAKEN = "message/cpim text/plain application/im-iscomposing+xml message/imdn+xml"


def options_of(order, before=None):
    """The options in a command, over those that there were."""
    out = dict(before or (IN_A_ROOM if order.get("chatroom") is not None else {"accept": TAKEN}))
    out.update({name: order[name] for name in OPTIONS if name in order})
    return out


class Peer(Focus):
    """The driver: commands, and what becomes of the sessions in SDP."""

    def __init__(self):
        super().__init__()
        self.hub = Hub(self.fault, self.later, self)
        self.policies = {None: {"code": 200}}
        self.allowed, self.count_faults = [], 0
        self.sessions, self.relays = {}, {}  # by call's name; by relay's

    def fault(self, what, name=None, raw=None):
        if any(text in what for text in self.allowed):
            return
        self.count_faults += 1
        if isinstance(raw, (bytes, bytearray)):
            raw = bytes(raw[:4096]).decode("utf-8", errors="replace")
        emit("fault", what=what, s=name, raw=raw)

    def later(self, work):
        task = super().later(work)
        task.add_done_callback(self.look)
        return task

    @staticmethod
    def look(task):
        """A task that failed is our own mistake."""
        if not task.cancelled() and task.exception() is not None:
            emit("problem", what=repr(task.exception()))

    async def run(self):
        def failed(_, context):
            emit("problem", what=repr(context.get("exception") or context["message"]))

        asyncio.get_running_loop().set_exception_handler(failed)
        await super().run()

    # SDP and sessions

    def media_of(self, call, options):
        """The MSRP session of a call, made when it is first needed."""
        if call.name not in self.sessions:
            session = self.sessions[call.name] = self.hub.session(call.name, options)
            session.relay = self.relays.get(options.get("relay"))
        return self.sessions[call.name]

    def compose(self, call, origin, options, answers):
        options = dict(options)
        lines = answers.media if answers is not None else [Media("message 1 TCP/MSRP *", None)]
        ours = next((n for n, m in enumerate(lines) if m.kind == "message" and m.port != "0"), None)
        if answers is None:
            options.setdefault("setup", "actpass")
        elif ours is not None:
            asked = lines[ours].get("setup") or "active"
            default = {"passive": "active"}.get(asked, "passive")
            if options.get("setup") not in ("active", "passive") or asked != "actpass":
                options["setup"] = default if "setup" not in options or options["setup"] else None
            options["tls"] = lines[ours].protocol == "TCP/TLS/MSRP"
        session = self.media_of(call, options)
        session.options.update(options)
        call.options.setdefault("accept", options["accept"])
        if self.hub.certificate:
            options.setdefault("fingerprint", self.hub.certificate[2])
        if session.relay is not None:
            options["relays"] = [str(uri) for uri in reversed(session.relay.path)]
        text = compose(session.ours, origin, options)
        if answers is None or len(lines) == 1:
            return text
        # Every other line is answered, closed, in its place.
        head, m, own = text.decode().partition("m=message")
        closed = [f"m={m.kind} 0 {m.protocol} {' '.join(m.formats)}\r\n" for m in lines]
        closed[ours if ours is not None else 0] = m + own
        return (head + "".join(closed)).encode("utf-8")

    def agreed(self, call):
        if call.said is None or call.read is None or call.state == "over":
            return
        media = next((m for m in call.read.media if m.kind == "message" and m.port != "0"), None)
        session = self.sessions.get(call.name)
        if media is None or session is None or not media.path():
            return
        ours = next((m for m in call.said.media if m.kind == "message"), None)
        active = self.active(ours, media, call)
        connected = session.connection is not None
        session.agreed(media, call.read, active)
        call.handed.set()
        if active and session.relay is None and not connected and not call.options.get("lazy"):
            self.later(self.connect(session, not call.options.get("hush")))
        elif active and session.relay is not None and not connected and not call.options.get("hush"):
            self.later(session.send({"empty": True}))

    def active(self, ours, theirs, call):
        """Who connects (RFC 4975 §5.4, RFC 4145 §4)."""
        if "active" in (ours.get("setup"), theirs.get("setup")):
            return ours.get("setup") == "active"
        if "passive" in (ours.get("setup"), theirs.get("setup")):
            return theirs.get("setup") == "passive"
        return call.ours_first

    async def connect(self, session, say_something):
        """As the active endpoint."""
        try:
            await session.connect(say_something)
        except OSError as problem:
            emit("lost", s=session.name, ours=False, why=repr(problem))
            self.fault(f"cannot connect to {session.theirs[0]}: {problem!r}", session.name)

    def released(self, call):
        super().released(call)
        if call.name in self.sessions:
            self.hub.leave(self.sessions[call.name])

    # INVITEs that come in

    def invited(self, call, served):
        if self.room_of(served.request.uri) is not None:
            super().invited(call, served)
            return
        policy = self.policies[None]
        call.options = options_of(policy)
        self.place(call, policy)
        emit("invited", s=call.name, sdp=call.sdp_text(), **describe(served.request, served.source, served.transport))
        self.later(self.decide(call, policy))

    async def decide(self, call, policy):
        """What the policy says about it."""
        if policy.get("delay") or not policy.get("code"):
            call.invite.reply(100, "Trying")
        if policy.get("ring"):
            call.ring(180, "Ringing")
        await asyncio.sleep(policy.get("delay", 0))
        if call.state == "over" or call.invite.code >= 200 or not policy.get("code"):
            return
        headers = [tuple(header) for header in policy.get("headers", [])]
        if policy["code"] >= 300:
            call.refuse(policy["code"], policy.get("reason", "As Ordered"), headers)
            return
        media = call.read.media if call.read else None
        if media is not None and not any(m.kind == "message" and m.port != "0" for m in media):
            call.refuse(488, "Not Acceptable Here", [("Warning", f'304 {self.at()} "No MSRP"')])
            return
        call.accept(headers)

    def other(self, served):
        room = self.room_of(served.request.uri)
        if room is not None and served.request.method == "OPTIONS":
            # RFC 4579 §4.3.
            served.reply(200, "OK", [("Contact", room.contact(served.transport)), ("Allow", ALLOW), ("Allow-Events", ALLOW_EVENTS)])
            return
        policy = self.policies.get(served.request.method, {"code": 200})
        headers = [tuple(header) for header in policy.get("headers", [])]
        if policy["code"]:
            served.reply(policy["code"], policy.get("reason", "As Ordered"), headers)

    # Commands

    async def obey(self, order):
        command = getattr(self, "do_" + order["do"], None)
        if command is None:
            raise ValueError(f"no such command: {order['do']}")
        await command(order)

    def call(self, order):
        """The call that a command names."""
        return self.calls[order["s"]]

    def connection(self, order):
        """The connection that a command names."""
        if "on" in order:
            return self.hub.named[order["on"]]
        return self.sessions[order["s"]].connection

    async def do_listen(self, order):
        self.user, self.domain = order.get("user", self.user), order.get("domain", self.domain)
        await self.bind(order["host"], order["port"])
        certificate = None
        if order.get("tls_port") is not None:
            certificate = make_certificate(order.get("folder") or tempfile.mkdtemp())
        tls_port = order.get("tls_port")
        await self.hub.listen(order["host"], order.get("msrp_port", 0), tls_port, certificate, order.get("trust"))
        emit("listening", host=self.host, port=self.port, msrp=self.hub.port, msrps=self.hub.tls_port,
             fingerprint=certificate and certificate[2], certificate=certificate and certificate[1])  # fmt: skip

    async def do_policy(self, order):
        self.policies[order.get("method")] = order
        emit("noted")

    async def do_register(self, order):
        call = Call(self, None, secret(), None, None)
        call.local, call.remote = f"<sip:{self.user}@{self.domain}>;tag={fresh()}", f"<sip:{self.user}@{self.domain}>"
        call.target, call.peer = f"sip:{self.domain}", (order["host"], order["port"])
        contact = ("Contact", f"<sip:{self.user}@{self.at()}>;expires={order.get('expires', 300)}")
        call.ask("REGISTER", [contact])

    async def do_invite(self, order):
        self.calls[order["s"]] = call = Call(self, order["s"], order.get("call_id", secret()), None, None)
        call.local = f"{order.get('from', f'<sip:{self.user}@{self.domain}>')};tag={fresh()}"
        call.remote = order.get("to", f"<{order['uri']}>")
        call.target, call.peer = order["uri"], (order["host"], order["port"])
        call.transport = order.get("transport", "udp")
        call.route = order.get("route", [])
        call.options = options_of(order)
        self.place(call, order)
        call.start(order)

    async def do_ring(self, order):
        headers = [tuple(header) for header in order.get("headers", [])]
        code = order.get("code", 180)
        self.call(order).ring(code, order.get("reason", "Ringing"), headers, order.get("reliable"), order.get("sdp"))

    async def do_accept(self, order):
        call = self.call(order)
        call.options = options_of(order, call.options)
        call.accept([tuple(header) for header in order.get("headers", [])], order.get("silent"))

    async def do_refuse(self, order):
        headers = [tuple(header) for header in order.get("headers", [])]
        self.call(order).refuse(order["code"], order.get("reason", "As Ordered"), headers)

    async def do_ack(self, order):
        call = self.call(order)
        call.options["ack"] = 0
        await call.acknowledge(b"")

    async def do_cancel(self, order):
        self.call(order).cancel([tuple(header) for header in order.get("headers", [])])

    async def do_bye(self, order):
        self.call(order).bye([tuple(header) for header in order.get("headers", [])])

    async def do_forget(self, order):
        self.call(order).over("ended", by="us")

    async def do_offer(self, order):
        headers = [tuple(header) for header in order.get("headers", [])]
        changed = {name: order[name] for name in OPTIONS if name in order}
        self.call(order).offer(order.get("method", "INVITE"), headers, changed, order.get("empty"))

    async def do_answer(self, order):
        headers = [tuple(header) for header in order.get("headers", [])]
        self.call(order).answer(order["code"], order.get("reason", "As Ordered"), headers)

    async def do_sip(self, order):
        headers = [tuple(header) for header in order.get("headers", [])]
        self.call(order).ask(order["method"], headers, order.get("body", "").encode("utf-8"))

    async def do_raw_sip(self, order):
        await self.send(bytes.fromhex(order["bytes_hex"]), (order["host"], order["port"]), order.get("transport", "udp"))

    # MSRP

    def message(self, call, order):
        """What `send` orders, with its bytes."""
        if "size" in order:
            line = f"{fresh()} and so on, line after line, to the last byte.\r\n".encode()
            data = (line * (order["size"] // len(line) + 1))[: order["size"]]
        elif "body_hex" in order:
            data = bytes.fromhex(order["body_hex"])
        else:
            data = order.get("text", "").encode("utf-8")
        out = dict(order, message_id=order.get("message_id") or secret())
        if order.get("cpim") or order.get("imdn"):
            cpim = order.get("cpim")
            data = self.wrap(call, cpim if isinstance(cpim, dict) else {}, order, data, out["message_id"])
            out["type"] = "message/cpim"
        out["data"] = data
        return out

    def wrap(self, call, cpim, order, data, message_id):
        """`data` as the content of a CPIM message."""
        sender, recipient = (f"<{uri_of(address)}>" for address in (call.local, call.remote))
        headers = imdn_headers(message_id, order["imdn"]) if order.get("imdn") else []
        headers += [tuple(header) for header in cpim.get("headers", [])]
        kind = cpim.get("type") or order.get("type", "text/plain;charset=utf-8")
        mime = [tuple(header) for header in cpim.get("mime", [])]
        return write_cpim(cpim.get("from", sender), cpim.get("to", recipient), kind, data, headers, mime)

    async def bring(self, call):
        """The session of a call, connected if it is for us to connect."""
        await asyncio.wait_for(call.handed.wait(), 30)
        session = self.sessions[call.name]
        if session.active and session.connection is None and session.relay is None:
            await self.connect(session, False)
        return session

    async def do_send(self, order):
        self.later(self.send_one(order))

    async def send_one(self, order):
        """One message, beside other commands."""
        call = self.call(order)
        message = self.message(call, order)
        await (await self.bring(call)).send(message)

    async def do_weave(self, order):
        call = self.call(order)
        messages = [self.message(call, message) for message in order["messages"]]
        self.later((await self.bring(call)).send_woven(messages))

    async def do_composing(self, order):
        data = write_composing(order["state"], order.get("refresh")).hex()
        kind = "application/im-iscomposing+xml"
        await self.do_send({"s": order["s"], "body_hex": data, "type": kind, "cpim": order.get("cpim")})

    async def do_imdn(self, order):
        call = self.call(order)
        data = write_imdn(order["about"], uri_of(call.local), order["notification"], order["status"]).hex()
        cpim = {"headers": imdn_headers(order.get("message_id") or secret()), "mime": [["Content-Disposition", "notification"]]}
        await self.do_send({"s": order["s"], "body_hex": data, "type": "message/imdn+xml", "cpim": cpim})

    async def do_empty(self, order):
        await (await self.bring(self.call(order))).send({"empty": True})

    async def do_report(self, order):
        session = self.sessions[order["s"]]
        session.report(order["message_id"], order.get("start", 1), order["end"], order.get("total", order["end"]),
                       order.get("code", 200), order.get("comment", "OK"))  # fmt: skip

    async def do_answering(self, order):
        self.hub.rules[order.get("s")] = order["rules"]
        emit("noted")

    async def do_pause(self, order):
        self.connection(order).reading.clear()

    async def do_resume(self, order):
        self.connection(order).reading.set()

    async def do_break(self, order):
        connection = self.connection(order)
        connection.ours_to_close = True
        connection.writer.transport.abort()

    async def do_path(self, order):
        session = self.sessions[order["s"]]
        emit("path", s=order["s"], ours=str(session.ours), theirs=[str(uri) for uri in session.theirs])

    async def do_open(self, order):
        uri = Uri(order["uri"]) if "uri" in order else self.sessions[order["s"]].theirs[0]
        await self.hub.connect(uri.hop(), share=False, name=order["on"])
        emit("noted")

    async def do_raw(self, order):
        connection = self.connection(order)
        connection.write(bytes.fromhex(order["bytes_hex"]) if "bytes_hex" in order else order["text"].encode("utf-8"))
        await self.hub.drain(connection)

    async def do_hijack(self, order):
        session, tid = self.sessions[order["s"]], secret()
        data = order.get("text", "stolen").encode("utf-8")
        theirs = order.get("theirs") or " ".join(str(uri) for uri in session.theirs)
        headers = [("To-Path", theirs), ("From-Path", order.get("ours") or str(session.ours)), ("Message-ID", secret())]
        headers += [("Byte-Range", f"1-{len(data)}/{len(data)}"), ("Content-Type", "text/plain")]
        self.hub.named[order["on"]].write(build("SEND", headers, data, "$", tid))

    async def do_relay(self, order):
        relay = self.relays[order["name"]] = Relay(self.hub, order["uri"])
        scheme = relay.uri.scheme
        port = self.hub.tls_port if scheme == "msrps" else self.hub.port
        ours = own_uri(scheme, self.hub.host, port, secret())
        answer = await relay.join(ours, order["user"], order["password"])
        emit("relayed", name=order["name"], code=answer.code, path=[str(uri) for uri in relay.path],
             expires=answer.get("Expires"))  # fmt: skip

    async def do_allow(self, order):
        self.allowed.append(order["fault"])
        emit("noted")

    async def do_faults(self, _):
        emit("faults", count=self.count_faults)


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        os.execv(sys.executable, [sys.executable, "-u", os.path.join(os.path.dirname(os.path.abspath(__file__)), "msrp_self_test.py")])
    asyncio.run(Peer().run())
