"""Calls: INVITE dialogs of both sides (RFC 3261 §12 to §15, RFC 3262, RFC 3311), one media session each.

`Agent` is the user agent with its transactions, `Call` one dialog. What the other side sends is held against the RFC:
a request within a dialog against the dialog, an ACK and a CANCEL against the INVITE they belong to, an SDP against the
offer it answers and the one before it. What becomes of the sessions in SDP is the inheritor's (msrp_peer.py).
"""

import asyncio

from sdp_grammar import Description, new_origin
from sip_dialog import ALLOW, ALLOW_EVENTS, Asked, Dialog, Served, entries, tag_of, uri_of, user_of
from sip_grammar import Message
from sip_wire import Wire, authority, describe, emit


class Call(Dialog):
    """A dialog of an INVITE, or what becomes one."""

    def __init__(self, agent, name, call_id, local, remote):
        super().__init__(agent, name, call_id, local, remote)
        self.invite = None  # our INVITE's transaction, or theirs
        self.said, self.read = None, None  # the last SDP of ours and of theirs
        self.origin = new_origin(agent.user)
        self.options = {}
        self.state = "early"
        self.result = 0  # the final answer to the first INVITE
        self.acked = None  # our ACK's bytes, for 2xx that come again
        self.waiting = None  # their re-INVITE or UPDATE, for us to answer
        self.provisional = 0  # RSeq of the last reliable answer
        self.handed = asyncio.Event()

    # SDP

    def read_sdp(self, message, answers):
        """The description in a message, with all that speaks against it; None where there is none."""
        if not message.body:
            return None
        if message.get("content-type").split(";")[0].strip().lower() != "application/sdp":
            self.fault(f"a body of {message.get('content-type')}", message)
            return None
        description = Description(message.body)
        faults = list(description.faults)
        faults += description.faults_as_answer(answers) if answers else description.faults_as_offer()
        if self.read is not None:
            faults += description.faults_after(self.read)
        for fault in faults:
            self.fault(fault, message)
        self.read = description
        return description

    def write_sdp(self, answers=None, options=None):
        """Our description, as an offer or as the answer to one; its version goes up when it says something new."""
        options = self.options if options is None else options
        data = self.agent.compose(self, self.origin, options, answers)
        if self.said is not None and data != self.said.data and self.said.origin[1:2] == [str(self.origin[1])]:
            self.origin = [*self.origin[:2], self.origin[2] + 1]
            data = self.agent.compose(self, self.origin, options, answers)
        self.said = Description(data)
        return data

    # Requests of ours

    def start(self, order):
        """Our INVITE."""
        self.ours_first = True
        headers = [tuple(header) for header in order.get("headers", [])]
        body = b"" if order.get("no_offer") else self.write_sdp()
        data = self.build("INVITE", headers, body)
        self.invite = Asked(self.agent, data, self.peer, self.transport, self.progress, self)

    def progress(self, message, again):
        """A response to our INVITE."""
        code = message.code
        if code < 200:
            if code > 100:
                emit("progress", s=self.name, **describe(message, self.peer, self.transport))
            if message.all("rseq"):
                self.enter(message)
                self.ask("PRACK", [("RAck", f"{message.get('rseq')} {message.get('cseq')}")])
            return
        if code >= 300:
            self.acknowledge_refusal(message)
            if not again:
                self.result = code
                self.over("failed", **describe(message, self.peer, self.transport))
            return
        if again:
            emit("again", s=self.name, method="INVITE", code=code)
            if self.acked is not None:
                self.agent.later(self.agent.send(self.acked, self.next_hop(), self.transport))
            return
        if self.state not in ("early", "cancelled"):
            emit("forked", s=self.name)
            return
        self.enter(message)
        offer = None
        if self.said is None:
            offer = self.read_sdp(message, None)
        elif message.body or self.read is None:
            if self.read_sdp(message, self.said) is None:
                self.fault("2xx without an answer to our offer", message)
        body = self.write_sdp(answers=offer) if offer else b""
        self.state, self.result = "confirmed", code
        self.agent.later(self.acknowledge(body))
        emit("established", s=self.name, sdp=self.sdp_text(), **describe(message, self.peer, self.transport))
        self.agent.there(self, message)

    async def acknowledge(self, body):
        """The ACK to a 2xx, as late as the test wants it, or never."""
        ack = self.options.get("ack", 0)
        if ack is False:
            return
        await asyncio.sleep(ack)
        number = int(self.invite.request.get("cseq").split()[0])
        self.acked = self.build("ACK", body=body, cseq=number)
        await self.agent.send(self.acked, self.next_hop(), self.transport)
        self.agent.agreed(self)

    def acknowledge_refusal(self, message):
        """The ACK to anything else, a part of the INVITE's transaction (§17.1.1.3)."""
        request = self.invite.request
        lines = [f"ACK {request.uri} SIP/2.0", f"Via: {request.all('via')[0]}", "Max-Forwards: 70"]
        lines += [f"Route: {route}" for route in request.all("route")]
        lines += [f"From: {request.get('from')}", f"To: {message.get('to')}", f"Call-ID: {self.call_id}"]
        lines += [f"CSeq: {request.get('cseq').split()[0]} ACK", "Content-Length: 0"]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        self.agent.later(self.agent.send(data, self.invite.peer, self.transport))

    def cancel(self, headers=()):
        """Takes our INVITE back (§9.1)."""
        request = self.invite.request
        lines = [f"CANCEL {request.uri} SIP/2.0", f"Via: {request.all('via')[0]}", "Max-Forwards: 70"]
        lines += [f"Route: {route}" for route in request.all("route")]
        lines += [f"From: {request.get('from')}", f"To: {request.get('to')}", f"Call-ID: {self.call_id}"]
        lines += [f"CSeq: {request.get('cseq').split()[0]} CANCEL", *[f"{n}: {v}" for n, v in headers], "Content-Length: 0"]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        Asked(self.agent, data, self.invite.peer, self.transport, self.answered("CANCEL"), self)

    def offer(self, method, headers, options, empty):
        """A re-INVITE or an UPDATE."""
        self.options.update(options or {})
        body = b"" if empty else self.write_sdp()
        data = self.build(method, headers, body)
        number = self.cseq_out

        def heard(message, again):
            if message.code < 200:
                return
            if method == "INVITE" and message.code >= 300:
                keep, self.invite = self.invite, asked
                self.acknowledge_refusal(message)
                self.invite = keep
            elif method == "INVITE" and again and self.acked is not None:
                self.agent.later(self.agent.send(self.acked, self.next_hop(), self.transport))
            if again:
                return
            if message.code < 300:
                if contact := entries(message.all("contact")):
                    self.target = uri_of(contact[0])
                answer = b""
                if empty and method == "INVITE":
                    offer = self.read_sdp(message, None)
                    answer = self.write_sdp(answers=offer) if offer else b""
                elif not empty:
                    self.read_sdp(message, self.said)
                if method == "INVITE":
                    self.acked = self.build("ACK", body=answer, cseq=number)
                    self.agent.later(self.agent.send(self.acked, self.next_hop(), self.transport))
                self.agent.agreed(self)
            emit("response", s=self.name, method=method, code=message.code, reason=message.reason)

        asked = Asked(self.agent, data, self.next_hop(), self.transport, heard, self)

    def bye(self, headers=()):
        """Ends it."""
        self.ask("BYE", headers)
        self.over("ended", by="us")

    # Requests of theirs

    def taken(self, served):
        """An INVITE that asks for this dialog (§12.1.1)."""
        self.invite, served.call = served, self
        self.asked_for(served)
        self.read_sdp(served.request, None)

    def ring(self, code, reason, headers=(), reliable=False, body=False):
        """A provisional answer; a reliable one waits for its PRACK."""
        headers = [*headers, ("Contact", self.contact)]
        if reliable:
            self.provisional += 1
            headers += [("Require", "100rel"), ("RSeq", str(self.provisional)), ("Allow", ALLOW)]
        self.invite.reply(code, reason, headers, self.write_sdp(answers=self.read) if body else b"")

    def accept(self, headers=(), silent=False):
        """A 2xx to their INVITE."""
        body = b"" if self.said is not None else self.write_sdp(answers=self.read)
        more = [("Contact", self.contact), ("Allow", ALLOW), ("Allow-Events", ALLOW_EVENTS), ("Supported", "timer")]
        self.state = "accepted"
        if not silent:
            self.invite.reply(200, "OK", [*more, *headers], body)
        if self.read is not None:
            self.agent.agreed(self)

    def refuse(self, code, reason, headers=()):
        """Anything else."""
        self.invite.reply(code, reason, headers)
        self.over("ended", by="us")

    def confirmed(self, ack):
        """An ACK to our 2xx (§13.2.2.4)."""
        again = self.waiting is not None and self.waiting.request.method == "INVITE"
        served = self.waiting if again else self.invite
        if not isinstance(served, Served) or served.code < 200:
            self.fault("an ACK to an INVITE without a final answer", ack)
            return
        number = served.request.get("cseq").split()[0]
        self.within(ack, number)
        if ack.branch()[0] == served.request.branch()[0]:
            self.fault("the ACK to a 2xx has the INVITE's branch (§13.2.2.4)", ack)
        if served.acked.is_set():
            emit("again", s=self.name, method="ACK", code=0)
            return
        served.acked.set()
        if not served.request.body:
            answer = self.read_sdp(ack, self.said)
            if answer is None:
                self.fault("an ACK without an answer to our offer", ack)
            self.agent.agreed(self)
        elif ack.body:
            self.fault("an ACK with a body that answers nothing", ack)
        if self.state == "accepted":
            self.state, self.result = "confirmed", served.code
            emit("confirmed", s=self.name, sdp=self.sdp_text())
            self.agent.there(self, self.invite.request)

    def request(self, served):
        """A request in the dialog, other than ACK."""
        request = served.request
        served.call = self
        self.within(request)
        if request.method == "BYE":
            if self.ours_first and self.acked is None and self.options.get("ack") is not False:
                self.fault("BYE of the callee before our ACK (§15)", request)
            served.reply(200, "OK")
            if self.invite is not None and isinstance(self.invite, Served):
                self.invite.acked.set()
            self.over("ended", by="them", **describe(request, served.source, served.transport))
        elif request.method in ("INVITE", "UPDATE"):
            if entries(request.all("contact")):
                self.target = uri_of(entries(request.all("contact"))[0])
            if self.waiting is not None and self.waiting.code < 200 or self.invite_pending():
                self.fault(f"{request.method} while an INVITE is open (§14.1)", request)
            if request.body:
                self.read_sdp(request, None)
            self.waiting = served
            emit("offered", s=self.name, sdp=self.sdp_text(), **describe(request, served.source, served.transport))
            if self.options.get("reoffer", True):
                self.answer(200, "OK")
        elif request.method == "PRACK":
            rack = request.get("rack").split()
            if rack[:1] != [str(self.provisional)] or rack[1:] != self.invite.request.get("cseq").split():
                self.fault(f"RAck: {request.get('rack')!r}", request)
            served.reply(200, "OK")
            emit("pracked", s=self.name)
        else:
            emit("request", s=self.name, **describe(request, served.source, served.transport))
            served.reply(200, "OK")

    def invite_pending(self):
        """Whether their first INVITE has no final answer yet."""
        return isinstance(self.invite, Served) and self.invite.code < 200

    def answer(self, code, reason, headers=()):
        """The answer to their re-INVITE or UPDATE."""
        served = self.waiting
        offered = bool(served.request.body)
        if code >= 300:
            served.reply(code, reason, headers)
            return
        body = b""
        if offered:
            body = self.write_sdp(answers=self.read)
        elif served.request.method == "INVITE":
            body = self.write_sdp()
        more = [("Contact", self.contact), ("Allow", ALLOW), ("Allow-Events", ALLOW_EVENTS), ("Supported", "timer")]
        if asked := served.request.get("session-expires"):
            # RFC 4028 §9: whoever refreshed goes on doing so.
            more.append(("Session-Expires", asked if "refresher" in asked else f"{asked};refresher=uac"))
            more.append(("Require", "timer"))
        served.reply(code, reason, [*more, *headers], body)
        if offered:
            self.agent.agreed(self)

    def cancelled(self, served):
        """A CANCEL of theirs (§9.2)."""
        invite, request = self.invite, served.request
        for name in ("from", "to", "call-id"):
            if request.get(name) != invite.request.get(name):
                self.fault(f"CANCEL: {name} is not the INVITE's", request)
        if request.uri != invite.request.uri or request.get("cseq").split()[0] != invite.request.get("cseq").split()[0]:
            self.fault("CANCEL: Request-URI or CSeq is not the INVITE's", request)
        if request.all("route") != invite.request.all("route"):
            self.fault("CANCEL: Route is not the INVITE's", request)
        if invite.answer is None:
            self.fault("CANCEL before any provisional answer (§9.1)", request)
        served.tag = invite.tag
        served.reply(200, "OK")
        emit("cancelled", s=self.name, **describe(request, served.source, served.transport))
        if invite.code < 200:
            invite.reply(487, "Request Terminated")
            self.over("ended", by="them", **describe(request, served.source, served.transport))

    def over(self, event, **fields):
        """The end."""
        if self.state == "over":
            return
        self.state = "over"
        emit(event, s=self.name, **fields)
        self.agent.released(self)

    def sdp_text(self):
        """Their last description, for the test."""
        return None if self.read is None else self.read.data.decode("utf-8", errors="replace")


