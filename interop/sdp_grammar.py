"""Session descriptions of MSRP sessions: what RFC 8866, 3264, 4975, 6135, 6714 and 8122 have against one, and our own.

Written from the RFCs alone and from nothing of the gateway. A description is legal for itself, as the answer to an
offer, and after the one before it in the same dialog; each has its own list of faults.
"""

import ipaddress
import re
import time

from msrp_grammar import Uri
from sip_wire import authority

TOKEN = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+"
NUMBER = r"(?:0|[1-9][0-9]*)"
# RFC 8866 §9; "*" in the order stands for any number of lines.
SESSION = ("v", "o", "s", "i?", "u?", "e*", "p*", "c?", "b*", "t+", "k?", "a*")
MEDIA = ("m", "i?", "c*", "b*", "k?", "a*")
LINES = {
    "v": r"0",
    "o": rf"[\x21-\x7e\x80-\U0010ffff]+ {NUMBER} {NUMBER} IN IP[46] \S+",
    "s": r".+",
    "c": r"IN IP[46] \S+",
    "b": rf"{TOKEN}:[0-9]+",
    "t": r"(?:0|[1-9][0-9]{9,}) (?:0|[1-9][0-9]{9,})",
    "m": rf"{TOKEN} [0-9]+(?:/[1-9][0-9]*)? {TOKEN}(?:/{TOKEN})*(?: {TOKEN})+",
    "a": rf"{TOKEN}(?::.+)?",
}
MSRP_TOKEN = r"[\x21\x23-\x27\x2a\x2b\x2d\x2e0-9A-Z\x5e-\x7e]+"
SIP_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
PARAMETER = rf';{MSRP_TOKEN}=(?:{MSRP_TOKEN}|"(?:[^"\\]|\\.)*")'
FORMAT = rf"(?:\*|{MSRP_TOKEN}/(?:\*|{MSRP_TOKEN})(?:{PARAMETER})*)"
FORMATS = re.compile(rf"{FORMAT}(?: {FORMAT})*\Z")
DIGESTS = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
ANSWERS_TO = {
    "sendrecv": DIRECTIONS, "sendonly": ("recvonly", "inactive"), "recvonly": ("sendonly", "inactive"),
    "inactive": ("inactive",),
}  # fmt: skip


class Media:
    """One m= line and what belongs to it."""

    def __init__(self, value, connection):
        words = value.split(" ") + [""] * 4
        self.kind, self.port, self.protocol, self.formats = words[0], words[1], words[2], [w for w in words[3:] if w]
        self.connection = connection
        self.attributes = []

    def all(self, name):
        """The values of all attributes of this name; None for one without a value."""
        return [value for n, value in self.attributes if n == name]

    def get(self, name, default=None):
        """The first value."""
        return (self.all(name) or [default])[0]

    def direction(self):
        """sendrecv where nothing is said (RFC 8866 §6.7)."""
        return next((name for name, _ in self.attributes if name in DIRECTIONS), "sendrecv")

    def path(self):
        """The URIs of a=path, the nearest hop first."""
        return [Uri(text) for text in (self.get("path") or "").split(" ") if text]


