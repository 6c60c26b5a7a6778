"""Dialogs and transactions (RFC 3261 §12 and §17), as everything that lives in a dialog needs them.

What the other side sends in a dialog is held against the dialog: addresses, Request-URI, CSeq of all usages together.
"""

import asyncio
import re

from sip_grammar import COMPACT, Message
from sip_wire import T1, T2, emit, fresh

ALLOW = "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, OPTIONS, SUBSCRIBE, NOTIFY, REFER"
ALLOW_EVENTS = "conference, refer"
# RFC 3261 §18.1.1: what is longer does not go over UDP.
LONGEST = 1300


def tag_of(address):
    """The tag of a From or To."""
    found = re.search(r";[ \t]*tag=([^;, \t]+)", address)
    return found[1] if found else None


def uri_of(address):
    """The URI of a name-addr."""
    inner = re.search(r"<([^>]*)>", re.sub(r'"(?:[^"\\]|\\.)*"', "", address))
    return inner[1] if inner else address.split(";")[0].strip()


def entries(values):
    """The name-addrs of headers that may hold several in a line."""
    return [entry.strip() for value in values for entry in re.findall(r'(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,])+', value)]


def address_of(uri):
    """(host, port) of a SIP URI whose host is an address, or None."""
    match = re.match(r"sips?:(?:[^@]*@)?(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]+))?(?:;|\Z)", uri)
    return (match[1].strip("[]"), int(match[2] or 5060)) if match else None


def user_of(uri):
    """The user part of a SIP URI, as it is written; None where there is none."""
    match = re.match(r"sips?:([^@;?]*)@", uri)
    return match[1] if match else None


def name_of(address):
    """The display name of a name-addr, or None."""
    match = re.match(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<":;]*?))\s*<', address)
    name = match and (re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2].strip())
    return name or None


def event_of(message):
    """Package and id of an Event header."""
    package, *parameters = [part.strip() for part in message.get("event").split(";")]
    found = [p.partition("=")[2].strip() for p in parameters if p.partition("=")[0].strip().lower() == "id"]
    return package, found[0] if found else None


class Asked:
    """A client transaction (§17.1)."""

    def __init__(self, agent, data, peer, transport, heard, call=None):
        self.agent, self.data, self.peer, self.transport, self.heard, self.call = agent, data, peer, transport, heard, call
        self.request = Message(data, transport)
        self.provisional = self.final = False
        self.tags = set()
        agent.asked[(self.request.branch()[0], self.request.method)] = self
        agent.later(self.run())

    async def run(self):
        """Sends, and again until there is an answer."""
        invite = self.request.method == "INVITE"
        wait, passed = T1, 0.0
        try:
            await self.agent.send(self.data, self.peer, self.transport)
            while passed < 64 * T1 and not self.final:
                await asyncio.sleep(wait)
                passed += wait
                wait = wait * 2 if invite else min(wait * 2, T2)
                if self.final or invite and self.provisional:
                    return
                if self.transport == "udp" and passed < 64 * T1:
                    await self.agent.send(self.data, self.peer, self.transport)
            why = "timeout"
        except OSError as problem:
            why = repr(problem)
        emit("timeout", s=self.call and self.call.name, method=self.request.method, why=why)

    def answered(self, message):
        """A response."""
        message.check_answers(self.request)
        for fault in message.faults:
            self.agent.fault(fault, self.call and self.call.name, message.data)
        self.provisional = True
        again = self.final and (self.request.method != "INVITE" or tag_of(message.get("to")) in self.tags)
        if message.code >= 200:
            self.final = True
            self.tags.add(tag_of(message.get("to")))
        self.heard(message, again)


class Served:
    """A server transaction (§17.2); an INVITE's ends with its ACK."""

    def __init__(self, agent, request, source, transport):
        self.agent, self.request, self.source, self.transport = agent, request, source, transport
        self.tag = tag_of(request.get("to")) or fresh()
        self.answer, self.code = None, 0
        self.acked = asyncio.Event()
        self.call = None

    def reply(self, code, reason, headers=(), body=b"", content_type="application/sdp"):
        """A response (§8.2.6.2, RFC 3581 §4); a final one to an INVITE is said again until it is acknowledged."""
        request, lines = self.request, [f"SIP/2.0 {code} {reason}"]
        for number, via in enumerate(request.all("via")):
            if number == 0:
                via = re.sub(r";rport(?=;|,|\Z)", f";received={self.source[0]};rport={self.source[1]}", via, count=1)
            lines.append(f"Via: {via}")
        to = request.get("to")
        if tag_of(to) is None and code > 100:
            to += f";tag={self.tag}"
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}"]
        lines += [f"CSeq: {request.get('cseq')}"]
        if 100 < code < 300 and request.method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"):
            lines += [f"Record-Route: {value}" for value in request.all("record-route")]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body)}")
        self.answer, self.code = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8") + body, code
        self.agent.later(self.agent.send(self.answer, self.source, self.transport))
        if code >= 200 and request.method == "INVITE":
            self.agent.later(self.insist(self.answer))

    async def insist(self, answer):
        """Timers G and H, and §13.3.1.4 for a 2xx: that one is said again over TCP, too."""
        wait, passed = T1, 0.0
        while passed < 64 * T1:
            try:
                return await asyncio.wait_for(self.acked.wait(), wait)
            except asyncio.TimeoutError:
                passed, wait = passed + wait, min(wait * 2, T2)
            if self.transport == "udp" or self.code < 300:
                await self.agent.send(answer, self.source, self.transport)
        self.agent.fault(f"no ACK to {self.code}", self.call and self.call.name)


