"""What RFC 3261 allows on the wire, as checks: one list of faults for one message, empty where there are none.

Written from the RFC alone and from nothing of the gateway, so that the two can disagree. It is stricter than a good
phone: a phone forgives what it understands, this says what is wrong.
"""

import re

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
# A quoted string may hold UTF-8; everything else that is not a text is ASCII.
QUOTED = r'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x00-\x09\x0b\x0c\x0e-\x7f])*"'
ESCAPED = r"%[0-9A-Fa-f]{2}"
LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9])"
TOP_LABEL = r"(?:[A-Za-z]|[A-Za-z][A-Za-z0-9\-]*[A-Za-z0-9])"
IPV4 = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
HOST = rf"(?:{IPV4}|{IPV6}|(?:{LABEL}\.)*{TOP_LABEL}\.?)"
USER = rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|{ESCAPED})+"
PASSWORD = rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|{ESCAPED})*"
PARAM_CHARS = rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|{ESCAPED})+"
HEADER_CHARS = rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$]|{ESCAPED})*"
SIP_URI = (
    rf"sips?:(?:{USER}(?::{PASSWORD})?@)?{HOST}(?::[0-9]+)?"
    rf"(?:;{PARAM_CHARS}(?:={PARAM_CHARS})?)*"
    rf"(?:\?{HEADER_CHARS}={HEADER_CHARS}(?:&{HEADER_CHARS}={HEADER_CHARS})*)?"
)
OTHER_URI = rf"(?!sips?:)[A-Za-z][A-Za-z0-9+\-.]*:(?:[A-Za-z0-9\-_.!~*'();/?:@&=+$,]|{ESCAPED})+"
URI = rf"(?:{SIP_URI}|{OTHER_URI})"
# Without angle brackets a URI may hold no comma, question mark or semicolon (§20.10).
BARE_URI = rf"(?![^;]*[,?]){OTHER_URI}|sips?:(?:[^@;,?<>\s]+@)?{HOST}(?::[0-9]+)?"
DISPLAY = rf"(?:{QUOTED}[ \t]*|(?:{TOKEN}[ \t]+)*(?:{TOKEN}[ \t]*)?)"
GENERIC_PARAM = rf"[ \t]*;[ \t]*{TOKEN}(?:[ \t]*=[ \t]*(?:{TOKEN}|{HOST}|{QUOTED}))?"
NAME_ADDR = rf"{DISPLAY}<{URI}>"
ADDRESS = rf"(?:{NAME_ADDR}|{BARE_URI})(?:{GENERIC_PARAM})*"
VIA = (
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*{TOKEN}[ \t]+{HOST}(?:[ \t]*:[ \t]*[0-9]+)?"
    rf"(?:[ \t]*;[ \t]*{TOKEN}(?:[ \t]*=[ \t]*(?:{TOKEN}|{HOST}|{QUOTED}|[0-9A-Fa-f:.]+))?)*"
)
EVENT_TYPE = r"[A-Za-z0-9\-!%*_+`'~]+(?:\.[A-Za-z0-9\-!%*_+`'~]+)*"
WORD = r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}]+"
MEDIA_TYPE = rf"{TOKEN}[ \t]*/[ \t]*{TOKEN}(?:[ \t]*;[ \t]*{TOKEN}[ \t]*=[ \t]*(?:{TOKEN}|{QUOTED}))*"
TEXT = r"[\x21-\x7e\u0080-\U0010ffff](?:[ \t]*[\x21-\x7e\u0080-\U0010ffff])*"
# RFC 3261 allows letters alone in a subtag; BCP 47, which it follows here, digits too.
LANGUAGE = r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"


def comma_list(item):
    """One or more of `item`."""
    return rf"{item}(?:[ \t]*,[ \t]*{item})*"


