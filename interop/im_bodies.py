"""The bodies of instant messages: CPIM (RFC 3862), IMDN (RFC 5438) and is-composing (RFC 3994), read strictly and written.

Written from the RFCs alone and from nothing of the gateway.
"""

import re
import time
import xml.etree.ElementTree as ET

NAME = r"[\x21\x23-\x27\x2a\x2b\x2dA-Za-z0-9\x5e-\x60\x7c\x7e]+"
TOKEN = r"[\x21\x23-\x27\x2a\x2b\x2d\x2eA-Za-z0-9\x5e-\x60\x7c\x7e\x80-\U0010ffff]+"
STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\(?:u[0-9A-Fa-f]{4}|[btnr"\'\\]))*"'
PARAMETER = rf"(?:;{NAME}=(?:{TOKEN}|[0-9]+|{STRING}))*"
HEADER_TEXT = r"(?:[\x20-\x5b\x5d-\x7e\x80-\U0010ffff]|\\(?:u[0-9A-Fa-f]{4}|[btnr\"'\\]))*"
HEADER = re.compile(rf"((?:{NAME}\.)?{NAME}):({PARAMETER}) ({HEADER_TEXT})\Z")
ABSOLUTE_URI = r"[A-Za-z][A-Za-z0-9+.\-]*:[A-Za-z0-9\-_.!~*'();/?:@&=+$,%\[\]]+"
ADDRESS = rf"(?:(?:{TOKEN} )+|{STRING} ?)?<{ABSOLUTE_URI}>"
DATE = r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]+)?(?:Z|[+\-][0-2][0-9]:[0-5][0-9])"
CPIM_SPACE, IMDN_SPACE = "urn:ietf:params:cpim-headers:", "urn:ietf:params:imdn"
# By namespace and name (RFC 3862 §4, RFC 5438 §10).
VALUES = {
    (CPIM_SPACE, "From"): ADDRESS,
    (CPIM_SPACE, "To"): ADDRESS,
    (CPIM_SPACE, "cc"): ADDRESS,
    (CPIM_SPACE, "DateTime"): DATE,
    (CPIM_SPACE, "Subject"): r".*",
    (CPIM_SPACE, "NS"): rf"(?:{NAME} ?)?<{ABSOLUTE_URI}>",
    (CPIM_SPACE, "Require"): rf"(?:{NAME}\.)?{NAME}(?:,(?:{NAME}\.)?{NAME})*",
    (IMDN_SPACE, "Message-ID"): TOKEN,
    (IMDN_SPACE, "Disposition-Notification"): rf"(?:{TOKEN}(?: *, *{TOKEN})*)?",
    (IMDN_SPACE, "Original-To"): ADDRESS,
    (IMDN_SPACE, "IMDN-Record-Route"): ADDRESS,
    (IMDN_SPACE, "IMDN-Route"): ADDRESS,
}
MIME_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9\-]*):[ \t]*(.*?)[ \t]*\Z")
COMPOSING = "{urn:ietf:params:xml:ns:im-iscomposing}"
IMDN = "{urn:ietf:params:xml:ns:imdn}"
STATUSES = {
    "delivery-notification": ("delivered", "failed", "forbidden", "error"),
    "display-notification": ("displayed", "forbidden", "error"),
    "processing-notification": ("processed", "stored", "forbidden", "error"),
}


