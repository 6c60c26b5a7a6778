#!/usr/bin/python3
"""XMPP clients that a test drives: slixmpp behind JSON lines on stdin and stdout.

Each line on stdin is one command, an object with the key "do"; each line on stdout is one event, an object with the
key "event". One process may be several clients: commands and events of theirs then have the key "as". The end of stdin ends
them. What is read from the wire is reported from the XML itself, not from
slixmpp's view of it, so that white space, languages and unknown elements arrive as they were sent.

Commands
    connect   jid, password, host, port              -> "online" (our own presence came back) or "failed"
    message   to, and any of: id, type, lang, subject, thread, parent, body, bodies {lang: text},
              xhtml (markup inside body), receipt (true asks for one), received (id that we confirm),
              state (XEP-0085), children (XML text)  -> nothing; a "message" event if an error comes back
    raw       xml                                    -> nothing; the bytes go out as they are
    iq        type, to, id, payload (XML text)       -> "iq" when the answer comes
    disconnect                                       -> "offline"
In rooms (XEP-0045), each with "room"; what comes from a room that we asked to be let in to is no "message" and no "presence", but
held against the XEP (muc_room.py), and a fault fails the test:
    join      nick, password, history {maxstanzas, ...} -> "joined" or "refused"     leave  status  -> "left"
    nick      nick -> "renamed" and "changed", or "refused"       show  show, status
    say       body, id                                  whisper  nick, body, id -> "bounced" if an error comes back
    subject   subject                                   ask      to, reason, direct (XEP-0249)      decline  to, reason
    role      nick, role (none: kick), reason           affiliation  jid, affiliation (outcast: ban), reason
    destroy   reason, jid (where to go instead)         configure  fields {var: value} ({}: as it is)
              -> the last three: "done" {id, condition}
    selfping  nick -> "done"                            items -> "done" {jids}
    await     roster [nicks], heard (how many), subject, state, token -> "awaited" as soon as all of that holds
    look      -> "look"                                 allow  fault: what contains this text is no fault
Events
    online offline failed message presence iq problem; joined refused left renamed changed gone whispered bounced subject asked_in
    declined done awaited look fault
"""

import asyncio
import json
import logging
import sys
import xml.etree.ElementTree as ET

import slixmpp
from muc_room import MUC, USER, Seat, invitation, split
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath

CLIENT = "{jabber:client}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
STATES = "{http://jabber.org/protocol/chatstates}"
RECEIPTS = "{urn:xmpp:receipts}"
ADMIN, OWNER = "{http://jabber.org/protocol/muc#admin}", "{http://jabber.org/protocol/muc#owner}"
XHTML_IM = "{http://jabber.org/protocol/xhtml-im}"
XHTML = "{http://www.w3.org/1999/xhtml}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"

for prefix, uri in (("", "jabber:client"), ("stanzas", STANZAS[1:-1]), ("xhtml", XHTML[1:-1])):
    if prefix:
        ET.register_namespace(prefix, uri)


