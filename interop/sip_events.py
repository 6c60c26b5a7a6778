"""Subscriptions and REFER: usages of a dialog of their own, or of a call's (RFC 6665, 3515, 4488, 7647).

`Subscriber` is a subscription of ours, by SUBSCRIBE or by REFER, `Notifier` one of theirs. What a NOTIFY says in its body is
the inheritor's; here it is held against the subscription that it belongs to.
"""

import asyncio
import re

from sip_call import Agent
from sip_dialog import Dialog, entries, event_of, tag_of, uri_of
from sip_grammar import STATUS_LINE
from sip_wire import T1, describe, emit, fresh

# Where the RFC says "immediately" (RFC 6665 §4.2.1.2).
AT_ONCE = 10.0
ACCEPTS = {"conference": "application/conference-info+xml", "refer": "message/sipfrag"}


def state_of(message):
    """The state in Subscription-State, its reason and its expires."""
    state, *parameters = [part.strip() for part in message.get("subscription-state").split(";")]
    fields = dict(part.partition("=")[::2] for part in parameters)
    expires = fields.get("expires", "")
    return state.lower(), fields.get("reason"), int(expires) if expires.isdigit() else None


def is_gruu(address):
    """Whether a Contact is a GRUU (RFC 5627 §4)."""
    return re.search(r";gr(?:=|;|\Z)", uri_of(address)) is not None


class Subscriber:
    """A subscription of ours."""

    def __init__(self, dialog, package, name):
        self.agent, self.dialog, self.package, self.name = dialog.agent, dialog, package, name
        self.number = None  # the id that NOTIFYs carry
        self.numberless = False  # whether they may leave it out
        self.state, self.asked, self.promised = "asked", None, False
        self.heard_of = asyncio.Event()
        dialog.subscriptions.append(self)
        if tag_of(dialog.remote) is None:
            self.agent.halves[(dialog.call_id, tag_of(dialog.local))] = dialog

    def fault(self, what, message=None):
        """Something that the other side did wrong."""
        self.agent.fault(what, self.name, None if message is None else message.data)

    def subscribe(self, expires, headers=()):
        """SUBSCRIBE: the first, or a refresh (§4.1.2)."""
        self.asked = expires
        event = self.package + (f";id={self.number}" if self.number else "")
        ours = [("Event", event), ("Expires", str(expires)), ("Accept", ACCEPTS.get(self.package, "*/*")), *headers]
        self.heard_of.clear()
        self.dialog.ask("SUBSCRIBE", ours, heard=self.answered)

    def refer(self, to, headers=()):
        """REFER (RFC 3515 §2.4.1)."""
        ours = [("Refer-To", f"<{to}>"), ("Accept", "message/sipfrag"), *headers]
        # §2.4.6: NOTIFYs name it by its number, where it is not the first.
        self.number, self.numberless = str(self.dialog.cseq_out + 1), self.dialog.referred == 0
        self.dialog.referred += 1
        self.dialog.ask("REFER", ours, heard=self.answered)

    def answered(self, message, again):
        """A response to it."""
        if message.code < 200 or again:
            return
        method = message.get("cseq").split()[-1]
        if message.code >= 300:
            if self.state == "asked" or message.code in (481, 404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604):
                self.end()
        else:
            if tag_of(self.dialog.remote) is None:
                self.dialog.enter(message)
            elif contact := entries(message.all("contact")):
                self.dialog.target = uri_of(contact[0])
            if message.get("refer-sub").startswith("false"):
                self.end()
            elif not self.heard_of.is_set():
                self.agent.later(self.silence())
        self.agent.answered_event(self, method, message)

    async def silence(self):
        """A NOTIFY follows at once (§4.2.1.2); it may have come before the 2xx."""
        try:
            await asyncio.wait_for(self.heard_of.wait(), AT_ONCE)
        except asyncio.TimeoutError:
            if self.state != "terminated":
                self.fault(f"no NOTIFY within {AT_ONCE} s of a 2xx")

    def fits(self, package, number):
        """Whether a NOTIFY with this Event is ours."""
        return package == self.package and (number == self.number or number is None and self.numberless)

    def notified(self, served):
        """A NOTIFY (§4.1.3)."""
        request = served.request
        state, reason, expires = state_of(request)
        if self.state == "terminated":
            self.fault("a NOTIFY after the last one", request)
            served.reply(481, "Over")
            return
        if expires is not None and self.asked is not None and expires > max(self.asked, 0):
            self.fault(f"expires={expires} in Subscription-State, asked for {self.asked} (§4.1.3)", request)
        if self.state == "active" and state == "pending":
            self.fault("pending after active", request)
        if self.package == "refer":
            self.check_progress(request, state, reason)
        elif request.body and request.get("content-type").split(";")[0].strip().lower() != ACCEPTS.get(self.package):
            self.fault(f"a NOTIFY of {request.get('content-type')}, we accept {ACCEPTS.get(self.package)}", request)
        self.state = state
        self.heard_of.set()
        if contact := entries(request.all("contact")):
            self.dialog.target = uri_of(contact[0])
        served.reply(200, "OK")
        self.agent.notified(self, request, state, reason, expires)
        if state == "terminated":
            self.end()

    def check_progress(self, request, state, reason):
        """RFC 3515 §2.4.4, §2.4.5, §2.4.7; RFC 3420."""
        if not re.match(r"message/sipfrag(?:\s*;\s*version=\"?2\.0\"?)?\s*\Z", request.get("content-type"), re.IGNORECASE):
            self.fault(f"a NOTIFY of refer with {request.get('content-type')!r} (RFC 3515 §2.4.5)", request)
        first, _, rest = request.body.decode("utf-8", errors="replace").partition("\r\n")
        if not STATUS_LINE.match(first):
            self.fault(f"sipfrag does not begin with a status line: {first!r} (RFC 3515 §2.4.5)", request)
        if rest and not rest.endswith("\r\n"):
            self.fault("sipfrag with a header that does not end (RFC 3420 §2.1)", request)
        if state == "terminated" and reason != "noresource":
            self.fault(f"the last NOTIFY of refer has the reason {reason} (RFC 3515 §2.4.7)", request)

    def end(self):
        """Nothing more will come."""
        self.state = "terminated"
        self.agent.halves.pop((self.dialog.call_id, tag_of(self.dialog.local)), None)


