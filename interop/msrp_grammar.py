"""MSRP on the wire: frames cut out of a stream, what RFC 4975 §9 and §7 (and RFC 4976 §7) have against each, and our own.

Written from the RFCs alone and from nothing of the gateway. What depends on other frames (transactions, sessions, chunks
that must add up) is msrp_session.py's.
"""

import ipaddress
import re

TOKEN = r"[\x21\x23-\x27\x2a\x2b\x2d\x2e0-9A-Z\x5e-\x7e]+"
QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\\\|\\")*"'
UTF8_TEXT = r"[\t\x20-\x7e\x80-\U0010ffff]*"
IDENT = r"[A-Za-z0-9][A-Za-z0-9.\-+%=]{3,31}"
UNRESERVED = r"[A-Za-z0-9\-._~]"
ESCAPED = r"%[0-9A-Fa-f]{2}"
USER = rf"(?:(?:{UNRESERVED}|{ESCAPED}|[!$&'()*+,;=:])*@)?"
REG_NAME = rf"(?:{UNRESERVED}|{ESCAPED}|[!$&'()*+,;=])+"
URI = (
    rf"(msrps?)://{USER}(\[[0-9A-Fa-f:.]+\]|{REG_NAME}?)(?::([0-9]+))?"
    rf"(?:/((?:{UNRESERVED}|[+=/])+))?;([A-Za-z0-9]+)(?:;{TOKEN}(?:={TOKEN})?)*"
)
PATH = rf"{URI}(?: {URI})*"
MEDIA_TYPE = rf"({TOKEN}/{TOKEN})((?:[ ]?;[ ]?{TOKEN}(?:=(?:{TOKEN}|{QUOTED}))?)*)"
REQUEST = re.compile(rf"MSRP ({IDENT}) ([A-Z]+)\Z")
RESPONSE = re.compile(rf"MSRP ({IDENT}) ([0-9]{{3}})(?: ({UTF8_TEXT}))?\Z")
START = re.compile(rb"MSRP ([^ \r\n]+) ([^ \r\n]+)(?: [^\r\n]*)?\r\n")
HEADER = re.compile(rf"([A-Za-z]{TOKEN}): ({UTF8_TEXT})\Z")
VALUES = {
    "to-path": PATH,
    "from-path": PATH,
    "use-path": PATH,
    "message-id": IDENT,
    "success-report": r"yes|no",
    "failure-report": r"yes|no|partial",
    "byte-range": r"[0-9]+-(?:[0-9]+|\*)/(?:[0-9]+|\*)",
    "status": rf"[0-9]{{3}} [0-9]{{3}}(?: {UTF8_TEXT})?",
    # §9 allows no space at the semicolon; a space is what half the world writes, and the RFC's own grammar forbids it.
    "content-type": rf"{TOKEN}/{TOKEN}(?:;{TOKEN}(?:=(?:{TOKEN}|{QUOTED}))?)*",
    "expires": r"[0-9]+",
    "min-expires": r"[0-9]+",
    "max-expires": r"[0-9]+",
    "www-authenticate": r"Digest .+",
    "authorization": r"Digest .+",
    "use-nickname": QUOTED,
}
PATTERNS = {name: re.compile(rf"(?:{pattern})\Z") for name, pattern in VALUES.items()}
# §10, and RFC 4976 §9, RFC 7701 §7.
CODES = (200, 400, 401, 403, 404, 408, 413, 415, 423, 424, 425, 428, 481, 501, 506)
LONGEST_HEAD, LONGEST_BODY = 16 * 1024, 64 * 1024 * 1024


class Uri:
    """An MSRP URI. `faults` says what is wrong with it; it compares as §6.1 says."""

    def __init__(self, text):
        self.text = text
        self.faults = []
        self.scheme, self.host, self.port, self.session, self.transport = "", "", None, None, ""
        match = re.fullmatch(URI, text)
        if not match:
            self.faults.append(f"no MSRP URI: {text!r}")
            return
        scheme, self.host, port, self.session, self.transport = match.groups()
        self.scheme = scheme.lower()
        self.port = None if port is None else int(port)
        if self.port is not None and not 0 < self.port < 65536:
            self.faults.append(f"{text}: a port that is none")
        if re.search(r"//[^/@]*:[^/@]*@", text):
            self.faults.append(f"{text}: a password (§6)")
        if self.port is None and self.address() is not None:
            self.faults.append(f"{text}: an address without a port (§6)")

    def address(self):
        """The host as an address, or None for a name."""
        try:
            return ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return None

    def key(self):
        """What §6.1 compares."""
        host = self.address() or re.sub(ESCAPED, lambda m: chr(int(m[0][1:], 16)), self.host).lower()
        return (self.scheme, host, self.port, self.session, self.transport.lower())

    def hop(self):
        """Where to connect: scheme, host and port."""
        return (self.scheme, self.host.strip("[]"), self.port)

    def __eq__(self, other):
        return isinstance(other, Uri) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __str__(self):
        return self.text

    __repr__ = __str__