class Cpim:
    """A CPIM message taken apart."""

    def __init__(self, data):
        self.faults = []
        self.headers = []  # (namespace, name, parameters, value)
        self.mime = []
        self.content = b""
        parts = data.split(b"\r\n\r\n", 2)
        if len(parts) < 3:
            self.faults.append("CPIM: not headers, an empty line, MIME headers, an empty line, content")
            return
        self.content = parts[2]
        try:
            head, mime = parts[0].decode("utf-8"), parts[1].decode("utf-8")
        except UnicodeDecodeError:
            self.faults.append("CPIM: headers are not UTF-8")
            return
        self.spaces = {"": CPIM_SPACE}
        for line in head.split("\r\n"):
            self.header(line)
        for line in re.sub(r"\r\n[ \t]+", " ", mime).split("\r\n"):
            if match := MIME_HEADER.match(line):
                self.mime.append(match.groups())
            else:
                self.faults.append(f"CPIM: MIME header {line!r}")
        self.check()

    def header(self, line):
        """One header of the message."""
        match = HEADER.match(line)
        if not match:
            self.faults.append(f"CPIM: header {line!r}")
            return
        name, parameters, value = match.groups()
        prefix, dot, rest = name.rpartition(".")
        if prefix not in self.spaces:
            self.faults.append(f"CPIM: prefix {prefix!r} was not declared")
        space = self.spaces.get(prefix, prefix)
        self.headers.append((space, rest if dot else name, parameters, value))
        pattern = VALUES.get((space, rest if dot else name))
        if pattern is None and space in (CPIM_SPACE, IMDN_SPACE):
            self.faults.append(f"CPIM: {name} is no header of {space}")
        elif pattern and not re.fullmatch(pattern, value):
            self.faults.append(f"CPIM: {name}: {value!r}")
        elif space == CPIM_SPACE and name == "NS":
            declared, _, uri = value.partition("<")
            self.spaces[declared.strip()] = uri.rstrip(">")

    def check(self):
        """What holds for the whole."""
        for name in ("From", "To"):
            if not self.get(name):
                self.faults.append(f"CPIM: no {name}")
        for name in ("From", "DateTime"):
            if len(self.all(name)) > 1:
                self.faults.append(f"CPIM: {name} more than once")
        if not self.mime_header("content-type"):
            self.faults.append("CPIM: content without Content-Type")
        for space, name in ((IMDN_SPACE, "Message-ID"), (IMDN_SPACE, "Disposition-Notification")):
            if len(self.all(name, space)) > 1:
                self.faults.append(f"CPIM: {name} more than once")
        asked = self.get("Disposition-Notification", IMDN_SPACE)
        if asked is not None and not self.get("Message-ID", IMDN_SPACE):
            self.faults.append("IMDN: asked for without a Message-ID (RFC 5438 §7.1.1.1)")
        if asked is not None and not self.get("DateTime"):
            self.faults.append("IMDN: asked for without a DateTime (RFC 5438 §7.1.1.2)")
        length = self.mime_header("content-length")
        if length and length != str(len(self.content)):
            self.faults.append(f"CPIM: Content-Length {length}, {len(self.content)} bytes")
        if self.content_type() == "message/imdn+xml":
            if asked is not None:
                self.faults.append("IMDN: asks for an IMDN (RFC 5438 §7.2.1)")
            if not self.get("Message-ID", IMDN_SPACE):
                self.faults.append("IMDN: no Message-ID (RFC 5438 §7.2.1)")
            if self.mime_header("content-disposition") != "notification":
                self.faults.append("IMDN: Content-Disposition is not notification (RFC 5438 §7.2.1)")

    def all(self, name, space=CPIM_SPACE):
        """The values of all headers of this name."""
        return [v for s, n, _, v in self.headers if (s, n) == (space, name)]

    def get(self, name, space=CPIM_SPACE):
        """The first value, or None."""
        return (self.all(name, space) or [None])[0]

    def mime_header(self, name):
        """A header of the content, or an empty text."""
        return next((value for n, value in self.mime if n.lower() == name), "")

    def content_type(self):
        """The media type of the content in lower case, without parameters."""
        return self.mime_header("content-type").split(";")[0].strip().lower()

    def describe(self):
        """As a field of an event."""
        return {
            "headers": [[f"{'imdn.' if s == IMDN_SPACE else ''}{n}", v] for s, n, _, v in self.headers],
            "mime": [list(header) for header in self.mime],
        }


def document(data, faults):
    """The root of an XML document, or None."""
    if b"<!DOCTYPE" in data:
        faults.append("a document type declaration")
        return None
    try:
        return ET.fromstring(data)
    except ET.ParseError as problem:
        faults.append(f"no XML: {problem}")
        return None