class Notifier:
    """A subscription of theirs. Its NOTIFYs wait for each other's answers."""

    def __init__(self, dialog, package, number):
        self.agent, self.dialog, self.package, self.number = dialog.agent, dialog, package, number
        self.state, self.until = "active", 0.0
        self.queue, self.busy, self.timer = [], False, None
        dialog.subscriptions.append(self)

    def fits(self, package, number):
        """Whether a SUBSCRIBE with this Event refreshes it."""
        return (package, number) == (self.package, self.number)

    def accept(self, served, most=3600):
        """200 to a SUBSCRIBE, and how long it will last. Gives whether that is any time at all."""
        asked = served.request.get("expires")
        granted = min(int(asked) if asked.isdigit() else most, most)
        self.last(granted)
        served.reply(200, "OK", [("Contact", self.dialog.contact), ("Expires", str(granted))])
        return granted > 0

    def last(self, seconds):
        """From now on it lasts so long."""
        loop = asyncio.get_running_loop()
        self.until = loop.time() + seconds
        if self.timer is not None:
            self.timer.cancel()
        self.timer = loop.call_later(seconds, self.expired) if seconds else None

    def expired(self):
        """Nobody refreshed it (§4.2.2)."""
        if self.state != "terminated":
            emit("expired", s=self.dialog.name, package=self.package)
            self.agent.unwatched(self)

    def notify(self, body=b"", content_type=None, reason=None):
        """A NOTIFY; with a reason it is the last one."""
        if self.state == "terminated":
            return
        self.state = "terminated" if reason else "active"
        left = max(1, round(self.until - asyncio.get_running_loop().time()))
        state = f"terminated;reason={reason}" if reason else f"active;expires={left}"
        event = self.package + (f";id={self.number}" if self.number else "")
        self.queue.append(([("Event", event), ("Subscription-State", state)], body, content_type))
        if reason and self.timer is not None:
            self.timer.cancel()
        self.next()

    def next(self):
        """The next NOTIFY, where none is on its way."""
        if self.busy or not self.queue:
            return
        headers, body, content_type = self.queue.pop(0)
        self.busy = True
        self.dialog.ask("NOTIFY", headers, body, self.answered, content_type)
        self.agent.later(self.give_up(self.dialog.cseq_out))

    async def give_up(self, number):
        """Who does not answer is not waited for."""
        await asyncio.sleep(64 * T1 + 1)
        if self.busy and self.dialog.cseq_out == number:
            self.busy, self.state, self.queue = False, "terminated", []

    def answered(self, message, again):
        """The answer to one."""
        if message.code < 200 or again:
            return
        self.busy = False
        if message.code in (481, 404, 405, 410, 489, 501):
            if self.state != "terminated":
                emit("unwatched", s=self.dialog.name, package=self.package, code=message.code)
            self.state, self.queue = "terminated", []
        elif message.code >= 300:
            self.agent.fault(f"{message.code} to a NOTIFY", self.dialog.name, message.data)
        self.next()


