"""What every SIP program here stands on: UDP and TCP on one port, events out and commands in as JSON lines."""

import asyncio
import json
import os
import sys

# RFC 3261 §17.1.1.1, in seconds.
T1, T2 = 0.5, 4.0


def emit(event, **fields):
    """One event out. Nothing is buffered: the test waits for this line."""
    fields["event"] = event
    sys.stdout.write(json.dumps(fields, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def describe(message, source, transport):
    """A SIP message as the fields of an event."""
    try:
        body = message.body.decode("utf-8")
    except UnicodeDecodeError:
        body = None
    return {
        "method": message.method,
        "uri": message.uri,
        "code": message.code,
        "reason": message.reason,
        "headers": [[name, value] for name, value in message.headers],
        "body": body,
        "body_hex": message.body.hex(),
        "size": len(message.data),
        "raw": message.data.decode("utf-8", errors="replace"),
        "source": list(source[:2]),
        "transport": transport,
        "faults": message.faults,
    }


def body_of(order):
    """The body that a command asks for."""
    if "body_hex" in order:
        return bytes.fromhex(order["body_hex"])
    return order.get("body", "").encode("utf-8")


def fresh():
    """A token that nobody else has."""
    return os.urandom(8).hex()


def authority(host, port):
    """Host and port as a URI and a Via have them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Wire:
    """The sockets. Whoever inherits this says what becomes of a message (`came`) and of a command (`obey`)."""

    def __init__(self):
        self.udp = None
        self.host, self.port = None, None
        self.streams = {}  # (host, port) -> writer
        self.tasks = set()

    def came(self, data, source, transport):
        """One message."""
        raise NotImplementedError

    async def obey(self, order):
        """One command."""
        raise NotImplementedError

    def later(self, work):
        """Runs `work` beside the rest and keeps it alive."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def at(self):
        """Where we are, as a URI has it."""
        return authority(self.host, self.port)

    async def bind(self, host, port):
        """UDP and TCP on one port; for port 0, on one that is free for both."""
        loop = asyncio.get_running_loop()
        while self.udp is None:
            udp, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self), local_addr=(host, port))
            self.host, self.port = udp.get_extra_info("sockname")[:2]
            try:
                await asyncio.start_server(self.accepted, self.host, self.port)
                self.udp = udp
            except OSError:
                udp.close()
                if port != 0:
                    raise

    async def accepted(self, reader, writer):
        """Somebody connected to us."""
        peer = writer.get_extra_info("peername")[:2]
        self.streams[peer] = writer
        self.later(self.read(reader, peer))

    async def stream(self, peer):
        """The connection to `peer`, opened if there is none."""
        if peer not in self.streams or self.streams[peer].is_closing():
            reader, self.streams[peer] = await asyncio.open_connection(*peer, local_addr=(self.host, 0))
            self.later(self.read(reader, peer))
        return self.streams[peer]

    async def read(self, reader, peer):
        """Cuts a stream into messages by Content-Length (§18.3)."""
        data = b""
        while chunk := await reader.read(65536):
            data += chunk
            while True:
                while data.startswith(b"\r\n"):
                    data = data[2:]
                head, found, rest = data.partition(b"\r\n\r\n")
                if not found:
                    break
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
                        length = int(value)
                if len(rest) < length:
                    break
                whole, data = head + b"\r\n\r\n" + rest[:length], rest[length:]
                self.came(whole, peer, "tcp")
        self.streams.pop(peer, None)
        emit("closed", source=list(peer))

    async def send(self, data, peer, transport):
        """Bytes out."""
        if transport == "tcp":
            writer = await self.stream(peer)
            writer.write(data)
            await writer.drain()
        else:
            self.udp.sendto(data, peer)

    async def run(self):
        """Reads commands until stdin ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                await self.obey(json.loads(line))
            except Exception as problem:  # reported, and the test decides
                emit("problem", what=repr(problem), line=line.decode(errors="replace"))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


class Datagrams(asyncio.DatagramProtocol):
    """The UDP socket."""

    def __init__(self, wire):
        self.wire = wire

    def datagram_received(self, data, addr):
        self.wire.came(data, addr, "udp")