class Agent(Wire):
    """A SIP user agent: transactions, and which dialog a request belongs to."""

    def __init__(self):
        super().__init__()
        self.user, self.domain = "romeo", "example.net"
        self.asked = {}  # (branch, method) -> Asked
        self.served = {}  # (branch, sent-by, method) -> Served
        self.calls, self.dialogs = {}, {}  # by name; by Call-ID, our tag and theirs
        self.halves = {}  # those that a NOTIFY may make, by Call-ID and our tag
        self.branches = {}  # branch -> Call-ID and CSeq of whoever used it
        self.tags = {}  # the other side's tags -> Call-ID
        self.count = 0

    def fault(self, what, name=None, raw=None):
        """Something that the other side did wrong."""
        raise NotImplementedError

    def compose(self, call, origin, options, answers):
        """The bytes of an SDP."""
        raise NotImplementedError

    def agreed(self, call):
        """Offer and answer are there: `call.said` and `call.read`."""
        raise NotImplementedError

    def released(self, call):
        """A call is over."""

    def invited(self, call, served):
        """Somebody invites."""
        raise NotImplementedError

    def other(self, served):
        """A request that belongs to no dialog, and is none of those that may not."""
        raise NotImplementedError

    def there(self, call, message):
        """A call is there: its 2xx came in (`message`), or the ACK to ours (`message` is the INVITE)."""

    def event(self, served, dialog):
        """SUBSCRIBE, NOTIFY or REFER, in this dialog where there is one."""
        raise NotImplementedError

    def know(self, call):
        """The dialog has both tags."""
        key = (call.call_id, tag_of(call.local), tag_of(call.remote))
        self.dialogs[key] = call
        self.halves.pop(key[:2], None)
        owner = self.tags.setdefault(tag_of(call.remote), call.call_id)
        if owner != call.call_id:
            call.fault(f"the tag {tag_of(call.remote)} was another dialog's (§19.3)")

    def came(self, data, source, transport):
        """One message."""
        if not data.strip(b"\r\n\0"):
            return
        message = Message(data, transport)
        if message.method is None:
            asked = self.asked.get((message.branch()[0], message.get("cseq").split(" ")[-1]))
            if asked is None:
                for fault in [*message.faults, "a response to nothing"]:
                    self.fault(fault, None, data)
            else:
                asked.answered(message)
            return
        self.serve(message, source, transport)

    def serve(self, message, source, transport):
        """A request: of a transaction that there is, of a dialog that there is, or a new one."""
        branch, sent_by = message.branch()
        key = (branch, sent_by, "INVITE" if message.method == "ACK" else message.method)
        call = self.dialogs.get((message.get("call-id"), tag_of(message.get("to")), tag_of(message.get("from"))))
        name = call and call.name
        before = self.served.get(key)
        if before is not None and message.method != "ACK":
            if message.data != before.request.data:
                self.fault("a branch used again, or a retransmission that says something else", name, message.data)
            emit("again", s=name, method=message.method, code=before.code)
            if before.answer is not None:
                self.later(self.send(before.answer, source, transport))
            return
        for fault in message.faults:
            self.fault(fault, name, message.data)
        self.check_branch(branch, message, name)
        if message.method == "ACK":
            self.ack(message, before, call)
            return
        served = self.served[key] = Served(self, message, source, transport)
        if message.method == "CANCEL":
            invite = self.served.get((branch, sent_by, "INVITE"))
            if invite is None or invite.call is None:
                self.fault("CANCEL of nothing", name, message.data)
                served.reply(481, "No Such Transaction")
            else:
                invite.call.cancelled(served)
        elif message.method in ("SUBSCRIBE", "NOTIFY", "REFER"):
            self.event(served, call or self.halves.get((message.get("call-id"), tag_of(message.get("to")))))
        elif isinstance(call, Call):
            if call.state == "over":
                emit("orphan", s=name, method=message.method)
                served.reply(481, "Over")
            else:
                call.request(served)
        elif tag_of(message.get("to")) is not None:
            emit("orphan", s=None, method=message.method)
            served.reply(481, "No Such Dialog")
        elif message.method == "INVITE":
            self.count += 1
            call = Call(self, f"i{self.count}", message.get("call-id"), None, message.get("from"))
            self.calls[call.name] = call
            user = user_of(message.uri) or self.user
            call.contact = f"<sip:{user}@{self.at()}{';transport=tcp' if transport == 'tcp' else ''}>"
            call.taken(served)
            self.invited(call, served)
        else:
            emit("request", s=None, **describe(message, source, transport))
            self.other(served)

    def check_branch(self, branch, message, name):
        """A branch belongs to one transaction; the ACK to a refusal and a CANCEL share their INVITE's (§8.1.1.7)."""
        mark = (message.get("call-id"), message.get("cseq").split()[:1])
        if self.branches.setdefault(branch, mark) != mark:
            self.fault(f"the branch {branch} was another transaction's", name, message.data)

    def ack(self, message, before, call):
        """An ACK: to a refusal it has the INVITE's branch, to a 2xx its own."""
        if before is not None and before.code >= 300:
            invite = before.request
            if message.uri != invite.uri or message.all("route") != invite.all("route"):
                self.fault("ACK: Request-URI or Route is not the INVITE's (§17.1.1.3)", before.call and before.call.name, message.data)
            if tag_of(message.get("to")) != before.tag or message.get("from") != invite.get("from"):
                self.fault("ACK: From or To is not the response's (§17.1.1.3)", before.call and before.call.name, message.data)
            before.acked.set()
        elif isinstance(call, Call):
            call.confirmed(message)
        else:
            self.fault("an ACK to nothing", None, message.data)

    def place(self, call, order):
        """Our Contact: the test's, a GRUU, or where we listen."""
        if "contact" in order:
            call.contact = order["contact"]
        elif "gr" in order:
            call.contact = f"<sip:{self.user}@{self.domain};gr={order['gr']}>"
        else:
            tail = ";transport=tcp" if call.transport == "tcp" else ""
            user = user_of(uri_of(order["from"])) if "from" in order else self.user
            call.contact = f"<sip:{user}@{authority(self.host, self.port)}{tail}>"