def read_composing(data, faults):
    """state, refresh and contenttype of an is-composing document (RFC 3994 §6), faults added."""
    root = document(data, faults)
    if root is None or root.tag != COMPOSING + "isComposing":
        faults.append("no isComposing document")
        return {"state": None}
    names = [child.tag.removeprefix(COMPOSING) for child in root if child.tag.startswith(COMPOSING)]
    if not re.fullmatch(r"state(?: lastactive)?(?: contenttype)?(?: refresh)?", " ".join(names)):
        faults.append(f"isComposing with {names}")
    texts = {child.tag.removeprefix(COMPOSING): child.text or "" for child in root}
    if texts.get("state") not in ("active", "idle"):
        faults.append(f"isComposing: {texts.get('state')!r}")
    if "refresh" in texts and not re.fullmatch(r"0*[1-9][0-9]*", texts["refresh"]):
        faults.append(f"isComposing: refresh {texts['refresh']!r}")
    elif int(texts.get("refresh", 60)) < 60:
        faults.append(f"isComposing: refresh of {texts['refresh']} s (RFC 3994 §3.2)")
    if "lastactive" in texts and not re.fullmatch(DATE, texts["lastactive"]):
        faults.append(f"isComposing: lastactive {texts['lastactive']!r}")
    refresh = texts.get("refresh", "")
    return {"state": texts.get("state"), "refresh": int(refresh) if refresh.isdigit() else None}


def read_imdn(data, faults):
    """Message-ID, notification and status of an IMDN (RFC 5438 §11), faults added."""
    root = document(data, faults)
    if root is None or root.tag != IMDN + "imdn":
        faults.append("no imdn document")
        return {"id": None, "notification": None, "status": None}
    names = [child.tag.removeprefix(IMDN) for child in root if child.tag.startswith(IMDN)]
    order = (
        r"message-id datetime(?: recipient-uri original-recipient-uri(?: subject)?)?"
        r"(?: (?:delivery|display|processing)-notification)?"
    )
    if not re.fullmatch(order, " ".join(names)):
        faults.append(f"imdn with {names}")
    texts = {child.tag.removeprefix(IMDN): child.text or "" for child in root}
    if not re.fullmatch(DATE, texts.get("datetime", "")):
        faults.append(f"imdn: datetime {texts.get('datetime')!r}")
    notification = next((name for name in names if name in STATUSES), None)
    statuses = [e.tag.removeprefix(IMDN) for e in root.findall(f"{IMDN}{notification}/{IMDN}status/*")]
    if notification and (len(statuses) != 1 or statuses[0] not in STATUSES[notification]):
        faults.append(f"imdn: {notification} {statuses}")
    return {"id": texts.get("message-id"), "notification": notification, "status": (statuses or [None])[0]}


def check_text(data, content_type, faults):
    """text/plain is UTF-8 unless it says otherwise, and it does not."""
    charset = re.search(r';\s*charset="?([^";]+)', content_type, re.IGNORECASE)
    if charset and charset[1].lower() != "utf-8":
        faults.append(f"charset {charset[1]}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        faults.append("text that is not UTF-8")


def now():
    """The time as RFC 3339 has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_cpim(sender, recipient, content_type, content, headers=(), mime=()):
    """A CPIM message; `headers` are lines' (name, value) after From, To and DateTime."""
    lines = [f"From: {sender}", f"To: {recipient}", f"DateTime: {now()}"]
    lines += [f"{name}: {value}" for name, value in headers]
    inner = [f"Content-Type: {content_type}"] + [f"{name}: {value}" for name, value in mime]
    return ("\r\n".join(lines) + "\r\n\r\n" + "\r\n".join(inner) + "\r\n\r\n").encode("utf-8") + content


def imdn_headers(message_id, asked=None):
    """The headers that ask for an IMDN, or that an IMDN has."""
    out = [("NS", f"imdn <{IMDN_SPACE}>"), ("imdn.Message-ID", message_id)]
    if asked:
        out.append(("imdn.Disposition-Notification", ", ".join(asked)))
    return out


def write_imdn(about, recipient, notification, status):
    """An IMDN."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<imdn xmlns="urn:ietf:params:xml:ns:imdn">'
        f"<message-id>{about}</message-id><datetime>{now()}</datetime><recipient-uri>{recipient}</recipient-uri>"
        f"<original-recipient-uri>{recipient}</original-recipient-uri>"
        f"<{notification}-notification><status><{status}/></status></{notification}-notification></imdn>"
    ).encode("utf-8")


def write_composing(state, refresh=None):
    """An is-composing document."""
    more = f"<refresh>{refresh}</refresh>" if refresh else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">'
        f"<state>{state}</state><contenttype>text/plain</contenttype>{more}</isComposing>"
    ).encode("utf-8")