class Description:
    """A session description taken apart. `faults` says what is wrong with it for itself."""

    def __init__(self, data):
        self.data = data
        self.faults = []
        self.lines = []
        self.media = []
        self.attributes = []
        self.origin = []
        self.connection = None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            self.faults.append("SDP is not UTF-8")
            text = data.decode("utf-8", errors="replace")
        if not text.endswith("\r\n"):
            self.faults.append("SDP does not end with CRLF")
        if re.search(r"(?<!\r)\n|\r(?!\n)|\0", text):
            self.faults.append("SDP with a bare CR, a bare LF or a NUL")
        for line in re.sub(r"\r?\n\Z", "", text).split("\r\n"):
            self.line(line)
        self.order()
        if not self.connection and any(m.connection is None for m in self.media):
            self.faults.append("SDP without c= for each m=")
        for name, media in [("session", self)] + [(f"m={m.kind}", m) for m in self.media]:
            seen = [n for n, _ in media.attributes if n in DIRECTIONS]
            if len(seen) > 1:
                self.faults.append(f"{name} with several directions: {seen}")
        for media in self.media:
            if media.kind == "message" and media.port != "0":
                self.check_message(media)

    def line(self, line):
        """One line, by its own grammar."""
        kind, equals, value = line[:1], line[1:2], line[2:]
        self.lines.append((kind, value))
        if equals != "=" or kind not in "vosiuepcbtrzkam" or kind in LINES and not re.fullmatch(LINES[kind], value):
            self.faults.append(f"SDP line: {line!r}")
        if kind == "o":
            self.origin = value.split(" ")
            self.check_origin()
        elif kind == "m":
            self.media.append(Media(value, None))
        elif kind == "c":
            if self.media:
                self.media[-1].connection = value
            else:
                self.connection = value
        elif kind == "a":
            name, _, rest = value.partition(":")
            target = self.media[-1] if self.media else self
            target.attributes.append((name, rest if ":" in value else None))
        if kind in "co":
            self.check_address(value.split(" ")[-2:])

    def check_origin(self):
        """Numbers that fit (RFC 3264 §5: 64 bits, signed)."""
        for number in self.origin[1:3]:
            if number.isdigit() and int(number) >= 2**63:
                self.faults.append(f"o= with {number}, over 63 bits")

    def check_address(self, words):
        """IP4 and IP6 go with addresses of their kind, or with a name."""
        if len(words) < 2:
            return
        kind, address = words
        try:
            if f"IP{ipaddress.ip_address(address).version}" != kind:
                self.faults.append(f"{kind} {address}: of the other kind")
        except ValueError:
            if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9\-.]{2,})", address) or re.fullmatch(r"[0-9.]+", address):
                self.faults.append(f"no address: {address!r}")

    def order(self):
        """The lines are in the order of RFC 8866 §9."""
        kinds = "".join(kind for kind, _ in self.lines)

        def pattern(parts):
            """The order as a regular expression over the first letters."""
            return "".join(part if part != "t+" else "(?:tr*z?)+" for part in parts)

        if not re.fullmatch(f"{pattern(SESSION)}(?:{pattern(MEDIA)})*", kinds):
            self.faults.append(f"SDP lines out of order, missing or doubled: {kinds}")

    def attribute(self, media, name):
        """An attribute that may stand at either level (fingerprint, setup)."""
        return media.all(name) or [value for n, value in self.attributes if n == name]

    def check_message(self, media):
        """An MSRP session that is open (RFC 4975 §8, RFC 6135 §4, RFC 8122 §5)."""
        faults = self.faults
        if media.protocol not in ("TCP/MSRP", "TCP/TLS/MSRP"):
            faults.append(f"m=message with {media.protocol}")
        if media.formats != ["*"]:
            faults.append(f"m=message with the formats {media.formats}")
        for name in ("accept-types", "path"):
            if len(media.all(name)) != 1:
                faults.append(f"{len(media.all(name))} times a={name}")
        for name in ("accept-types", "accept-wrapped-types"):
            if media.all(name) and not FORMATS.match(media.get(name) or ""):
                faults.append(f"a={name}: {media.get(name)!r}")
        if len(media.all("accept-wrapped-types")) > 1 or len(media.all("max-size")) > 1:
            faults.append("a=accept-wrapped-types or a=max-size more than once")
        types, wrapped = ((media.get(n) or "").split(" ") for n in ("accept-types", "accept-wrapped-types"))
        if set(types) & set(wrapped) - {""}:
            faults.append("a=accept-wrapped-types repeats accept-types (RFC 4975 §8.6)")
        if media.all("max-size") and not re.fullmatch(r"[0-9]+", media.get("max-size") or ""):
            faults.append(f"a=max-size: {media.get('max-size')!r}")
        if media.all("connection"):
            faults.append("a=connection (RFC 6135 §4.4)")
        setups = media.all("setup")
        if len(setups) != 1 or setups[0] not in ("active", "passive", "actpass"):
            faults.append(f"a=setup: {setups}")
        self.check_chatroom(media)
        if "  " in (media.get("path") or ""):
            faults.append(f"a=path: {media.get('path')!r}")
        self.check_path(media)
        self.check_fingerprints(media)

    def check_chatroom(self, media):
        """RFC 7701 §8: at the media level, once, each token once."""
        rooms = media.all("chatroom")
        if len(rooms) > 1 or any(name == "chatroom" for name, _ in self.attributes):
            self.faults.append("a=chatroom more than once, or at the session level (RFC 7701 §8, §10.4)")
        for room in rooms:
            tokens = [] if room is None else room.split(" ")
            if any(not re.fullmatch(SIP_TOKEN, token) for token in tokens) or len(set(tokens)) != len(tokens):
                self.faults.append(f"a=chatroom:{room} (RFC 7701 §8)")
        if rooms and "message/cpim" not in (media.get("accept-types") or "").lower().split(" "):
            self.faults.append("a=chatroom without message/cpim in accept-types (RFC 7701 §5.2)")

    def check_path(self, media):
        """c=, m= and a=path agree, and the URI is a hard one to guess."""
        path, faults = media.path(), self.faults
        for uri in path:
            faults += uri.faults
            if uri.port is None:
                faults.append(f"{uri}: a path without a port")
        if not path:
            return
        own = path[-1]
        if (media.protocol == "TCP/TLS/MSRP") != (path[0].scheme == "msrps"):
            faults.append(f"{media.protocol} with {path[0]}")
        # RFC 4975 §8.1: they are the endpoint's own; RFC 6714 §4.2: the relay's, where there is one.
        shown = path[0] if media.all("msrp-cema") else own
        if str(shown.port) != media.port:
            faults.append(f"m= says {media.port}, a=path {shown.port}")
        connection = (media.connection or self.connection or "").split(" ")[-1]
        if shown.host.strip("[]").lower() != connection.lower():
            faults.append(f"c= says {connection!r}, a=path {shown.host!r}")
        # §14.1: 80 bits at six to a character, which is the most that a session-id can carry.
        if len(own.session or "") < 14:
            faults.append(f"{own}: a session-id of less than 80 bits")

    def check_fingerprints(self, media):
        """RFC 8122 §5."""
        values = self.attribute(media, "fingerprint")
        if media.protocol == "TCP/TLS/MSRP" and not any((v or "").lower().startswith("sha-256 ") for v in values):
            self.faults.append("TLS without a fingerprint of SHA-256 (RFC 8122 §5.1)")
        for value in values:
            name, _, digest = (value or "").partition(" ")
            size = DIGESTS.get(name.lower())
            if size is None or not re.fullmatch(rf"[0-9A-F]{{2}}(?::[0-9A-F]{{2}}){{{size - 1}}}", digest):
                self.faults.append(f"a=fingerprint: {value!r}")

    # Against others

    def faults_as_offer(self):
        """What an offer may not say."""
        out = []
        for media in self.media:
            if media.kind == "message" and media.get("setup") == "passive" and media.port != "0":
                out.append("an offer with setup:passive (RFC 6135 §4.2.2)")
        return out

    def faults_as_answer(self, offer):
        """What an answer must repeat, or may choose from (RFC 3264 §6, RFC 4145 §4.1)."""
        out = []
        if len(self.media) != len(offer.media):
            return [f"an answer of {len(self.media)} m= lines to an offer of {len(offer.media)}"]
        times = [[value for kind, value in d.lines if kind == "t"] for d in (offer, self)]
        if times[0] != times[1]:
            out.append(f"t= is {times[1]}, was {times[0]}")
        for asked, given in zip(offer.media, self.media):
            if (asked.kind, asked.protocol) != (given.kind, given.protocol):
                out.append(f"m={given.kind} {given.protocol} answers m={asked.kind} {asked.protocol}")
            if asked.port == "0" and given.port != "0":
                out.append("an answer opens what the offer closed")
            if given.port == "0" or given.kind != "message":
                continue
            if given.direction() not in ANSWERS_TO[asked.direction()]:
                out.append(f"{given.direction()} answers {asked.direction()}")
            # RFC 4975 §5.4: who offers without a=setup connects.
            setup = asked.get("setup") or "active"
            allowed = {"active": ("passive",), "passive": ("active",)}.get(setup, ("active", "passive"))
            if given.get("setup") not in allowed:
                out.append(f"setup:{given.get('setup')} answers {setup}")
        return out

    def faults_after(self, before):
        """What holds between two descriptions of one party in one dialog (RFC 3264 §8, RFC 4975 §8.4)."""
        if self.data == before.data:
            return []
        out = []
        old, new = before.origin, self.origin
        if old[:2] + old[3:] != new[:2] + new[3:]:
            out.append(f"o= is {new}, was {old}")
        if len(old) > 2 and len(new) > 2 and old[2].isdigit() and new[2].isdigit() and int(new[2]) != int(old[2]) + 1:
            out.append(f"the version in o= is {new[2]}, was {old[2]}, in another description")
        if [line for line in self.lines if line[0] != "o"] == [line for line in before.lines if line[0] != "o"]:
            out.append("another o= for a description that is the same (RFC 4975 §8.4)")
        if len(self.media) < len(before.media):
            out.append("an m= line went away")
        return out