class Eventful(Agent):
    """An agent with subscriptions."""

    def answered_event(self, subscriber, method, message):
        """The final answer to a SUBSCRIBE or REFER of ours."""
        emit("response", s=subscriber.name, method=method, code=message.code, reason=message.reason, package=subscriber.package)

    def notified(self, subscriber, request, state, reason, expires):
        """A NOTIFY that belongs to a subscription of ours."""
        raise NotImplementedError

    def watched(self, notifier, served):
        """Somebody subscribes, or refreshes. Gives False where there is nothing of this kind to watch."""
        return False

    def unwatched(self, notifier):
        """A subscription of theirs is over."""

    def referred(self, dialog, served):
        """A REFER; None for `dialog` where it came outside of one."""
        raise NotImplementedError

    def event(self, served, dialog):
        request = served.request
        package, number = event_of(request)
        if dialog is None:
            if tag_of(request.get("to")) is not None:
                emit("orphan", s=None, method=request.method)
                served.reply(481, "No Such Dialog")
            elif request.method == "NOTIFY":
                self.fault("a NOTIFY that nobody asked for", None, request.data)
                served.reply(481, "No Such Subscription")
            elif request.method == "REFER":
                emit("request", s=None, **describe(request, served.source, served.transport))
                self.referred(None, served)
            else:
                emit("request", s=None, **describe(request, served.source, served.transport))
                self.subscribed(served, package, number)
            return
        if tag_of(dialog.remote) is None:
            dialog.entered(request)
        dialog.within(request)
        served.call = dialog
        if request.method != "NOTIFY" and is_gruu(dialog.contact):
            self.fault(f"{request.method} in a dialog, though our Contact is a GRUU (RFC 6665 §4.5.2, RFC 7647 §4)", dialog.name, request.data)
        if request.method == "REFER":
            self.target(dialog, request)
            emit("request", s=dialog.name, **describe(request, served.source, served.transport))
            self.referred(dialog, served)
            return
        ours = request.method == "NOTIFY"
        kind = Subscriber if ours else Notifier
        found = next((u for u in reversed(dialog.subscriptions) if isinstance(u, kind) and u.fits(package, number)), None)
        if ours and found is not None:
            found.notified(served)
        elif ours:
            self.fault("a NOTIFY of a subscription that is not there", dialog.name, request.data)
            served.reply(481, "No Such Subscription")
        elif found is not None and found.state != "terminated":
            self.target(dialog, request)
            self.watched(found, served)
        elif getattr(dialog, "state", "over") == "over":
            emit("orphan", s=dialog.name, method=request.method)
            served.reply(481, "No Such Subscription")
        elif package == "refer":
            served.reply(403, "REFER alone makes these")
        else:
            self.target(dialog, request)
            emit("request", s=dialog.name, **describe(request, served.source, served.transport))
            if not self.watched(Notifier(dialog, package, number), served):
                dialog.subscriptions.pop()
                served.reply(489, "Bad Event", [("Allow-Events", "conference")])

    @staticmethod
    def target(dialog, request):
        """Where the other side is from now on (RFC 6665 §4.4.1, RFC 3515 §2.2)."""
        if contact := entries(request.all("contact")):
            dialog.target = uri_of(contact[0])

    def subscribed(self, served, package, number):
        """A SUBSCRIBE outside of dialogs."""
        dialog = self.dialog_for(served)
        if not self.watched(Notifier(dialog, package, number), served):
            self.other(served)
            return

    def dialog_for(self, served):
        """The dialog that a request of theirs makes."""
        request = served.request
        dialog = Dialog(self, None, request.get("call-id"), None, request.get("from"))
        served.call = dialog
        tail = ";transport=tcp" if served.transport == "tcp" else ""
        user = re.match(r"sips?:(?:([^@;?]*)@)?", request.uri)[1]
        dialog.contact = f"<sip:{user + '@' if user else ''}{self.at()}{tail}>"
        dialog.asked_for(served)
        return dialog

    def dialog_to(self, name, local, remote, uri, peer, transport, contact):
        """A dialog that a request of ours to `uri` will make; `remote` is whom it is for (RFC 3261 §8.1.1.2)."""
        dialog = Dialog(self, name, fresh(), f"{local};tag={fresh()}", f"<{remote}>")
        dialog.target, dialog.peer, dialog.transport, dialog.contact = uri, peer, transport, contact
        return dialog
