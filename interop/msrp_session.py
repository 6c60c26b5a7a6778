"""MSRP sessions and the connections under them, as RFC 4975 wants them of both sides.

Everything that the other side does is held against the RFC: what one frame has against it (msrp_grammar.py), and what
only a session can know: paths, transactions, chunks that add up, reports that were asked for, connections.
"""

import asyncio
import hashlib
import os
import re
import socket
import ssl
import subprocess

from im_bodies import Cpim, check_text, read_composing, read_imdn
from msrp_grammar import Cutter, Uri, build, quoted
from sdp_grammar import own_uri
from sip_wire import emit

# §7.1.1: how long a sender waits for a response; how long we wait where the RFC says "immediately".
PATIENCE, AT_ONCE = 30.0, 5.0
# How much later than what was sent after it something may come on another connection.
CROSSING = 2.0
CHUNK = 2048


def secret(bits=128):
    """A token of so many bits."""
    return os.urandom(bits // 8).hex()


def make_certificate(folder):
    """A certificate of our own, and its fingerprint as SDP has it (RFC 8122 §5)."""
    key, certificate = os.path.join(folder, "peer.key"), os.path.join(folder, "peer.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=msrp-peer", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    with open(certificate, encoding="ascii") as file:
        return key, certificate, fingerprint(ssl.PEM_cert_to_DER_cert(file.read()))


def fingerprint(der, name="sha-256"):
    """The fingerprint of a certificate."""
    digest = hashlib.new(name.replace("-", ""), der).hexdigest().upper()
    return f"{name} " + ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def accepts(formats, content_type):
    """Whether a list of accept-types takes a media type."""
    for entry in (formats or "").split(" "):
        entry = entry.split(";")[0].lower()
        if entry in ("*", content_type) or entry.endswith("/*") and content_type.startswith(entry[:-1]):
            return True
    return False


class Incoming:
    """A message that is coming in."""

    def __init__(self, frame):
        self.data = bytearray()
        self.chunks = 0
        self.first = frame
        self.done = False
        self.refused = None  # when we told the sender to stop

    def fingerprint(self, frame):
        """What all chunks of a message share."""
        return (frame.get("Content-Type"), frame.get("Success-Report", "no"), frame.get("Failure-Report", "yes"))


class Outgoing:
    """A message of ours."""

    def __init__(self, size, success, failure):
        self.size, self.success, self.failure = size, success, failure
        self.stopped = False  # an error came back
        self.written = 0
        self.reported = set()


class Connection:
    """One TCP or TLS connection."""

    def __init__(self, hub, reader, writer, hop, name=None):
        self.hub, self.reader, self.writer = hub, reader, writer
        self.hop = hop  # where we connected to, or None
        self.name = name  # a connection that the test drives by hand
        self.sessions = set()
        self.transactions = {}  # our transaction id -> (session or None, Outgoing or None, the request's paths, its rule)
        self.reading = asyncio.Event()
        self.reading.set()
        self.heard = False
        self.ours_to_close = False
        self.certificate = None
        if (tls := writer.get_extra_info("ssl_object")) is not None:
            self.certificate = tls.getpeercert(binary_form=True)

    async def run(self):
        """Reads until it ends."""
        cutter = Cutter()
        try:
            while True:
                await self.reading.wait()
                data = await self.reader.read(65536)
                if not data:
                    break
                for frame in cutter.push(data):
                    if isinstance(frame, str):
                        self.hub.fault(frame, None)
                        self.writer.transport.abort()
                        break
                    self.heard = True
                    self.hub.came(self, frame)
        except (OSError, ssl.SSLError):
            pass
        self.hub.lost(self)

    def write(self, data):
        """Bytes out, if it is still there."""
        if not self.writer.is_closing():
            self.writer.write(data)

    def close(self):
        """Our own end of it."""
        self.ours_to_close = True
        self.writer.close()

    def fits(self, session):
        """Whether the certificate at its other end is the one that the session's SDP names (§14.4)."""
        if session.theirs[0].scheme != "msrps" or not session.fingerprints or self.certificate is None:
            return True
        return any(fingerprint(self.certificate, f.split(" ")[0].lower()).lower() == f.lower() for f in session.fingerprints)


class Session:
    """One MSRP session of ours."""

    def __init__(self, hub, name, ours):
        self.hub, self.name, self.ours = hub, name, ours
        self.relay = None  # the relay that we are behind
        self.theirs = []
        self.options = {}  # what our SDP said
        self.accept, self.wrapped, self.max_size, self.fingerprints = "*", "", None, []
        self.active = False
        self.connection = None
        self.incoming, self.sent = {}, {}
        self.ended = False
        self.lock, self.connecting = asyncio.Lock(), asyncio.Lock()
        self.bound = asyncio.Event()

    def agreed(self, media, everywhere, active):
        """The other side's m= line is there."""
        moved = self.theirs and self.theirs != media.path()
        self.theirs = media.path()
        self.accept, self.wrapped = media.get("accept-types"), media.get("accept-wrapped-types")
        self.max_size = int(media.get("max-size")) if (media.get("max-size") or "").isdigit() else None
        self.fingerprints = everywhere.attribute(media, "fingerprint")
        if moved and self.connection is not None:
            self.connection.sessions.discard(self)
            self.connection = None
            self.bound.clear()
        self.active = active
        for uri in self.theirs[-1:]:
            owner = self.hub.paths.setdefault(uri, self.name)
            if owner != self.name:
                self.fault(f"{uri} was another session's path ({owner})")
        # Behind a relay there is a connection already; but who is passive waits for the other's first SEND there, too.
        if self.relay is not None and self.connection is None and active:
            self.bind(self.relay.connection)

    def fault(self, what, frame=None):
        """Something that the other side did wrong."""
        self.hub.fault(what, self.name, None if frame is None else frame.data)

    def bind(self, connection):
        """From now on this session lives on that connection."""
        self.connection = connection
        connection.sessions.add(self)
        if not connection.fits(self):
            self.fault(f"the certificate is not the one in SDP: {fingerprint(connection.certificate)}")
            connection.close()
        self.bound.set()
        emit("bound", s=self.name, connections=len(self.hub.connections), opened=connection.hop is not None)

    async def connect(self, say_something):
        """As the active endpoint: a connection, and at once a SEND on it (§5.4)."""
        async with self.connecting:
            if self.connection is None:
                hop = self.theirs[0].hop()
                self.bind(await self.hub.connect(hop, share=self.options.get("share", True)))
        if say_something:
            await self.send({"do": "send", "empty": True})

    def to_path(self):
        """Our relays, then theirs."""
        return [*(self.relay.path if self.relay else []), *self.theirs]

    # What goes out

    async def send(self, order):
        """One message, in chunks."""
        async with self.lock:
            await self.bound.wait()
            pieces = Pieces(self, order)
            while pieces.more():
                pieces.step()
                await self.hub.drain(self.connection)
            pieces.finish()
            if pieces.broken:
                await asyncio.sleep(0.05)
                self.connection.ours_to_close = True
                self.connection.writer.transport.abort()

    async def send_woven(self, orders):
        """Several messages, a chunk of each in turn."""
        async with self.lock:
            await self.bound.wait()
            all_pieces = [Pieces(self, order) for order in orders]
            while any(pieces.more() for pieces in all_pieces):
                for pieces in all_pieces:
                    if pieces.more():
                        pieces.step()
                await self.hub.drain(self.connection)
            for pieces in all_pieces:
                pieces.finish()

    def report(self, message_id, start, end, total, code, comment="OK", paths=None):
        """A REPORT about a message of theirs (§7.1.3)."""
        tid = secret()
        to = paths or self.to_path()
        headers = [
            ("To-Path", " ".join(map(str, to))), ("From-Path", str(self.ours)), ("Message-ID", message_id),
            ("Byte-Range", f"{start}-{end}/{total}"), ("Status", f"000 {code} {comment}"),
        ]  # fmt: skip
        self.connection.write(build("REPORT", headers, None, "$", tid))

    async def nickname(self, name, value=None):
        """NICKNAME (RFC 7701 §7.1). Gives the response."""
        async with self.lock:
            await self.bound.wait()
            tid, done = secret(), asyncio.get_running_loop().create_future()
            self.connection.transactions[tid] = (None, done.set_result, None, "yes", None)
            headers = [("To-Path", " ".join(map(str, self.to_path()))), ("From-Path", str(self.ours))]
            headers.append(("Use-Nickname", quoted(name) if value is None else value))
            self.connection.write(build("NICKNAME", headers, None, "$", tid))
        answer = await asyncio.wait_for(done, PATIENCE)
        if answer.path("To-Path") != [self.ours] or answer.path("From-Path") != self.to_path():
            self.fault(f"a response from {answer.get('From-Path')} to {answer.get('To-Path')}", answer)
        return answer

    # What comes in

    def request(self, connection, frame):
        """A request to our URI. Gives the code of the response and whether there is one."""
        theirs = frame.path("From-Path")
        if theirs != self.to_path():
            self.fault(f"From-Path is {theirs}, SDP said {self.to_path()}", frame)
            return 481
        if self.ended:
            emit("late", s=self.name, method=frame.method)
            return 481
        if self.connection is None:
            if self.active:
                self.fault("the passive endpoint opened a connection", frame)
            self.bind(connection)
        elif self.connection is not connection:
            self.fault("a request on a second connection", frame)
            return 506
        if frame.method == "SEND":
            return self.receive(frame)
        if frame.method == "REPORT":
            self.reported(frame)
            return None
        if frame.method == "NICKNAME" and self.options.get("room") is not None:
            return self.hub.nicknamed(self, frame)
        self.fault(f"a method that SDP did not speak of: {frame.method}", frame)
        return 501

    def receive(self, frame):
        """A SEND. Gives the code of its response."""
        rule = self.hub.rule(self.name)
        if frame.body is None:
            emit("empty", s=self.name, message_id=frame.get("Message-ID"))
            return rule
        message_id = frame.get("Message-ID", "")
        message = self.incoming.get(message_id)
        if message is None:
            message = self.incoming[message_id] = Incoming(frame)
            self.check_type(frame)
        self.check_chunk(message, frame)
        message.chunks += 1
        message.data += frame.body
        if rule["code"] not in (200, 0) and message.refused is None:
            message.refused = asyncio.get_running_loop().time()
        if message.refused is not None:
            emit("refused", s=self.name, message_id=message_id, flag=frame.flag, bytes=len(message.data))
            message.done = frame.flag != "+"
        elif frame.flag == "#":
            message.done = True
            emit("aborted", s=self.name, message_id=message_id, bytes=len(message.data))
        elif frame.flag == "$":
            message.done = True
            return self.complete(message_id, message, rule) or rule
        return rule

    def check_type(self, frame):
        """Nothing comes that we did not say we take (§8.6)."""
        if not accepts(self.options.get("accept", "*"), frame.content_type()):
            self.fault(f"{frame.content_type()} was not in our accept-types", frame)
        total = frame.range()[2]
        limit = self.options.get("max_size")
        if limit is not None and total is not None and total > limit:
            self.fault(f"a message of {total} bytes, our max-size was {limit}", frame)

    def check_chunk(self, message, frame):
        """This chunk goes on where the last one ended, and says the same about the whole (§7.1.1)."""
        start, _, total = frame.range()
        if message.done:
            self.fault("a chunk after the last one, or a Message-ID used again", frame)
        if start is not None and start != len(message.data) + 1:
            self.fault(f"a chunk at {start}, the next byte is {len(message.data) + 1}", frame)
        if total != message.first.range()[2]:
            self.fault(f"total is {total}, was {message.first.range()[2]}", frame)
        if message.fingerprint(frame) != message.fingerprint(message.first):
            self.fault("Content-Type or reports are not those of the first chunk", frame)
        loop = asyncio.get_running_loop()
        if message.refused is not None and loop.time() > message.refused + AT_ONCE:
            self.fault("a chunk of a message that was refused", frame)

    def complete(self, message_id, message, rule):
        """The last chunk is there. Gives the code of the response, where a room has one of its own."""
        data, frame = bytes(message.data), message.first
        success, failure = frame.get("Success-Report", "no"), frame.get("Failure-Report", "yes")
        fields = {
            "s": self.name, "message_id": message_id, "content_type": frame.get("Content-Type"), "chunks": message.chunks,
            "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "success": success, "failure": failure,
            "headers": [list(header) for header in frame.headers], "cpim": None,
        }  # fmt: skip
        cpim = self.content(fields, data, frame.get("Content-Type"), frame.content_type())
        answer = self.hub.completed(self, fields, data, cpim)
        if answer is not None and answer["code"] != 200:
            return answer
        report = rule.get("report", 200)
        if success == "yes" and report == 200 or report != 200 and failure != "no":
            comment = "OK" if report == 200 else "As Ordered"
            if report:
                self.report(message_id, 1, len(data), len(data), report, comment)
        return answer

    def content(self, fields, data, whole_type, content_type):
        """What the message says, out of its wrapper, which comes back where there is one."""
        faults, cpim = [], None
        if content_type == "message/cpim":
            cpim = Cpim(data)
            faults += cpim.faults
            fields["cpim"] = cpim.describe()
            data, content_type, whole_type = cpim.content, cpim.content_type(), cpim.mime_header("content-type")
            types = f"{self.options.get('accept', '*')} {self.options.get('wrapped', '')}"
            if not accepts(types, content_type):
                faults.append(f"{content_type} within CPIM was in neither of our lists")
        event = "message"
        if content_type == "application/im-iscomposing+xml":
            event = "composing"
            fields.update(read_composing(data, faults))
        elif content_type == "message/imdn+xml":
            event = "imdn"
            fields["about"] = read_imdn(data, faults)
        elif content_type == "text/plain":
            check_text(data, whole_type or "", faults)
        fields["type"] = content_type
        fields["text"] = data.decode("utf-8", errors="replace") if len(data) <= 65536 else None
        for fault in faults:
            self.hub.fault(fault, self.name, data)
        self.hub.heard(self, fields, cpim)
        emit(event, **fields)
        return cpim

    def reported(self, frame):
        """A REPORT about a message of ours (§7.3.2)."""
        message = self.sent.get(frame.get("Message-ID"))
        status = (frame.get("Status", "") + " 0 0").split(" ")
        code = int(status[1]) if status[1].isdigit() else 0
        start, end, total = frame.range()
        if message is None:
            self.fault("a REPORT about nothing of ours", frame)
        else:
            if code == 200 and message.success != "yes":
                self.fault("a success report that nobody asked for", frame)
            if code != 200 and message.failure == "no":
                self.fault("a failure report that nobody wants", frame)
            if total is not None and total != message.size or end is not None and end > message.size:
                self.fault(f"a REPORT of {frame.get('Byte-Range')}, there were {message.size} bytes", frame)
            if (start, end, code) in message.reported:
                self.fault("the same REPORT again", frame)
            message.reported.add((start, end, code))
        emit("report", s=self.name, message_id=frame.get("Message-ID"), code=code, start=start, end=end, total=total)


class Pieces:
    """A message on its way out, a chunk at a time."""

    def __init__(self, session, order):
        self.session, self.order = session, order
        body = order.get("data", b"")
        self.empty = order.get("empty", False)
        self.body = None if self.empty else body
        self.message_id = order.get("message_id") or secret()
        success, failure = order.get("success", "no"), order.get("failure", "yes")
        self.message = session.sent.setdefault(self.message_id, Outgoing(len(body), success, failure))
        self.headers = [("Success-Report", success)] if "success" in order else []
        self.headers += [("Failure-Report", failure)] if "failure" in order else []
        self.headers += [tuple(header) for header in order.get("headers", [])]
        self.broken = False
        size = len(body)
        if "ranges" in order:
            self.chunks = [(start, end, flag) for start, end, flag in order["ranges"]]
        else:
            step = order.get("chunk", size if order.get("whole") else CHUNK) or 1
            self.chunks = [(at + 1, min(at + step, size), "+") for at in range(0, size, step)] or [(1, size, "$")]
            self.chunks[-1] = (*self.chunks[-1][:2], "$")
        if (stop := order.get("abort_after")) is not None:
            self.chunks = [chunk for chunk in self.chunks if chunk[0] <= stop]
            self.chunks[-1] = (self.chunks[-1][0], stop, "#")

    def more(self):
        """Whether there is a chunk left to send."""
        return bool(self.chunks) and not self.broken and not self.message.stopped

    def step(self):
        """Writes the next chunk."""
        order, session = self.order, self.session
        start, end, flag = self.chunks.pop(0)
        piece = None if self.empty else (self.body or b"")[start - 1 : end]
        tid = order.get("tid") or secret()
        total = order.get("total", len(self.body or b""))
        last = "*" if flag == "#" or end - start >= CHUNK or order.get("star") else end
        headers = [("To-Path", " ".join(map(str, session.to_path()))), ("From-Path", str(session.ours))]
        headers += [("Message-ID", self.message_id), ("Byte-Range", f"{start}-{last}/{total}"), *self.headers]
        if piece is not None:
            headers.append(("Content-Type", order.get("type", "text/plain")))
        data = build("SEND", headers, piece, flag, tid)
        connection = session.connection
        stop = order.get("break_after")
        if stop is not None and end > stop:
            # In the middle of the data: what is on the wire then is a chunk without an end.
            data = data[: len(data) - (end - stop) - len(tid) - 12]
            self.broken = True
        else:
            paths = (session.to_path(), [session.ours])
            connection.transactions[tid] = (session, self.message, paths, order.get("failure", "yes"), self.message_id)
            if order.get("failure", "yes") == "yes":
                session.hub.watch(connection, tid)
        connection.write(data)
        self.message.written = max(self.message.written, end)

    def finish(self):
        """All that will be written is written."""
        if not self.empty:
            emit("sent", s=self.session.name, message_id=self.message_id, bytes=self.message.written, stopped=self.message.stopped)


class Hub:
    """All connections and sessions. `rooms` says what becomes of what comes in a room's sessions."""

    def __init__(self, fault, later, rooms):
        self.fault, self.later, self.rooms = fault, later, rooms
        self.host, self.port, self.tls_port = None, None, None
        self.certificate = None  # key file, certificate file, fingerprint
        self.connections, self.sessions, self.named = [], {}, {}
        self.connecting = {}  # by hop
        self.tids, self.paths = set(), {}
        self.rules = {}  # by session's name, None for all others

    async def listen(self, host, port, tls_port=None, certificate=None, trust=None):
        """TCP, and TLS where there is a port and a certificate for it. With `trust` (a PEM file) clients show theirs."""
        self.host = host
        server = await asyncio.start_server(self.accepted, host, port)
        self.port = server.sockets[0].getsockname()[1]
        if tls_port is None:
            return
        self.certificate = certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[1], certificate[0])
        if trust is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(trust)
        server = await asyncio.start_server(self.accepted, host, tls_port, ssl=context)
        self.tls_port = server.sockets[0].getsockname()[1]

    async def accepted(self, reader, writer):
        """Somebody connected to us; the one who does speaks at once (§5.4)."""
        connection = Connection(self, reader, writer, None)
        self.connections.append(connection)
        self.later(self.silence(connection))
        self.later(connection.run())

    async def silence(self, connection):
        """Waits for the first request of whoever connected."""
        await asyncio.sleep(AT_ONCE)
        if not connection.heard and not connection.writer.is_closing() and connection.reading.is_set():
            self.fault("a connection on which nothing was said at once (§5.4)", None)

    async def connect(self, hop, share=True, name=None):
        """A connection to there, one of ours if there is one."""
        async with self.connecting.setdefault(hop, asyncio.Lock()):
            return await self.connect_now(hop, share, name)

    async def connect_now(self, hop, share, name):
        """As `connect`, one at a time for each hop."""
        for connection in self.connections:
            if share and name is None and connection.hop == hop and not connection.writer.is_closing():
                return connection
        scheme, host, port = hop
        context = None
        if scheme == "msrps":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # The fingerprint in SDP says who it is (§14.4).
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.certificate:
                context.load_cert_chain(self.certificate[1], self.certificate[0])
        reader, writer = await asyncio.open_connection(host, port, ssl=context, local_addr=(self.host, 0))
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, reader, writer, hop, name)
        self.connections.append(connection)
        self.later(connection.run())
        if name is not None:
            self.named[name] = connection
        return connection

    async def drain(self, connection):
        """Until there is room; what came in meanwhile is read first."""
        await asyncio.sleep(0)
        try:
            await connection.writer.drain()
        except OSError:
            pass

    def session(self, name, options):
        """A session of ours with a fresh URI."""
        secure = options.get("tls", False)
        port = self.tls_port if secure else self.port
        ours = own_uri("msrps" if secure else "msrp", options.get("path_host", self.host), port, secret())
        session = self.sessions[ours.session] = Session(self, name, ours)
        session.options = dict(options)
        return session

    def rule(self, name):
        """How a SEND of this session is answered."""
        rules = self.rules.get(name) or self.rules.get(None) or []
        for rule in rules:
            if "times" in rule:
                rule["times"] -= 1
                if rule["times"] <= 0:
                    rules.remove(rule)
            return rule
        return {"code": 200}

    def nicknamed(self, session, frame):
        """NICKNAME to a room of ours. Gives the code of its response."""
        return self.rooms.nicknamed(session, frame)

    def completed(self, session, fields, data, cpim):
        """A whole message; in a room of ours it has an answer of its own."""
        return None if session.options.get("room") is None else self.rooms.spoken(session, fields, data, cpim)

    def heard(self, session, fields, cpim):
        """A whole message, before the test hears of it."""
        self.rooms.heard(session, fields, cpim)

    def watch(self, connection, tid):
        """A response must be there in time."""

        def look():
            if tid in connection.transactions and not connection.writer.is_closing():
                session = connection.transactions[tid][0]
                if session is not None and not session.ended:
                    self.fault(f"no response to {tid} within {PATIENCE} s", session.name)

        asyncio.get_running_loop().call_later(PATIENCE, look)

    def came(self, connection, frame):
        """One frame."""
        for uri in frame.path("To-Path")[:1]:
            session = self.sessions.get(uri.session)
            name = session.name if session else connection.name
        if not frame.path("To-Path"):
            session, name = None, connection.name
        for fault in frame.faults:
            self.fault(fault, name, frame.data)
        if connection.name is not None:
            emit("frame", on=connection.name, method=frame.method, code=frame.code, tid=frame.tid,
                 headers=[list(header) for header in frame.headers], raw=frame.data.decode("utf-8", errors="replace"))  # fmt: skip
            return
        if frame.method is None:
            self.response(connection, frame, name)
            return
        if frame.tid in self.tids:
            self.fault(f"transaction id {frame.tid} used again", name, frame.data)
        self.tids.add(frame.tid)
        if session is None or frame.path("To-Path") != [session.ours]:
            self.fault(f"To-Path is not ours: {frame.get('To-Path')!r}", name, frame.data)
            answer = 481
        else:
            answer = session.request(connection, frame)
        self.respond(connection, frame, answer if isinstance(answer, dict) else {"code": answer})

    def respond(self, connection, frame, rule):
        """The response to a request, where there is one (§7.1.4, §7.2)."""
        code, failure = rule["code"], frame.get("Failure-Report", "yes")
        if code is None or code == 0 or failure == "no" or failure == "partial" and code == 200 or frame.method == "REPORT":
            return
        to = frame.path("From-Path")
        to = to[:1] if frame.method == "SEND" else to
        headers = [("To-Path", " ".join(map(str, to))), ("From-Path", str(frame.path("To-Path")[0]))]
        data = build(f"{code} {rule.get('comment', 'OK' if code == 200 else 'As Ordered')}", headers, None, "$", frame.tid)
        if rule.get("delay"):
            asyncio.get_running_loop().call_later(rule["delay"], connection.write, data)
        else:
            connection.write(data)

    def response(self, connection, frame, name):
        """A response, to what we asked on this connection (§7.2)."""
        waiting = connection.transactions.pop(frame.tid, None)
        if waiting is None:
            self.fault(f"a response to nothing, or a second one: {frame.tid} {frame.code}", name, frame.data)
            return
        session, message, paths, failure, message_id = waiting
        if session is None:
            message(frame)
            return
        to, of = paths
        if frame.path("To-Path") != of or frame.path("From-Path") != to[:1]:
            self.fault(f"a response from {frame.get('From-Path')} to {frame.get('To-Path')}", session.name, frame.data)
        if failure == "no" or failure == "partial" and frame.code == 200:
            self.fault(f"{frame.code} to a SEND with Failure-Report: {failure}", session.name, frame.data)
        if frame.code != 200:
            message.stopped = True
        emit("answered", s=session.name, message_id=message_id, tid=frame.tid, code=frame.code, comment=frame.comment)

    def lost(self, connection):
        """A connection ended. It should not while there are sessions on it (§5.4)."""
        if connection in self.connections:
            self.connections.remove(connection)
        living = [s for s in connection.sessions if not s.ended]
        for session in living:
            session.connection = None
            session.bound.clear()
            emit("lost", s=session.name, ours=connection.ours_to_close)
            if not connection.ours_to_close:
                # A BYE that was sent before may come behind it: it has another way.
                asyncio.get_running_loop().call_later(CROSSING, self.deplore, session)
        if connection.name is not None:
            emit("hung_up", on=connection.name)

    def deplore(self, session):
        """The connection under a session was closed: had the session ended?"""
        if not session.ended:
            self.fault("the connection was closed under a session", session.name)

    def leave(self, session):
        """The session is over; a connection of ours that nobody uses any more goes with it."""
        if session.ended:
            return
        session.ended = True
        connection = session.connection
        if connection is not None and connection.hop is not None and session.relay is None:
            if all(s.ended for s in connection.sessions):
                # What was written last may still be on its way.
                asyncio.get_running_loop().call_later(1.0, connection.close)