class Frame:
    """A request or response taken apart. `faults` says what the RFC has against it, for itself."""

    def __init__(self, data, head, body, flag):
        self.data, self.body, self.flag = data, body, flag
        self.faults = []
        self.tid = self.method = self.comment = None
        self.code = 0
        self.headers = []
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError:
            self.faults.append("headers are not UTF-8")
            text = head.decode("utf-8", errors="replace")
        start, *lines = text.split("\r\n")
        if request := REQUEST.match(start):
            self.tid, self.method = request.groups()
        elif response := RESPONSE.match(start):
            self.tid, self.code, self.comment = response[1], int(response[2]), response[3]
        else:
            self.faults.append(f"start line: {start!r}")
            words = start.split(" ") + ["", ""]
            self.tid, self.method = words[1], words[2]
        for line in lines:
            self.header(line)
        self.check()

    def header(self, line):
        """One header line; MSRP knows no folding."""
        match = HEADER.match(line)
        if not match:
            self.faults.append(f"header line: {line!r}")
            name, _, value = line.partition(":")
            self.headers.append((name, value.strip()))
            return
        name, value = match.groups()
        self.headers.append((name, value))
        if name.lower() in PATTERNS and not PATTERNS[name.lower()].match(value):
            self.faults.append(f"{name}: {value!r}")

    def all(self, name):
        """The values of all headers of this name, in order."""
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        """The first value."""
        return (self.all(name) or [default])[0]

    def path(self, name):
        """The URIs of a path header."""
        return [Uri(text) for text in (self.get(name) or "").split(" ") if text]

    def range(self):
        """(start, end, total) of Byte-Range; None where there is a star, or for all where there is none."""
        match = re.fullmatch(r"([0-9]+)-([0-9]+|\*)/([0-9]+|\*)", self.get("Byte-Range") or "")
        if not match:
            return (None, None, None)
        return tuple(None if part == "*" else int(part) for part in match.groups())

    def content_type(self):
        """The media type in lower case, without parameters."""
        return (self.get("Content-Type") or "").split(";")[0].strip().lower()

    def check(self):
        """What holds for the whole frame."""
        names = [name.lower() for name, _ in self.headers]
        if names[:2] != ["to-path", "from-path"]:
            self.faults.append(f"To-Path and From-Path are not first: {names[:2]}")
        for name in set(names):
            if names.count(name) > 1:
                self.faults.append(f"{name} more than once")
        for name in ("To-Path", "From-Path"):
            for uri in self.path(name):
                self.faults += uri.faults
        if self.method is None:
            self.check_response()
        else:
            self.check_request(names)

    def check_response(self):
        """§7.2."""
        if self.code not in CODES:
            self.faults.append(f"a response with {self.code}")
        if self.body is not None:
            self.faults.append("a response with a body")
        if self.flag != "$":
            self.faults.append(f"a response with the flag {self.flag}")
        for name in ("Message-ID", "Byte-Range", "Success-Report", "Failure-Report", "Status", "Content-Type"):
            if self.all(name):
                self.faults.append(f"a response with {name}")

    def check_request(self, names):
        """§7.1."""
        # §7.1: at least 64 bits; no character of an ident carries more than the six of base 64.
        if len(self.tid or "") < 11:
            self.faults.append(f"transaction id of less than 64 bits: {self.tid!r}")
        mime = [name for name in names if name.startswith("content-")]
        if self.body is None and mime:
            self.faults.append(f"{mime} without a body")
        if self.body is not None:
            if names[-1:] != ["content-type"]:
                self.faults.append("Content-Type is missing, or not last")
            if names[len(names) - len(mime):] != mime:
                self.faults.append(f"other headers among those of MIME: {names}")
        if "content-transfer-encoding" in names:
            self.faults.append("Content-Transfer-Encoding (§7.1.1)")
        if self.method == "SEND":
            self.check_send()
        elif self.method == "REPORT":
            self.check_report()
        elif self.method == "NICKNAME":
            self.check_nickname()
        if self.method != "NICKNAME" and self.all("Use-Nickname"):
            self.faults.append(f"{self.method} with Use-Nickname (RFC 7701 §7.1)")
        if self.method != "SEND" and (self.flag != "$" or self.body and len(self.body) > 10240):
            self.faults.append(f"{self.method} with the flag {self.flag} or a long body")

    def check_send(self):
        """§7.1.1; without a body the range names nothing, or everything of nothing."""
        if not self.all("Message-ID"):
            self.faults.append("SEND without Message-ID")
        if self.all("Status"):
            self.faults.append("SEND with Status")
        start, end, total = self.range()
        size = len(self.body or b"")
        if start is None:
            if self.body is not None:
                self.faults.append("SEND without Byte-Range")
            return
        if start < 1:
            self.faults.append("Byte-Range begins before 1")
        if size == 0 and start != 1:
            self.faults.append("Byte-Range of nothing does not begin with 1")
        if end is not None and end != start + size - 1:
            self.faults.append(f"Byte-Range says {start}-{end}, there are {size} bytes")
        if end is not None and size > 2048:
            self.faults.append(f"a chunk of {size} bytes that cannot be interrupted")
        last = start + size - 1
        if total is not None and last > total:
            self.faults.append(f"byte {last} of {total}")
        if self.flag == "$" and total is not None and last != total:
            self.faults.append(f"the last chunk ends with {last} of {total}")
        if self.flag == "+" and total is not None and last == total:
            self.faults.append("the last chunk says that more will come")
        if self.flag == "+" and size < 2048:
            self.faults.append(f"a chunk of {size} bytes that is not the last")

    def check_nickname(self):
        """RFC 7701 §7.1; an empty one takes the nickname away (§7.3)."""
        for name in ("Success-Report", "Failure-Report"):
            if self.all(name):
                self.faults.append(f"NICKNAME with {name} (RFC 7701 §7.1)")
        if len(self.all("Use-Nickname")) != 1:
            self.faults.append(f"{len(self.all('Use-Nickname'))} times Use-Nickname (RFC 7701 §7.1)")
        if self.body is not None:
            self.faults.append("NICKNAME with a body")
        if len((self.nickname() or "").encode("utf-8")) > 1023:
            self.faults.append("a nickname of more than 1023 octets (RFC 7701 §7.1)")

    def nickname(self):
        """What is in Use-Nickname, or None where that is no quoted string."""
        value = self.get("Use-Nickname", "")
        return re.sub(r"\\(.)", r"\1", value[1:-1]) if re.fullmatch(QUOTED, value) else None

    def check_report(self):
        """§7.1.2 to §7.1.4."""
        for name in ("Success-Report", "Failure-Report"):
            if self.all(name):
                self.faults.append(f"REPORT with {name}")
        for name in ("Message-ID", "Status", "Byte-Range"):
            if not self.all(name):
                self.faults.append(f"REPORT without {name}")
        status = self.get("Status", "").split(" ")
        if status[:1] != ["000"] or len(status) < 2 or not status[1].isdigit() or int(status[1]) not in CODES:
            self.faults.append(f"Status: {self.get('Status')!r}")
        start, end, total = self.range()
        if start is not None and (end is None or start < 1 or end < start - 1 or total is not None and end > total):
            self.faults.append(f"REPORT of {self.get('Byte-Range')}")