class Dialog:
    """A dialog (§12), whatever its usages are: an INVITE's, a subscription's, several at once."""

    def __init__(self, agent, name, call_id, local, remote):
        self.agent, self.name, self.call_id = agent, name, call_id
        self.local, self.remote = local, remote  # name-addrs with tags
        self.contact = None  # our own, as a header has it
        self.target = None
        self.route = []
        self.peer, self.transport = None, "udp"
        self.cseq_out, self.cseq_in = 0, 0
        self.ours_first = False
        self.subscriptions = []  # its usages that are no calls (sip_events.py)
        self.refers, self.referred = 0, 0  # how many REFERs came in, and went out

    def fault(self, what, message=None):
        """Something that the other side did wrong."""
        self.agent.fault(what, self.name, None if message is None else message.data)

    def enter(self, message):
        """The dialog that a response makes (§12.1.2)."""
        self.remote = message.get("to")
        contact = entries(message.all("contact"))
        if contact:
            self.target = uri_of(contact[0])
        self.route = list(reversed(entries(message.all("record-route"))))
        self.agent.know(self)

    def entered(self, request):
        """The dialog that a NOTIFY makes, where it comes before the 2xx (RFC 6665 §4.4.1)."""
        self.remote = request.get("from")
        self.route = entries(request.all("record-route"))
        self.agent.know(self)

    def asked_for(self, served):
        """A request of theirs asks for this dialog (§12.1.1)."""
        request = served.request
        self.peer, self.transport = served.source, served.transport
        self.local = f"{request.get('to')};tag={served.tag}"
        self.target = uri_of(entries(request.all("contact") or ["<sip:nobody@invalid>"])[0])
        self.route = entries(request.all("record-route"))
        self.cseq_in = int(request.get("cseq").split()[0])
        self.agent.know(self)

    # Requests of ours

    def build(self, method, headers=(), body=b"", cseq=None, content_type="application/sdp", transport=None):
        """The bytes of a request within the dialog (§12.2.1.1), or of the INVITE that asks for one."""
        if cseq is None:
            self.cseq_out += 1
            cseq = self.cseq_out
        given = {COMPACT.get(name.lower(), name.lower()) for name, _ in headers}
        transport = (transport or self.transport).upper()
        ours = [
            ("Via", f"SIP/2.0/{transport} {self.agent.at()};branch=z9hG4bK{fresh()};rport"), ("Max-Forwards", "70"),
            ("From", self.local), ("To", self.remote), ("Call-ID", self.call_id), ("CSeq", f"{cseq} {method}"),
        ]  # fmt: skip
        ours += [("Route", route) for route in self.route]
        if method in ("INVITE", "UPDATE"):
            ours += [("Contact", self.contact), ("Allow", ALLOW), ("Allow-Events", ALLOW_EVENTS), ("Supported", "timer")]
        elif method in ("SUBSCRIBE", "NOTIFY", "REFER"):
            ours.append(("Contact", self.contact))
        lines = [f"{method} {self.target} SIP/2.0"]
        lines += [f"{name}: {value}" for name, value in ours if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8") + body

    def next_hop(self):
        """Where a request goes: the first Route, the target where that is an address, or whom we talk to anyway."""
        first = uri_of(self.route[0]) if self.route else self.target
        return address_of(first) or self.peer

    def ask(self, method, headers=(), body=b"", heard=None, content_type="application/sdp"):
        """A request within the dialog."""
        data, transport = self.build(method, headers, body, content_type=content_type), self.transport
        if len(data) > LONGEST and transport == "udp":
            # RFC 3261 §18.1.1.
            transport = "tcp"
            data = self.build(method, headers, body, self.cseq_out, content_type, transport)
        return Asked(self.agent, data, self.next_hop(), transport, heard or self.answered(method), self)

    def answered(self, method):
        """Tells the test of the final answer to a request."""

        def heard(message, again):
            if message.code >= 200 and not again:
                emit("response", s=self.name, method=method, code=message.code, reason=message.reason)

        return heard

    # Requests of theirs

    def within(self, request, number=None):
        """What holds for every request in the dialog (§12.2.1.1)."""
        faults = []
        if uri_of(request.get("from")) != uri_of(self.remote) or uri_of(request.get("to")) != uri_of(self.local):
            faults.append(f"From and To are {request.get('from')} {request.get('to')}, were {self.remote} {self.local}")
        if request.uri != uri_of(self.contact):
            faults.append(f"Request-URI is {request.uri}, our Contact {self.contact}")
        # What we inserted nobody is left to take away: the proxies on the way have taken theirs.
        if route := entries(request.all("route")):
            faults.append(f"Route {route} at the end of the way")
        given = request.get("cseq").split()[0]
        if number is not None and given != number:
            faults.append(f"CSeq of ACK is {given}, of the INVITE {number}")
        if number is None and given.isdigit():
            if int(given) <= self.cseq_in:
                faults.append(f"CSeq {given} after {self.cseq_in}")
            elif self.cseq_in and int(given) != self.cseq_in + 1:
                faults.append(f"CSeq {given} after {self.cseq_in}: not one more (§12.2.1.1)")
            self.cseq_in = max(self.cseq_in, int(given))
        for fault in faults:
            self.fault(fault, request)
