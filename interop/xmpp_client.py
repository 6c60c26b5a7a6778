#!/usr/bin/python3
"""An XMPP client that a test drives: slixmpp behind JSON lines on stdin and stdout.

Each line on stdin is one command, an object with the key "do"; each line on stdout is one event, an object with the
key "event". The end of stdin ends the client. What is read from the wire is reported from the XML itself, not from
slixmpp's view of it, so that white space, languages and unknown elements arrive as they were sent.

Commands
    connect   jid, password, host, port              -> "online" (our own presence came back) or "failed"
    message   to, and any of: id, type, lang, subject, thread, parent, body, bodies {lang: text},
              xhtml (markup inside body), receipt (true asks for one), received (id that we confirm),
              state (XEP-0085), children (XML text)  -> nothing; a "message" event if an error comes back
    raw       xml                                    -> nothing; the bytes go out as they are
    iq        type, to, id, payload (XML text)       -> "iq" when the answer comes
    disconnect                                       -> "offline"
Events
    online offline failed message presence iq problem
"""

import asyncio
import json
import logging
import sys
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath

CLIENT = "{jabber:client}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
STATES = "{http://jabber.org/protocol/chatstates}"
RECEIPTS = "{urn:xmpp:receipts}"
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
        # What is approved, and who is asked, is the test's decision.
        self.auto_authorize = None
        self.auto_subscribe = False
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_all_auth", lambda _: emit("failed", why="authentication"))
        self.add_event_handler("connection_failed", self.no_connection)
        self.add_event_handler("disconnected", lambda reason: emit("offline", why=str(reason)))
        self.register_handler(Callback("messages", MatchXPath(CLIENT + "message"), self.message_came))
        self.register_handler(Callback("presences", MatchXPath(CLIENT + "presence"), self.presence_came))
        for kind in ("result", "error"):
            self.register_handler(Callback("iq " + kind, StanzaPath("iq@type=" + kind), self.iq_came))

    async def started(self, _):
        """The stream is bound: ask for the roster, as whoever wants to hear of subscriptions must (RFC 6121 §2.2), and be
        seen, so that messages to our bare address come here."""
        self.get_roster()
        self.send_presence()

    def no_connection(self, reason):
        """Once is enough: whether to try again is the test's decision."""
        self.cancel_connection_attempt()
        emit("failed", why=str(reason))

    def message_came(self, stanza):
        emit("message", **describe_message(stanza.xml))

    def iq_came(self, stanza):
        emit("iq", **describe(stanza.xml))

    def presence_came(self, stanza):
        if stanza.xml.get("from") == self.boundjid.full and stanza.xml.get("type") is None:
            emit("online", jid=self.boundjid.full)
        else:
            emit("presence", **describe_presence(stanza.xml))


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


class Driver:
    """Carries out the commands, one after the other."""

    def __init__(self):
        self.client = None

    def obey(self, order):
        """One command; whatever goes wrong with it becomes a "problem" event."""
        what = order["do"]
        if what == "connect":
            self.client = Client(order["jid"], order["password"])
            # One server on loopback: no look-ups and no TLS.
            self.client.use_aiodns = False
            address = (order["host"], order["port"])
            self.client.connect(address, use_ssl=False, force_starttls=False, disable_starttls=True)
        elif self.client is None:
            raise ValueError("not connected")
        elif what == "message":
            build_message(self.client, order).send()
        elif what == "raw":
            self.client.send_raw(order["xml"])
        elif what == "iq":
            iq = self.client.make_iq(id=order["id"], ito=order.get("to"), itype=order["type"])
            if "payload" in order:
                iq.xml.append(ET.fromstring(order["payload"]))
            self.client.send(iq)
        elif what == "disconnect":
            self.client.disconnect()
        else:
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