class Cutter:
    """Cuts a stream into frames."""

    def __init__(self):
        self.data = bytearray()
        self.seen = 0  # up to here there is no end-line

    def push(self, more):
        """The frames that are complete now: `Frame`s, and a text for what is none; after a text comes nothing more."""
        self.data += more
        while self.data:
            start = START.match(self.data)
            if start is None:
                if b"\r\n" in self.data[:LONGEST_HEAD] or len(self.data) > LONGEST_HEAD or not self.is_start():
                    yield f"no start line: {bytes(self.data[:80])!r}"
                    self.data.clear()
                return
            tid = start[1]
            end = re.compile(rb"\r\n-------" + re.escape(tid) + rb"([+$#])(\r\n)?")
            # The line before ends with the CRLF that the end-line's pattern begins with.
            found = end.search(self.data, max(self.seen, start.end() - 2))
            if found is None or found[2] is None and len(self.data) < found.end() + 2:
                self.seen = max(0, len(self.data) - len(tid) - 16)
                if found is not None:
                    self.seen = found.start()
                if len(self.data) > LONGEST_BODY:
                    yield "a frame without end"
                    self.data.clear()
                return
            whole = bytes(self.data[: found.end()])
            head, body = bytes(self.data[: found.start()]), None
            if (split := head.find(b"\r\n\r\n")) >= 0:
                head, body = head[:split], head[split + 4 :]
            elif head.endswith(b"\r\n") and b"\r\nContent-Type:" in head:
                # An empty body: its CRLF CRLF ends with the CRLF of the end-line.
                head, body = head[:-2], b""
            frame = Frame(whole, head, body, found[1].decode())
            if found[2] is None:
                frame.faults.append("an end-line without CRLF")
            if re.search(rb"-------" + re.escape(tid) + rb"[+$#]", body or b""):
                frame.faults.append("the end-line in the data")
            del self.data[: found.end()]
            self.seen = 0
            yield frame

    def is_start(self):
        """Whether what there is may still become a start line."""
        return bytes(self.data[:5]) == b"MSRP "[: len(self.data)]


def quoted(text):
    """A text as a quoted string."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def build(start, headers, body, flag, tid):
    """The bytes of a frame. `headers` are (name, value); a body of None is none."""
    lines = [f"MSRP {tid} {start}"] + [f"{name}: {value}" for name, value in headers]
    out = ("\r\n".join(lines) + "\r\n").encode("utf-8")
    if body is not None:
        out += b"\r\n" + body + b"\r\n"
    return out + f"-------{tid}{flag}\r\n".encode()
