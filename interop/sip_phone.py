#!/usr/bin/python3
"""A SIP endpoint that a test drives: plain sockets behind JSON lines on stdin and stdout.

It stands where sipp cannot: every byte that goes out is chosen by the test, every byte that comes in is reported, and
what RFC 3261 has against it is listed (sip_grammar.py). Retransmissions (timers E and F of §17.1.2, the answers of a
server transaction) are its own.

Each line on stdin is one command, an object with the key "do"; each line on stdout is one event, an object with the
key "event". Bodies travel as "body" (text) or "body_hex". The end of stdin ends the phone.

Commands
    listen     host, port                 UDP and TCP on the same port -> "listening"
    answer     code, reason, headers, delay (s), times, method: for the next `times` requests, or, without it, for all
               that have no other; with a method for such requests alone; code 0 stays silent -> "noted". A 2xx repeats
               Record-Route, and one to a SUBSCRIBE has our Contact and the Expires that was asked for
    request    method, uri, headers [[name, value]], body, host, port, transport, token: our own headers (Via, From,
               To, Call-ID, CSeq, Max-Forwards, Content-Type, Content-Length) are added where the test gave none
               auth [user, password]: a 401 is answered once with these (RFC 8760), and not told
               -> "response" for each response, "timeout" after 64*T1
    raw        bytes_hex, host, port, transport -> nothing; what comes back is "stray"
    hang_up    closes every TCP connection
Events
    listening  noted  request (`tag` is the one that we add to its To, if it has none)
    again (a retransmission, answered as before)  response  timeout  stray  closed  problem
"""

import asyncio
import hashlib
import re

from sip_grammar import COMPACT, Message
from sip_wire import T1, T2, Wire, body_of, describe, emit, fresh


HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def credentials(challenge, method, uri, user, password):
    """The Authorization that a WWW-Authenticate asks for (RFC 7616 §3.4), or None if we cannot."""
    params = {
        name.lower(): quoted or plain
        for name, quoted, plain in re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', challenge)
    }
    algorithm = params.get("algorithm", "MD5")
    if algorithm.upper() not in HASHES or not challenge.lower().startswith("digest "):
        return None

    def digest(*parts):
        return hashlib.new(HASHES[algorithm.upper()], ":".join(parts).encode("utf-8")).hexdigest()

    cnonce, count = fresh(), "00000001"
    secret, what = digest(user, params["realm"], password), digest(method, uri)
    answer = digest(secret, params["nonce"], count, cnonce, "auth", what)
    return (
        f'Digest username="{user}", realm="{params["realm"]}", nonce="{params["nonce"]}", uri="{uri}", '
        f'response="{answer}", algorithm={algorithm}, qop=auth, nc={count}, cnonce="{cnonce}"'
    )