# The value of each header that we know, whole.
VALUES = {
    "via": comma_list(VIA),
    "from": ADDRESS,
    "to": ADDRESS,
    "contact": rf"(?:\*|{comma_list(ADDRESS)})",
    "route": comma_list(rf"{NAME_ADDR}(?:{GENERIC_PARAM})*"),
    "record-route": comma_list(rf"{NAME_ADDR}(?:{GENERIC_PARAM})*"),
    "call-id": rf"{WORD}(?:@{WORD})?",
    "cseq": rf"[0-9]+[ \t]+{TOKEN}",
    "max-forwards": r"[0-9]+",
    "content-length": r"[0-9]+",
    "content-type": MEDIA_TYPE,
    "content-language": comma_list(LANGUAGE),
    "content-disposition": rf"{TOKEN}(?:{GENERIC_PARAM})*",
    "content-encoding": comma_list(TOKEN),
    "subject": rf"(?:{TEXT})?",
    "expires": r"[0-9]+",
    "min-expires": r"[0-9]+",
    "retry-after": rf"[0-9]+(?:[ \t]*\([^)]*\))?(?:{GENERIC_PARAM})*",
    "allow": rf"(?:{comma_list(TOKEN)})?",
    "accept": rf"(?:{comma_list(rf'(?:[*]/[*]|{TOKEN}/[*]|{MEDIA_TYPE})(?:{GENERIC_PARAM})*')})?",
    "accept-encoding": r".*",
    "accept-language": r".*",
    "supported": rf"(?:{comma_list(TOKEN)})?",
    "require": comma_list(TOKEN),
    "proxy-require": comma_list(TOKEN),
    "unsupported": comma_list(TOKEN),
    "date": r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    "user-agent": rf"(?:{TOKEN}(?:/{TOKEN})?|\([^()]*\))(?:[ \t]+(?:{TOKEN}(?:/{TOKEN})?|\([^()]*\)))*",
    "server": rf"(?:{TOKEN}(?:/{TOKEN})?|\([^()]*\))(?:[ \t]+(?:{TOKEN}(?:/{TOKEN})?|\([^()]*\)))*",
    # RFC 6665 §8.4; a template is a part of the package's name. RFC 3903 §11.3.1 for SIP-If-Match and SIP-ETag.
    "event": rf"{EVENT_TYPE}(?:{GENERIC_PARAM})*",
    "allow-events": comma_list(EVENT_TYPE),
    "subscription-state": rf"{TOKEN}(?:{GENERIC_PARAM})*",
    # RFC 3515 §2.1, RFC 3892 §2, RFC 4488 §4.
    "refer-to": rf"(?:{NAME_ADDR}|{BARE_URI})(?:{GENERIC_PARAM})*",
    "referred-by": rf"(?:{NAME_ADDR}|{BARE_URI})(?:{GENERIC_PARAM})*",
    "refer-sub": rf"(?:true|false)(?:{GENERIC_PARAM})*",
    "sip-if-match": TOKEN,
    "sip-etag": TOKEN,
    # RFC 4028 §4 and §5, RFC 3262 §7, RFC 3326 §2, RFC 3261 §20.43.
    "session-expires": rf"[0-9]+(?:{GENERIC_PARAM})*",
    "min-se": rf"[0-9]+(?:{GENERIC_PARAM})*",
    "rseq": r"[0-9]+",
    "rack": rf"[0-9]+[ \t]+[0-9]+[ \t]+{TOKEN}",
    "reason": comma_list(rf"{TOKEN}(?:{GENERIC_PARAM})*"),
    "warning": comma_list(rf"[0-9]{{3}} (?:{HOST}(?::[0-9]+)?|{TOKEN}) {QUOTED}"),
    "timestamp": r"[0-9]+(?:\.[0-9]*)?(?:[ \t]+[0-9]*(?:\.[0-9]*)?)?",
}
PATTERNS = {name: re.compile(rf"(?:{pattern})\Z") for name, pattern in VALUES.items()}
# A header that none of the above knows: texts and white space, nothing else.
ANY_VALUE = re.compile(r"[\t\x20-\x7e\u0080-\U0010ffff]*\Z")
REQUEST_LINE = re.compile(rf"({TOKEN}) ({URI}) SIP/2\.0\Z")
STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9]) ([\t\x20-\x7e\u0080-\U0010ffff]*)\Z")
HEADER_LINE = re.compile(rf"({TOKEN})[ \t]*:[ \t]*(.*?)[ \t]*\Z", re.DOTALL)

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "e": "content-encoding", "f": "from", "i": "call-id",
    "k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires",
}
ONCE = (
    "from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "content-disposition", "subject",
    "expires", "min-expires", "event", "subscription-state", "date", "user-agent", "server", "timestamp", "retry-after",
    "session-expires", "min-se", "rseq", "rack", "refer-to", "referred-by", "refer-sub",
)  # fmt: skip
# What a request with a tag in To may be, and what it must be; what makes or moves a dialog, and so says where we are.
WITHIN = ("SUBSCRIBE", "NOTIFY", "INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "PRACK", "INFO", "REFER")
ONLY_WITHIN = ("ACK", "BYE", "UPDATE", "PRACK")
TARGETED = ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER")


class Message:
    """A message taken apart. `faults` says what RFC 3261 has against it."""

    def __init__(self, data, transport):
        self.data = data
        self.faults = []
        self.method = self.uri = self.reason = None
        self.code = 0
        self.headers = []
        head, found, self.body = data.partition(b"\r\n\r\n")
        if not found:
            self.faults.append("no empty line after the headers")
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError:
            self.faults.append("headers are not UTF-8")
            text = head.decode("utf-8", errors="replace")
        # §7.3.1: a line that starts with white space belongs to the one before.
        text = re.sub(r"[ \t]*\r\n[ \t]+", " ", text)
        first, *lines = text.split("\r\n")
        if "\r" in text.replace("\r\n", "") or "\n" in text.replace("\r\n", ""):
            self.faults.append("a bare CR or LF in the headers")
        self.start(first)
        for line in lines:
            self.header(line)
        self.check(transport)

    def start(self, line):
        """The request line or status line."""
        if request := REQUEST_LINE.match(line):
            self.method, self.uri = request.groups()
        elif status := STATUS_LINE.match(line):
            self.code, self.reason = int(status[1]), status[2]
        else:
            self.faults.append(f"start line: {line!r}")
            # Enough to go on with, so that one fault does not hide the rest.
            words = line.split(" ")
            if line.startswith("SIP/") and len(words) > 1 and words[1].isdigit():
                self.code, self.reason = int(words[1]), " ".join(words[2:])
            elif len(words) > 1:
                self.method, self.uri = words[0], words[1]

    def header(self, line):
        """One header line."""
        match = HEADER_LINE.match(line)
        if not match:
            self.faults.append(f"header line: {line!r}")
            return
        name, value = match.groups()
        self.headers.append((name, value))
        key = COMPACT.get(name.lower(), name.lower())
        if not ANY_VALUE.match(value):
            self.faults.append(f"{name}: a character that no header may hold: {value!r}")
        elif key in PATTERNS and not PATTERNS[key].match(value):
            self.faults.append(f"{name}: {value!r}")

    def all(self, name):
        """The values of all headers of this name (long form, lower case), in order."""
        return [v for n, v in self.headers if COMPACT.get(n.lower(), n.lower()) == name]

    def get(self, name):
        """The first value, or an empty text."""
        return (self.all(name) or [""])[0]

    def branch(self):
        """What identifies the transaction: branch and sent-by of the first Via (§17.2.3)."""
        via = self.get("via").split(",")[0]
        found = re.search(r";[ \t]*branch[ \t]*=[ \t]*([^;, \t]+)", via, re.IGNORECASE)
        sent_by = re.match(r"SIP/2\.0/\S+[ \t]+([^;, \t]+)", via)
        return (found[1] if found else "", sent_by[1] if sent_by else "")

    def check(self, transport):
        """What holds for the whole message."""
        for name in ONCE:
            if len(self.all(name)) > 1:
                self.faults.append(f"{name} more than once")
        for name in ("via", "from", "to", "call-id", "cseq"):
            if not self.all(name):
                self.faults.append(f"no {name}")
        if not self.branch()[0].startswith("z9hG4bK"):
            self.faults.append("branch without the magic cookie")
        if not re.search(r";[ \t]*tag=", self.get("from")):
            self.faults.append("From without tag")
        length = self.get("content-length")
        if not length and transport == "tcp":
            self.faults.append("no Content-Length on a stream")
        if length and length.isdigit() and int(length) != len(self.body):
            self.faults.append(f"Content-Length {length}, body of {len(self.body)} bytes")
        if self.body and not self.all("content-type"):
            self.faults.append("a body without Content-Type")
        number = self.get("cseq").split()[:1]
        if number and number[0].isdigit() and int(number[0]) >= 2**31:
            self.faults.append("CSeq of 2^31 or more")
        if self.method:
            self.check_request(transport)
        else:
            self.check_response()

    def check_request(self, transport):
        """What holds for a request, outside of a dialog or within one."""
        if not self.all("max-forwards"):
            self.faults.append("no max-forwards")
        elif self.get("max-forwards").isdigit() and int(self.get("max-forwards")) > 255:
            self.faults.append("Max-Forwards over 255")
        if self.get("cseq").split()[1:] != [self.method]:
            self.faults.append("CSeq names another method")
        tagged = re.search(r";[ \t]*tag=", self.get("to"))
        if tagged and self.method not in WITHIN:
            self.faults.append("To with a tag outside a dialog")
        if not tagged and self.method in ONLY_WITHIN:
            self.faults.append(f"{self.method} without the tag of its dialog")
        if self.method in TARGETED:
            self.check_contact(self.method)
        elif self.method in ("BYE", "CANCEL", "PRACK") and self.all("contact"):
            self.faults.append(f"{self.method} with a Contact (RFC 3261 §20, table 2)")
        if self.method in ("SUBSCRIBE", "NOTIFY"):
            self.check_event(tagged)
        elif self.method in ("INVITE", "UPDATE"):
            self.check_offer()
        elif self.method == "CANCEL":
            self.check_cancel()
        elif self.method == "REFER" and not self.all("refer-to"):
            self.faults.append("REFER without Refer-To (RFC 3515 §2.4.1)")
        if self.method != "REFER" and self.all("refer-to"):
            self.faults.append(f"{self.method} with Refer-To (RFC 3515 §2.2)")
        via = self.get("via")
        if not re.match(rf"SIP/2\.0/{transport}\s", via, re.IGNORECASE):
            self.faults.append(f"Via says {via.split()[:1]}, it came over {transport}")
        for name in ("from", "to"):
            # §19.1.1, table 1: what a URI in From and To may not have.
            uri = re.search(r"<([^>]*)>", self.get(name))
            uri = uri[1] if uri else self.get(name).split(";")[0]
            if re.match(r"sips?:", uri) and re.search(r"\?|;(?:method|maddr|ttl|transport|lr)\b|:[0-9]+(?:;|\Z)", uri):
                self.faults.append(f"{name}: a URI that may not stand there: {uri!r}")
        if self.method == "MESSAGE" and self.all("contact"):
            self.faults.append("MESSAGE with a Contact (RFC 3428 §4)")
        if self.method != "MESSAGE" and len(self.data) > 1300 and "/UDP" in self.get("via"):
            self.faults.append(f"{self.method} of {len(self.data)} bytes over UDP (RFC 3261 §18.1.1)")
        if self.method == "MESSAGE" and len(self.data) > 1300:
            self.faults.append(f"MESSAGE of {len(self.data)} bytes (RFC 3428 §8)")

    def check_contact(self, what):
        """Exactly one SIP URI as the target of a dialog (RFC 3261 §8.1.1.8, §12.1)."""
        value = self.get("contact")
        if len(self.all("contact")) != 1 or re.search(r">[^\"]*,", value):
            self.faults.append(f"{what} without exactly one Contact")
        elif not re.search(r"(?:^|<)sips?:", value):
            self.faults.append(f"{what}: Contact is no SIP URI: {value!r}")

    def check_offer(self):
        """What RFC 3261 §13.2.1 and RFC 4028 §7 want in INVITE and UPDATE."""
        if self.method == "INVITE":
            for name in ("allow", "supported"):
                if not self.all(name):
                    self.faults.append(f"INVITE without {name}")
        self.check_timer()

    def check_timer(self):
        """Session-Expires goes with the extension (RFC 4028 §7.1, §9)."""
        if not self.all("session-expires"):
            return
        tags = [tag.strip() for value in self.all("supported") + self.all("require") for tag in value.split(",")]
        if "timer" not in tags:
            self.faults.append("Session-Expires without the option tag timer")
        refresher = re.search(r";[ \t]*refresher[ \t]*=[ \t]*([^; \t]*)", self.get("session-expires"))
        if refresher and refresher[1] not in ("uac", "uas"):
            self.faults.append(f"Session-Expires: {self.get('session-expires')!r}")
        least = self.get("min-se").split(";")[0] or "90"
        given = self.get("session-expires").split(";")[0].strip()
        if given.isdigit() and least.isdigit() and int(given) < max(90, int(least)):
            self.faults.append(f"Session-Expires of {given} s, less than {max(90, int(least))}")

    def check_cancel(self):
        """RFC 3261 §9.1: one Via, and nothing that a proxy could refuse."""
        if len(self.all("via")) != 1 or "," in self.get("via"):
            self.faults.append("CANCEL with more than one Via")
        for name in ("require", "proxy-require"):
            if self.all(name):
                self.faults.append(f"CANCEL with {name}")
        if self.body:
            self.faults.append("CANCEL with a body")

    def check_event(self, tagged):
        """What RFC 6665 §3.1, §4.1.2 and §4.2.2 want in its two requests."""
        if not self.all("event"):
            self.faults.append(f"{self.method} without Event")
        if self.method == "SUBSCRIBE":
            if not self.all("expires"):
                self.faults.append("SUBSCRIBE without Expires")
            return
        if not tagged:
            self.faults.append("NOTIFY without the tag of its dialog")
        state = self.get("subscription-state")
        if not re.match(r"(?:active|pending|terminated)(?![^; \t])", state):
            self.faults.append(f"Subscription-State: {state!r}")
        ended = state.startswith("terminated")
        if ended and "expires=" in state or not ended and "expires=" not in state:
            self.faults.append(f"Subscription-State: {state!r}: expires has no place here, or is missing")
        if ended and "reason=" not in state:
            self.faults.append("terminated without a reason")

    def check_response(self):
        """What holds for a response."""
        if self.code > 100 and not re.search(r";[ \t]*tag=", self.get("to")):
            self.faults.append("To without tag")
        needed = (
            (401, "www-authenticate"), (405, "allow"), (407, "proxy-authenticate"), (415, "accept"), (420, "unsupported"),
            (421, "require"), (422, "min-se"), (423, "min-expires"), (489, "allow-events"),
        )  # fmt: skip
        for code, name in needed:
            if self.code == code and not self.all(name):
                self.faults.append(f"{code} without {name}")

    def check_answers(self, request):
        """What a response must repeat of its request, byte for byte (§8.2.6.2), and what it must add."""
        if request.method == "SUBSCRIBE" and 200 <= self.code < 300:
            asked, given = request.get("expires") or "3600", self.get("expires")
            if not given.isdigit() or asked.isdigit() and int(given) > int(asked):
                self.faults.append(f"Expires is {given!r}, was {asked!r} (RFC 6665 §4.2.1.1)")
        if request.method in ("SUBSCRIBE", "REFER") and 200 <= self.code < 300:
            if len(self.all("contact")) != 1:
                self.faults.append(f"a 2xx to {request.method} without exactly one Contact")
            if self.code != 200:
                self.faults.append(f"{self.code} to {request.method} (RFC 6665 §8.3.1, RFC 7647 §5)")
        if request.method in ("INVITE", "UPDATE") and self.code > 100:
            self.check_dialog_answer(request)
        for name in ("from", "call-id", "cseq"):
            if self.get(name) != request.get(name):
                self.faults.append(f"{name} is {self.get(name)!r}, was {request.get(name)!r}")
        # The recipient may add received and fill in rport (RFC 3581), nothing else.
        ours = [re.sub(r";rport(?:=[0-9]*)?|;received=[^;,]*", "", v) for v in request.all("via")]
        theirs = [re.sub(r";rport(?:=[0-9]*)?|;received=[^;,]*", "", v) for v in self.all("via")]
        if ours != theirs:
            self.faults.append(f"via is {theirs!r}, was {ours!r}")
        if not self.get("to").startswith(request.get("to")):
            self.faults.append(f"to is {self.get('to')!r}, was {request.get('to')!r}")

    def check_dialog_answer(self, request):
        """What an answer to INVITE or UPDATE must add (RFC 3261 §12.1.1, §13.3.1, RFC 3262 §3, RFC 4028 §9)."""
        if self.code < 300:
            self.check_contact(f"{self.code} to {request.method}")
            # Proxies add theirs before those that were there; nobody takes one away.
            ours = request.all("record-route")
            if ours and self.all("record-route")[-len(ours):] != ours:
                self.faults.append("Record-Route is not what the request had")
        if 200 <= self.code < 300:
            for name in ("allow", "supported"):
                if request.method == "INVITE" and not self.all(name):
                    self.faults.append(f"{self.code} to INVITE without {name}")
            self.check_timer()
            required = [tag.strip() for value in self.all("require") for tag in value.split(",")]
            if "refresher=uac" in self.get("session-expires") and "timer" not in required:
                self.faults.append("refresher=uac without Require: timer (RFC 4028 §9)")
            if self.all("session-expires") and "refresher=" not in self.get("session-expires"):
                self.faults.append("Session-Expires in a 2xx without refresher")
        if 100 < self.code < 200:
            reliable = any("100rel" in value for value in self.all("require"))
            if reliable != bool(self.all("rseq")):
                self.faults.append("RSeq and Require: 100rel belong together (RFC 3262 §3)")
            wanted = any("100rel" in value for value in request.all("require"))
            able = wanted or any("100rel" in value for value in request.all("supported"))
            if reliable and not able or wanted and not reliable:
                self.faults.append("a reliable answer where none may be, or none where one must be (RFC 3262 §3)")