class Relay:
    """A relay that we are behind (RFC 4976 §5.1)."""

    def __init__(self, hub, uri):
        self.hub, self.uri = hub, Uri(uri)
        self.connection = None
        self.path = []

    async def ask(self, ours, headers):
        """One AUTH and its response."""
        tid = secret()
        done = asyncio.get_running_loop().create_future()
        self.connection.transactions[tid] = (None, done.set_result, None, "yes", None)
        lines = [("To-Path", str(self.uri)), ("From-Path", str(ours)), *headers]
        self.connection.write(build("AUTH", lines, None, "$", tid))
        return await asyncio.wait_for(done, PATIENCE)

    async def join(self, ours, user, password):
        """Until it gives us a path."""
        self.connection = await self.hub.connect(self.uri.hop(), share=False)
        answer = await self.ask(ours, [])
        if answer.code == 401:
            fields = dict(re.findall(r'(\w+)="?([^",]*)"?', answer.get("WWW-Authenticate", "")))
            answer = await self.ask(ours, [("Authorization", digest(fields, user, password, str(self.uri)))])
        self.path = answer.path("Use-Path")
        return answer


def digest(fields, user, password, uri):
    """RFC 4976 §9.1: the method is AUTH, the digest-uri the last URI of To-Path. It goes along, in quotes, as RFC 2617 wants it:
    the examples leave it out, relays insist on it."""

    def md5(text):
        return hashlib.md5(text.encode("utf-8")).hexdigest()

    client = secret(64)
    first, second = md5(f"{user}:{fields['realm']}:{password}"), md5(f"AUTH:{uri}")
    answer = md5(f"{first}:{fields['nonce']}:00000001:{client}:auth:{second}")
    return (
        f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", '
        f'qop=auth, nc=00000001, cnonce="{client}", response="{answer}"'
    )