class Phone(Wire):
    """What was asked of the sockets and what they still owe an answer."""

    def __init__(self):
        super().__init__()
        self.defaults = {None: {"code": 200}}  # by method; None is for all that have no other
        self.queued = []
        self.answered = {}  # transaction -> the answer's bytes, or None while there is none
        self.asked = {}  # (branch, method) -> our request, what waits for its answer

    # What comes in

    def came(self, data, source, transport):
        """One message."""
        if not data.strip(b"\r\n\0"):
            return
        message = Message(data, transport)
        if message.method:
            self.later(self.serve(message, source, transport))
            return
        key = (message.branch()[0], message.get("cseq").split(" ")[-1])
        waiting = self.asked.get(key)
        if waiting is None:
            emit("stray", **describe(message, source, transport))
            return
        token, request, done, order = waiting
        message.check_answers(request)
        if message.code == 401 and "auth" in order:
            # In the server's order, the best first.
            offers = (credentials(c, order["method"], order["uri"], *order["auth"]) for c in message.all("www-authenticate"))
            answer = next((offer for offer in offers if offer), None)
            if answer:
                done.set()
                del self.asked[key]
                headers = [h for h in order.get("headers", []) if h[0].lower() not in ("via", "cseq", "authorization")]
                kept = {name.lower() for name, _ in headers}
                same = [(name, request.get(name.lower())) for name in ("From", "To", "Call-ID") if name.lower() not in kept]
                number = int(request.get("cseq").split(" ")[0]) + 1
                more = [("CSeq", f"{number} {order['method']}"), ("Authorization", answer)]
                again = {name: value for name, value in order.items() if name != "auth"}
                self.later(self.request({**again, "headers": headers + same + more}))
                return
        emit("response", token=token, **describe(message, source, transport))
        if message.code >= 200:
            done.set()
            # Timer K of 0 on purpose: a second final response is then seen as a stray.
            del self.asked[key]

    async def serve(self, message, source, transport):
        """A server transaction: the same request gets the same answer."""
        key = (*message.branch(), message.method)
        if key in self.answered:
            emit("again", call_id=message.get("call-id"), branch=key[0])
            if self.answered[key] is not None:
                await self.send(self.answered[key], source, transport)
            return
        self.answered[key] = None
        rule = self.rule(message.method)
        tag = fresh()
        emit("request", tag=tag, **describe(message, source, transport))
        if rule["code"] == 0 or message.method == "ACK":
            return
        await asyncio.sleep(rule.get("delay", 0))
        answer = self.answer(message, rule, source, tag)
        self.answered[key] = answer
        await self.send(answer, source, transport)

    def rule(self, method):
        """How a request with this method is answered."""
        for rule in self.queued:
            if rule.get("method") in (None, method):
                rule["times"] -= 1
                if rule["times"] == 0:
                    self.queued.remove(rule)
                return rule
        return self.defaults.get(method) or self.defaults[None]

    def answer(self, message, rule, source, tag):
        """The bytes of a response (§8.2.6.2, RFC 3581 §4)."""
        code = rule["code"]
        lines = [f"SIP/2.0 {code} {rule.get('reason', 'As Ordered')}"]
        for number, via in enumerate(message.all("via")):
            if number == 0:
                via = re.sub(r";rport(?=;|,|\Z)", f";received={source[0]};rport={source[1]}", via, count=1)
            lines.append(f"Via: {via}")
        to = message.get("to")
        if ";tag=" not in to and code > 100:
            to += f";tag={tag}"
        lines += [f"From: {message.get('from')}", f"To: {to}", f"Call-ID: {message.get('call-id')}"]
        lines.append(f"CSeq: {message.get('cseq')}")
        headers = [(name, value) for name, value in rule.get("headers", [])]
        given = {name.lower() for name, _ in headers}
        if 200 <= code < 300:
            # §12.1.1, RFC 6665 §4.2.1.1: what a dialog is made of.
            lines += [f"Record-Route: {value}" for value in message.all("record-route")]
            if message.method == "SUBSCRIBE":
                user = re.match(r"sips?:([^@;]*)@", message.uri)
                ours = [
                    ("Contact", f"<sip:{user[1] + '@' if user else ''}{self.at()}>"),
                    ("Expires", message.get("expires") or "3600"),
                ]
                headers += [(name, value) for name, value in ours if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append("Content-Length: 0")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    # What goes out

    def build(self, order):
        """The bytes of a request: what the test gave, and ours where it gave nothing."""
        method, uri, body = order["method"], order["uri"], body_of(order)
        headers = [(name, value) for name, value in order.get("headers", [])]
        given = {COMPACT.get(name.lower(), name.lower()) for name, _ in headers}
        transport = order.get("transport", "udp").upper()
        ours = [
            ("Via", f"SIP/2.0/{transport} {self.at()};branch=z9hG4bK{fresh()};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:romeo@example.net>;tag={fresh()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", fresh()),
            ("CSeq", f"1 {method}"),
        ]
        if body:
            ours.append(("Content-Type", "text/plain"))
        # Via comes first, as a proxy likes it; then what the test gave, in its order.
        headers = [h for h in ours if h[0].lower() not in given] + headers
        if "content-length" not in given:
            headers.append(("Content-Length", str(len(body))))
        head = [f"{method} {uri} SIP/2.0"] + [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(head) + "\r\n\r\n").encode("utf-8") + body

    async def request(self, order):
        """A client transaction other than INVITE (§17.1.2)."""
        data, transport = self.build(order), order.get("transport", "udp")
        peer = (order["host"], order["port"])
        request = Message(data, transport)
        done = asyncio.Event()
        self.asked[(request.branch()[0], request.method)] = (order["token"], request, done, order)
        wait, passed = T1, 0.0
        try:
            await self.send(data, peer, transport)
            while passed < 64 * T1:
                step = min(wait, 64 * T1 - passed) if transport == "udp" else 64 * T1
                try:
                    return await asyncio.wait_for(done.wait(), step)
                except asyncio.TimeoutError:
                    passed, wait = passed + step, min(wait * 2, T2)
                if transport == "udp" and passed < 64 * T1:
                    await self.send(data, peer, transport)
            why = "timeout"
        except OSError as problem:
            why = repr(problem)
        self.asked.pop((request.branch()[0], request.method), None)
        emit("timeout", token=order["token"], why=why)

    async def obey(self, order):
        """One command."""
        what = order["do"]
        if what == "listen":
            await self.bind(order["host"], order["port"])
            emit("listening", host=self.host, port=self.port)
        elif what == "answer":
            rule = {key: value for key, value in order.items() if key != "do"}
            if "times" in rule:
                self.queued.append(rule)
            else:
                self.defaults[rule.get("method")] = rule
            emit("noted")
        elif what == "request":
            self.later(self.request(order))
        elif what == "raw":
            data = bytes.fromhex(order["bytes_hex"])
            await self.send(data, (order["host"], order["port"]), order.get("transport", "udp"))
        elif what == "hang_up":
            for writer in self.streams.values():
                writer.close()
        else:
            raise ValueError(f"no such command: {what}")


if __name__ == "__main__":
    asyncio.run(Phone().run())