def compose(uri, origin, options):
    """Our own description. `origin` is [user, id, version]; `options` are those of the commands (msrp_peer.py)."""
    if "sdp" in options:
        return options["sdp"].replace("\n", "\r\n").replace("@PATH@", str(uri)).encode("utf-8")
    kind = "IP6" if ":" in uri.host else "IP4"
    host = uri.host.strip("[]")
    secure = uri.scheme == "msrps"
    lines = ["v=0", f"o={' '.join(str(o) for o in origin)} IN {kind} {host}", "s=-", f"c=IN {kind} {host}", "t=0 0"]
    lines.append(f"m=message {uri.port} {'TCP/TLS/MSRP' if secure else 'TCP/MSRP'} *")
    lines.append(f"a=accept-types:{options.get('accept', '*')}")
    if options.get("wrapped"):
        lines.append(f"a=accept-wrapped-types:{options['wrapped']}")
    if options.get("max_size") is not None:
        lines.append(f"a=max-size:{options['max_size']}")
    lines.append("a=path:" + " ".join([*options.get("relays", []), options.get("path") or str(uri)]))
    if options.get("setup"):
        lines.append(f"a=setup:{options['setup']}")
    if options.get("direction"):
        lines.append(f"a={options['direction']}")
    if secure and options.get("fingerprint"):
        lines.append(f"a=fingerprint:{options['fingerprint']}")
    if options.get("chatroom") is not None:
        lines.append("a=chatroom" + (f":{options['chatroom']}" if options["chatroom"] else ""))
    lines += [f"a={line}" for line in options.get("attributes", [])]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")


def new_origin(user):
    """The first o= of a dialog."""
    now = time.time_ns() // 1000
    return [user, now, now]


def own_uri(scheme, host, port, session):
    """A URI of ours."""
    return Uri(f"{scheme}://{authority(host, port)}/{session};tcp")