def emit(event, **fields):
    """One event out. Nothing is buffered: the test waits for this line."""
    fields["event"] = event
    sys.stdout.write(json.dumps(fields, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def by_language(element, name):
    """The texts of all children `name`, by their own xml:lang ("" where they carry none)."""
    return {e.get(LANG, ""): e.text or "" for e in element.findall(CLIENT + name)}


def text_of(element, name):
    """The text of the first child `name`, or None."""
    found = element.find(CLIENT + name)
    return None if found is None else found.text or ""


def error_of(element):
    """What <error/> says, or None."""
    error = element.find(CLIENT + "error")
    if error is None:
        return None
    out = {"type": error.get("type"), "by": error.get("by"), "conditions": [], "text": None, "address": None}
    for child in error:
        if child.tag == STANZAS + "text":
            out["text"] = child.text or ""
        elif child.tag.startswith(STANZAS):
            out["conditions"].append(child.tag[len(STANZAS):])
            out["address"] = child.text or None
    out["condition"] = out["conditions"][0] if out["conditions"] else None
    return out


def describe(element):
    """A stanza as the fields of an event."""
    out = {key: element.get(key) for key in ("from", "to", "id", "type")}
    out["lang"] = element.get(LANG)
    out["error"] = error_of(element)
    out["raw"] = ET.tostring(element, encoding="unicode")
    return out


def describe_message(element):
    """A message stanza as the fields of an event."""
    out = describe(element)
    for name in ("body", "subject", "thread"):
        out[name] = text_of(element, name)
    out["bodies"] = by_language(element, "body")
    out["subjects"] = by_language(element, "subject")
    thread = element.find(CLIENT + "thread")
    out["parent"] = None if thread is None else thread.get("parent")
    states = [e.tag[len(STATES):] for e in element if e.tag.startswith(STATES)]
    out["state"] = states[0] if states else None
    out["receipt"] = element.find(RECEIPTS + "request") is not None
    received = element.find(RECEIPTS + "received")
    out["received"] = None if received is None else received.get("id")
    html = element.find(XHTML_IM + "html")
    out["xhtml"] = None if html is None else ET.tostring(html, encoding="unicode")
    out["children"] = [e.tag for e in element]
    return out


def describe_presence(element):
    """A presence stanza as the fields of an event."""
    out = describe(element)
    out["show"] = text_of(element, "show")
    out["priority"] = text_of(element, "priority")
    out["statuses"] = by_language(element, "status")
    out["children"] = [e.tag for e in element]
    return out


class Client(slixmpp.ClientXMPP):
    """slixmpp, with every stanza reported as it was read."""

    def __init__(self, jid, password):
        super().__init__(jid, password)
        for plugin in ("xep_0030", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        # Some servers take nothing else from those who have no account.
        self["feature_mechanisms"].unencrypted_plain = True
        # What is approved, and who is asked, is the test's decision.
        self.auto_authorize = None
        self.auto_subscribe = False
        self.seats, self.name, self.allowed, self.count = {}, None, [], 0
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_all_auth", lambda _: self.tell("failed", why="authentication"))
        self.add_event_handler("connection_failed", self.no_connection)
        self.add_event_handler("disconnected", self.over)
        self.register_handler(Callback("messages", MatchXPath(CLIENT + "message"), self.message_came))
        self.register_handler(Callback("presences", MatchXPath(CLIENT + "presence"), self.presence_came))
        for kind in ("result", "error"):
            self.register_handler(Callback("iq " + kind, StanzaPath("iq@type=" + kind), self.iq_came))

    def tell(self, event, **fields):
        """An event of this client's."""
        if event == "fault" and any(text in fields["what"] for text in self.allowed):
            return
        emit(event, **fields, **({"as": self.name} if self.name else {}))

    def over(self, reason):
        for seat in self.seats.values():
            seat.gone()
        self.tell("offline", why=str(reason))

    async def started(self, _):
        """The stream is bound: ask for the roster, as whoever wants to hear of subscriptions must (RFC 6121 §2.2), and be
        seen, so that messages to our bare address come here."""
        self.get_roster()
        self.send_presence()

    def no_connection(self, reason):
        """Once is enough: whether to try again is the test's decision."""
        self.cancel_connection_attempt()
        self.tell("failed", why=str(reason))

    def message_came(self, stanza):
        seat = self.seats.get(split(stanza.xml.get("from"))[0])
        if (asked := invitation(stanza.xml)) is not None:
            self.tell(asked[0], **asked[1])
        elif seat is None or not seat.message(stanza.xml):
            self.tell("message", **describe_message(stanza.xml))

    def iq_came(self, stanza):
        self.tell("iq", **describe(stanza.xml))

    def presence_came(self, stanza):
        seat = self.seats.get(split(stanza.xml.get("from"))[0])
        if stanza.xml.get("from") == self.boundjid.full and stanza.xml.get("type") is None:
            self.tell("online", jid=self.boundjid.full)
        elif seat is not None:
            seat.presence(stanza.xml)
        else:
            self.tell("presence", **describe_presence(stanza.xml))


def build_message(client, order):
    """A message as slixmpp writes it, with what `order` asks for."""
    message = client.make_message(mto=order["to"], mtype=order.get("type"))
    if order.get("type") is None:
        message.xml.attrib.pop("type", None)
    if "id" in order:
        message["id"] = order["id"]
    if "lang" in order:
        message.xml.set(LANG, order["lang"])

    def add(tag, text=None, **attributes):
        child = ET.SubElement(message.xml, tag, attributes)
        child.text = text
        return child

    if "subject" in order:
        add(CLIENT + "subject", order["subject"])
    if "body" in order:
        add(CLIENT + "body", order["body"])
    for lang, text in order.get("bodies", {}).items():
        add(CLIENT + "body", text).set(LANG, lang)
    if "thread" in order:
        thread = add(CLIENT + "thread", order["thread"])
        if "parent" in order:
            thread.set("parent", order["parent"])
    if "xhtml" in order:
        html = add(XHTML_IM + "html")
        html.append(ET.fromstring("<body xmlns='%s'>%s</body>" % (XHTML[1:-1], order["xhtml"])))
    if order.get("receipt"):
        add(RECEIPTS + "request")
    if "received" in order:
        add(RECEIPTS + "received", id=order["received"])
    if "state" in order:
        add(STATES + order["state"])
    if "children" in order:
        for child in ET.fromstring("<x xmlns='jabber:client'>%s</x>" % order["children"]):
            message.xml.append(child)
    return message


def child(parent, tag, text=None, **attributes):
    """A child element; attributes that are None are left out."""
    found = ET.SubElement(parent, tag, {key: value for key, value in attributes.items() if value is not None})
    found.text = text
    return found


class Rooms:
    """The commands that have to do with rooms, for one client."""

    def __init__(self, client):
        self.client = client

    def obey(self, what, order):
        """One of them; False where it is none."""
        command = getattr(self, "do_" + what, None)
        if command is None:
            return False
        command(order.get("room"), order)
        return True

    def presence(self, to, kind=None, order=None):
        """A presence stanza, to go."""
        presence = self.client.make_presence(pto=to, ptype=kind)
        for name in ("show", "status"):
            if order and order.get(name) is not None:
                child(presence.xml, CLIENT + name, order[name])
        return presence

    def message(self, to, kind, order):
        """A message stanza, to go."""
        message = self.client.make_message(mto=to, mtype=kind)
        if kind is None:
            message.xml.attrib.pop("type", None)
        self.client.count += 1
        message["id"] = order.get("id") or f"{self.client.boundjid.user}-{self.client.count}"
        if "body" in order:
            child(message.xml, CLIENT + "body", order["body"])
        if "children" in order:
            for element in ET.fromstring("<x xmlns='jabber:client'>%s</x>" % order["children"]):
                message.xml.append(element)
        return message

    def ask(self, kind, to, payload, order, read=None):
        """An iq whose answer is told as "done"."""
        iq = self.client.make_iq(ito=to, itype=kind, iquery=None)
        self.client.count += 1
        iq["id"] = order.get("id") or f"{self.client.boundjid.user}-q{self.client.count}"
        iq.xml.append(payload)

        def done(answer):
            error = error_of(answer.xml)
            fields = {} if read is None else read(answer.xml)
            self.client.tell("done", what=order["do"], id=answer.xml.get("id"), room=order.get("room"),
                             condition=error and error["condition"], **fields)  # fmt: skip

        # Whether it is an error is told; slixmpp raises it as well.
        iq.send(callback=done, timeout=60).add_done_callback(lambda future: future.cancelled() or future.exception())

    def do_join(self, room, order):
        me = self.client.boundjid.full
        self.client.seats[room] = Seat(self.client.tell, room, order["nick"], me)
        presence = self.presence(f"{room}/{order['nick']}", order=order)
        x = child(presence.xml, MUC + "x")
        if order.get("password") is not None:
            child(x, MUC + "password", order["password"])
        if order.get("history") is not None:
            child(x, MUC + "history", **{key: str(value) for key, value in order["history"].items()})
        presence.send()

    def do_leave(self, room, order):
        self.presence(f"{room}/{self.client.seats[room].nick}", "unavailable", order).send()

    def do_show(self, room, order):
        self.presence(f"{room}/{self.client.seats[room].nick}", order=order).send()

    def do_nick(self, room, order):
        self.client.seats[room].asked = order["nick"]
        self.presence(f"{room}/{order['nick']}", order=order).send()

    def do_say(self, room, order):
        message = self.message(room, "groupchat", order)
        self.client.seats[room].sent[message["id"]] = order.get("body", "")
        message.send()

    def do_whisper(self, room, order):
        message = self.message(f"{room}/{order['nick']}", "chat", order)
        child(message.xml, USER + "x")
        message.send()

    def do_subject(self, room, order):
        message = self.message(room, "groupchat", order)
        child(message.xml, CLIENT + "subject", order["subject"])
        message.send()

    def do_ask(self, room, order):
        if order.get("direct"):
            message = self.message(order["to"], None, order)
            child(message.xml, "{jabber:x:conference}x", jid=room, reason=order.get("reason"), password=order.get("password"))
        else:
            message = self.message(room, None, order)
            invite = child(child(message.xml, USER + "x"), USER + "invite", to=order["to"])
            if order.get("reason") is not None:
                child(invite, USER + "reason", order["reason"])
        message.send()

    def do_decline(self, room, order):
        message = self.message(room, None, order)
        decline = child(child(message.xml, USER + "x"), USER + "decline", to=order["to"])
        if order.get("reason") is not None:
            child(decline, USER + "reason", order["reason"])
        message.send()

    def change(self, room, order, **attributes):
        """A role or an affiliation (XEP-0045 §8, §9)."""
        query = ET.Element(ADMIN + "query")
        item = child(query, ADMIN + "item", **attributes)
        if order.get("reason") is not None:
            child(item, ADMIN + "reason", order["reason"])
        self.ask("set", room, query, order)

    def do_role(self, room, order):
        self.change(room, order, nick=order["nick"], role=order["role"])

    def do_affiliation(self, room, order):
        self.change(room, order, jid=order["jid"], affiliation=order["affiliation"])

    def do_destroy(self, room, order):
        query = ET.Element(OWNER + "query")
        destroy = child(query, OWNER + "destroy", jid=order.get("jid"))
        if order.get("reason") is not None:
            child(destroy, OWNER + "reason", order["reason"])
        self.ask("set", room, query, order)

    def do_configure(self, room, order):
        query = ET.Element(OWNER + "query")
        form = child(query, "{jabber:x:data}x", type="submit")
        fields = order.get("fields") or {}
        for var, value in [*([("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig")] if fields else []), *fields.items()]:
            child(child(form, "{jabber:x:data}field", var=var), "{jabber:x:data}value", value)
        self.ask("set", room, query, order)

    def do_selfping(self, room, order):
        nick = order.get("nick") or self.client.seats[room].nick
        self.ask("get", f"{room}/{nick}", ET.Element("{urn:xmpp:ping}ping"), order)

    def do_items(self, room, order):
        items = "{http://jabber.org/protocol/disco#items}"
        self.ask("get", room, ET.Element(items + "query"), order, lambda xml: {"jids": [e.get("jid") for e in xml.iter(items + "item")]})

    def do_await(self, room, order):
        self.client.seats[room].wait(order)

    def do_look(self, room, _):
        seat = self.client.seats.get(room)
        self.client.tell("look", there=seat is not None, **({} if seat is None else seat.look()))

    def do_allow(self, _, order):
        self.client.allowed.append(order["fault"])


class Driver:
    """Carries out the commands, one after the other."""

    def __init__(self):
        self.clients = {}  # by what "as" says

    def obey(self, order):
        """One command; whatever goes wrong with it becomes a "problem" event."""
        what, name = order["do"], order.get("as")
        if what == "connect":
            client = self.clients[name] = Client(order["jid"], order["password"])
            client.name = name
            # One server on loopback: no look-ups and no TLS.
            client.use_aiodns = False
            address = (order["host"], order["port"])
            client.connect(address, use_ssl=False, force_starttls=False, disable_starttls=True)
            return
        if name not in self.clients:
            raise ValueError("not connected")
        client = self.clients[name]
        if what == "message":
            build_message(client, order).send()
        elif what == "raw":
            client.send_raw(order["xml"])
        elif what == "iq":
            iq = client.make_iq(id=order["id"], ito=order.get("to"), itype=order["type"])
            if "payload" in order:
                iq.xml.append(ET.fromstring(order["payload"]))
            client.send(iq)
        elif what == "disconnect":
            client.disconnect()
        elif not Rooms(client).obey(what, order):
            raise ValueError("no such command: %s" % what)

    async def run(self):
        """Reads commands until stdin ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                self.obey(json.loads(line))
            except Exception as problem:  # reported, and the test decides
                emit("problem", what=repr(problem), line=line.decode(errors="replace"))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG if "--debug" in sys.argv else logging.WARNING, stream=sys.stderr)
    LOOP = asyncio.new_event_loop()
    asyncio.set_event_loop(LOOP)
    LOOP.run_until_complete(Driver().run())
