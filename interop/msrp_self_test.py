"""Two of msrp_peer.py against each other, and each of its rules against something that breaks it.

    python3 interop/msrp_peer.py --self-test
"""

import asyncio
import json
import os
import re
import sys
import tempfile

import room_self_test
from im_bodies import Cpim, imdn_headers, read_composing, read_imdn, write_cpim
from msrp_grammar import Cutter, build
from sdp_grammar import Description
from sip_grammar import Message

HERE = os.path.dirname(os.path.abspath(__file__))


class Driven:
    """A peer in a process of its own."""

    def __init__(self, name):
        self.name, self.process, self.waiting, self.at = name, None, [], {}

    async def start(self, host="127.0.0.1", **more):
        """Listens."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", os.path.join(HERE, "msrp_peer.py"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=16 * 1024 * 1024,
        )  # fmt: skip
        await self.do("listen", host=host, port=0, user=self.name, **more)
        self.at = await self.expect("listening")
        return self

    async def do(self, what, **fields):
        """A command."""
        self.process.stdin.write((json.dumps({"do": what, **fields}) + "\n").encode())
        await self.process.stdin.drain()

    async def expect(self, kind, patience=10, **fields):
        """The next event of this kind with these fields."""
        number, end = 0, asyncio.get_running_loop().time() + patience
        while True:
            while number < len(self.waiting):
                event = self.waiting[number]
                if event["event"] == kind and all(event.get(key) == value for key, value in fields.items()):
                    return self.waiting.pop(number)
                number += 1
            try:
                left = end - asyncio.get_running_loop().time()
                line = await asyncio.wait_for(self.process.stdout.readline(), left)
            except asyncio.TimeoutError:
                raise AssertionError(f"{self.name}: no {kind} {fields}; waiting are {self.waiting}") from None
            assert line, f"{self.name} has ended"
            event = json.loads(line)
            assert event["event"] != "problem", event
            assert event["event"] != "fault" or kind == "fault", f"{self.name}: {event}"
            self.waiting.append(event)

    async def invite(self, other, s, **fields):
        """An INVITE to the other one."""
        uri = f"sip:{other.name}@example.com"
        await self.do("invite", s=s, uri=uri, host=other.at["host"], port=other.at["port"], **fields)

    async def policy(self, **fields):
        """How it answers from now on."""
        await self.do("policy", **fields)
        await self.expect("noted")

    async def check(self, faults=0):
        """No fault has been left unread."""
        await self.do("faults")
        assert (await self.expect("faults"))["count"] == faults

    async def stop(self):
        """The end of its process."""
        self.process.stdin.close()
        await asyncio.wait_for(self.process.wait(), 10)


async def pair(host="127.0.0.1", **more):
    """Two peers."""
    return await Driven("romeo").start(host, **more), await Driven("juliet").start(host, **more)


async def talk(host, transport, caller, callee, **more):
    """One session: texts both ways, the end."""
    romeo, juliet = await pair(host, **more)
    await juliet.policy(code=200, ring=True, **callee)
    await romeo.invite(juliet, "a", transport=transport, headers=[["Subject", "Open chat?"]], gr="orchard", **caller)
    invited = await juliet.expect("invited", s="i1")
    assert ["Subject", "Open chat?"] in invited["headers"] and invited["transport"] == transport, invited
    await romeo.expect("progress", code=180)
    await romeo.expect("established", s="a")
    await juliet.expect("confirmed", s="i1")
    await romeo.do("send", s="a", text="Art thou not Romeo?", success="yes", failure="partial")
    got = await juliet.expect("message", s="i1")
    assert (got["text"], got["type"], got["chunks"]) == ("Art thou not Romeo?", "text/plain", 1), got
    assert (await romeo.expect("report", s="a"))["code"] == 200
    await juliet.do("send", s="i1", text="Neither, fair saint \N{ROSE}", type="text/plain;charset=utf-8", cpim=True, imdn=["display"])
    got = await romeo.expect("message", s="a")
    assert got["text"] == "Neither, fair saint \N{ROSE}" and got["content_type"] == "message/cpim", got
    about = dict(got["cpim"]["headers"])["imdn.Message-ID"]
    await romeo.do("imdn", s="a", about=about, notification="display", status="displayed")
    got = await juliet.expect("imdn", s="i1")
    assert got["about"] == {"id": about, "notification": "display-notification", "status": "displayed"}, got
    await romeo.do("composing", s="a", state="active", refresh=90)
    assert (await juliet.expect("composing", s="i1"))["state"] == "active"
    await (romeo if transport == "udp" else juliet).do("bye", s="a" if transport == "udp" else "i1")
    await romeo.expect("ended", s="a")
    await juliet.expect("ended", s="i1")
    for peer in (romeo, juliet):
        await peer.check()
    for peer in (romeo, juliet):
        await peer.stop()


async def test_talks():
    """Who connects, over what."""
    await talk("127.0.0.1", "udp", {}, {})
    await talk("127.0.0.1", "tcp", {}, {"setup": "active"})
    await talk("127.0.0.1", "udp", {"setup": "active"}, {})
    await talk("::1", "udp", {}, {})
    await talk("127.0.0.1", "tcp", {"no_offer": True}, {})
    with tempfile.TemporaryDirectory() as folder:
        await talk("127.0.0.1", "udp", {"tls": True}, {}, tls_port=0, folder=folder)


async def test_sizes():
    """Chunks, messages in each other's midst, aborts, and an answer that says no."""
    romeo, juliet = await pair()
    await romeo.invite(juliet, "a")
    await romeo.expect("bound", s="a")
    for size, more, chunks in ((0, {}, 1), (2048, {}, 1), (2049, {}, 2), (300_000, {}, 147), (300_000, {"whole": True}, 1)):
        await romeo.do("send", s="a", size=size, **more)
        got = await juliet.expect("message", s="i1")
        assert (got["size"], got["chunks"]) == (size, chunks), got
    await romeo.do("weave", s="a", messages=[{"size": 9000, "message_id": "first"}, {"size": 5000, "message_id": "second"}])
    assert (await juliet.expect("message"))["message_id"] == "second"
    assert (await juliet.expect("message"))["message_id"] == "first"
    await romeo.do("send", s="a", size=9000, abort_after=5000)
    assert (await juliet.expect("aborted"))["bytes"] == 5000
    await juliet.do("answering", rules=[{"code": 413, "times": 1}, {"code": 200}])
    await juliet.expect("noted")
    await romeo.do("send", s="a", size=3_000_000, message_id="toolong")
    answer = await romeo.expect("answered", code=413)
    assert answer["message_id"] == "toolong"
    sent = await romeo.expect("sent", message_id="toolong")
    assert sent["stopped"] and sent["bytes"] < 3_000_000, sent
    await romeo.do("send", s="a", text="still here")
    assert (await juliet.expect("message"))["text"] == "still here"
    for peer in (romeo, juliet):
        await peer.check()
    for peer in (romeo, juliet):
        await peer.stop()


async def test_signalling():
    """Refusals, CANCEL, re-INVITE, UPDATE, PRACK, several calls on one connection."""
    romeo, juliet = await pair()
    await juliet.policy(code=486, reason="Busy Here")
    await romeo.invite(juliet, "busy")
    assert (await romeo.expect("failed", s="busy"))["code"] == 486
    await juliet.policy(code=0)
    await romeo.invite(juliet, "never")
    await juliet.expect("invited", s="i2")
    await juliet.do("ring", s="i2")
    await romeo.expect("progress", s="never")
    await romeo.do("cancel", s="never")
    await romeo.expect("response", method="CANCEL", code=200)
    assert (await romeo.expect("failed", s="never"))["code"] == 487
    await juliet.expect("ended", s="i2")
    await romeo.invite(juliet, "late", headers=[["Supported", "100rel"]])
    await juliet.expect("invited", s="i3")
    await juliet.do("ring", s="i3", code=183, reason="Session Progress", reliable=True, sdp=False)
    await juliet.expect("pracked", s="i3")
    await juliet.do("accept", s="i3")
    await romeo.expect("established", s="late")
    await romeo.invite(juliet, "b")
    await juliet.expect("invited", s="i4")
    await juliet.do("accept", s="i4")
    assert (await juliet.expect("bound", s="i4"))["connections"] == 1, "both sessions on one connection"
    for method in ("INVITE", "UPDATE"):
        await romeo.do("offer", s="b", method=method)
        await juliet.expect("offered", s="i4")
        assert (await romeo.expect("response", s="b", method=method))["code"] == 200
        await juliet.do("offer", s="i4", method=method, accept="text/plain")
        await romeo.expect("offered", s="b")
        assert (await juliet.expect("response", s="i4", method=method))["code"] == 200
    for s, text in (("late", "one"), ("b", "two")):
        await romeo.do("send", s=s, text=text)
        assert (await juliet.expect("message", text=text))["s"] == {"late": "i3", "b": "i4"}[s]
    await juliet.do("bye", s="i3")
    await romeo.expect("ended", s="late")
    await romeo.do("send", s="b", text="three")
    await juliet.expect("message", text="three")
    for peer in (romeo, juliet):
        await peer.check()
    for peer in (romeo, juliet):
        await peer.stop()


async def test_attacks():
    """What a peer sees of a connection that breaks, and of one that is not the session's."""
    romeo, juliet = await pair()
    await romeo.invite(juliet, "a")
    await juliet.expect("bound", s="i1")
    await romeo.do("open", on="thief", s="a")
    await romeo.do("hijack", on="thief", s="a")
    assert (await romeo.expect("frame", on="thief"))["code"] == 506
    assert "second connection" in (await juliet.expect("fault"))["what"]
    await romeo.do("hijack", on="thief", s="a", ours="msrp://127.0.0.1:2855/abcdefghijklmnop;tcp")
    assert (await romeo.expect("frame", on="thief"))["code"] == 481
    assert "From-Path" in (await juliet.expect("fault"))["what"]
    await juliet.do("pause", s="i1")
    await romeo.do("send", s="a", size=9000, break_after=5000)
    await juliet.do("resume", s="i1")
    await romeo.expect("lost", s="a", ours=True)
    await juliet.expect("lost", s="i1")
    assert "closed under a session" in (await juliet.expect("fault"))["what"]
    await romeo.do("bye", s="a")
    await juliet.expect("ended", s="i1")
    await romeo.check()
    await juliet.check(faults=3)
    for peer in (romeo, juliet):
        await peer.stop()


async def test_breaches():
    """What only a session or a dialog can know, broken one after the other."""
    romeo, juliet = await pair()
    await juliet.policy(code=200, accept="message/cpim text/plain", wrapped="text/html", max_size=5000)
    await romeo.invite(juliet, "a")
    await juliet.expect("bound", s="i1")
    await romeo.do("path", s="a")
    path = await romeo.expect("path")
    paths = [("To-Path", path["theirs"][0]), ("From-Path", path["ours"])]

    async def expect(fault):
        """This fault, perhaps after others of the same breach."""
        while fault not in (await juliet.expect("fault"))["what"]:
            pass

    def send(tid, message_id, span, body, *headers, kind="text/plain", flag="$"):
        fields = [*paths, ("Message-ID", message_id), ("Byte-Range", span), *headers, ("Content-Type", kind)]
        return build("SEND", fields, body, flag, tid).decode()

    def tid(number):
        return f"transaction{number:020}"

    half = b"x" * 2048
    report = [*paths, ("Message-ID", "unheard"), ("Byte-Range", "1-1/1"), ("Status", "000 200 OK")]
    wrong = [("To-Path", path["theirs"][0].replace(path["theirs"][0].split("/")[3], "abcdefghijklmnop;tcp")), paths[1]]
    breaches = (
        (send(tid(1), "one1", "1-2/2", b"hi") + send(tid(1), "two2", "1-2/2", b"hi"), "used again"),
        (send(tid(2), "three", "1-*/5000", half, flag="+") + send(tid(3), "three", "2050-*/5000", half, flag="#"), "a chunk at 2050"),
        (send(tid(4), "four", "1-*/5000", half, flag="+") + send(tid(5), "four", "2049-*/4999", half, flag="#"), "total is 4999"),
        (send(tid(6), "five", "1-*/5000", half, flag="+")
         + send(tid(7), "five", "2049-*/5000", half, ("Success-Report", "yes"), flag="#"), "not those of the first"),
        (send(tid(8), "one1", "1-2/2", b"hi"), "Message-ID used again"),
        (send(tid(9), "six6", "1-2/2", b"hi", kind="text/html"), "not in our accept-types"),
        (send(tid(10), "seven", "1-*/5001", half, flag="#"), "our max-size was 5000"),
        (send(tid(11), "eight", "1-2/2", b"hi", kind="text/plain;charset=latin1"), "charset"),
        (build("REPORT", report, None, "$", tid(12)).decode(), "a REPORT about nothing"),
        (build("200 OK", paths, None, "$", tid(13)).decode(), "a response to nothing"),
        (build("NICKNAME", [*paths, ("Use-Nickname", '"me"')], None, "$", tid(14)).decode(), "a method"),
        (build("SEND", [*wrong, ("Message-ID", "nine")], None, "$", tid(15)).decode(), "To-Path is not ours"),
    )  # fmt: skip
    # What it answers is an answer to nothing that a peer of this kind has asked.
    await romeo.do("allow", fault="a response to nothing")
    await romeo.expect("noted")
    for text, fault in breaches:
        await romeo.do("raw", s="a", text=text)
        await expect(fault)
    # In the dialog: its last request had CSeq 1.
    contact = f"<sip:romeo@127.0.0.1:{romeo.at['port']}>"
    tags = (await juliet.expect("invited"))["headers"]
    to_tag = next(v for n, v in (await romeo.expect("established"))["headers"] if n == "To").split("tag=")[1]
    from_tag = next(v for n, v in tags if n == "From").split("tag=")[1]
    for method, headers, faults in (
        ("INFO", [["CSeq", "4 INFO"]], ["not one more"]),
        ("INFO", [["CSeq", "2 INFO"]], ["CSeq 2 after 4"]),
        ("INFO", [["CSeq", "5 INFO"], ["Route", "<sip:127.0.0.1;lr>"]], ["Route"]),
        ("INFO", [["CSeq", "6 INFO"], ["From", f"<sip:paris@example.net>;tag={from_tag}"]], ["From and To are"]),
        ("INFO", [["CSeq", "7 INFO"], ["To", f"<sip:nurse@example.com>;tag={to_tag}"]], ["From and To are"]),
        ("UPDATE", [["CSeq", "8 UPDATE"], ["Contact", f"{contact}, {contact}"]], ["without exactly one Contact"]),
        ("BYE", [["CSeq", "9 BYE"], ["Contact", contact]], ["BYE with a Contact"]),
    ):
        await romeo.do("sip", s="a", method=method, headers=headers)
        for fault in faults:
            await expect(fault)
        await romeo.expect("response", method=method)
    for peer in (romeo, juliet):
        await peer.stop()


GOOD_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n"
    "a=accept-types:text/plain\r\na=path:msrp://127.0.0.1:2855/abcdefghijklmnop;tcp\r\na=setup:actpass\r\n"
)
BAD_SDP = (
    ("s=-\r\n", "", "out of order"),
    ("c=IN IP4 127.0.0.1\r\nt=0 0\r\n", "t=0 0\r\nc=IN IP4 127.0.0.1\r\n", "out of order"),
    ("\r\nt=", "\nt=", "bare"),
    ("a=accept-types:text/plain\r\n", "", "0 times a=accept-types"),
    ("a=setup:actpass\r\n", "", "a=setup"),
    ("actpass", "holdconn", "a=setup"),
    ("a=setup", "a=connection:new\r\na=setup", "a=connection"),
    ("message 2855", "message 2856", "m= says 2856"),
    ("c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.2", "c= says"),
    ("c=IN IP4", "c=IN IP6", "of the other kind"),
    ("abcdefghijklmnop", "abc", "less than 80 bits"),
    ("TCP/MSRP", "TCP/TLS/MSRP", "without a fingerprint"),
    ("TCP/MSRP *", "TCP/MSRP 98", "formats"),
    ("text/plain", "text/plain,text/html", "a=accept-types"),
    ("text/plain", "text", "a=accept-types"),
    ("127.0.0.1:2855/", "127.0.0.1/", "without a port"),
    (";tcp", "", "no MSRP URI"),
    ("o=- 1 1", "o=- 01 1", "SDP line"),
    ("a=setup", "a=max-size:big\r\na=setup", "a=max-size"),
    ("actpass", "passive", "setup:passive"),
    ("a=setup", "a=sendonly\r\na=recvonly\r\na=setup", "several directions"),
)
PATHS = [
    ("To-Path", "msrp://127.0.0.1:2855/abcdefghijklmnop;tcp"),
    ("From-Path", "msrp://127.0.0.1:7394/ponmlkjihgfedcba;tcp"),
]
GOOD_SEND = build(
    "SEND", [*PATHS, ("Message-ID", "12339sdqwer"), ("Byte-Range", "1-2/2"), ("Content-Type", "text/plain")], b"hi", "$",
    "d93kswowd93kswow",
).decode()  # fmt: skip
GOOD_REPORT = build(
    "REPORT", [*PATHS, ("Message-ID", "12339sdqwer"), ("Byte-Range", "1-2/2"), ("Status", "000 200 OK")], None, "$",
    "d93kswowd93kswow",
).decode()  # fmt: skip
GOOD_RESPONSE = build("200 OK", PATHS, None, "$", "d93kswowd93kswow").decode()
BAD_FRAMES = (
    (GOOD_SEND, "$\r\n", "$", None),
    (GOOD_SEND, "wow$\r\n", "wow$\n\n", "end-line without CRLF"),
    (GOOD_SEND, "d93kswowd93kswow", "d93k", "less than 64 bits"),
    (GOOD_SEND, "Message-ID: 12339sdqwer\r\n", "", "without Message-ID"),
    (GOOD_SEND, "Message-ID: ", "Message-ID:", "header line"),
    (GOOD_SEND, "Message-ID: ", "Message-ID:  ", "Message-ID"),
    (GOOD_SEND, "Message-ID: 12339sdqwer", "Message-ID: abc", "Message-ID"),
    (GOOD_SEND, "1-2/2", "1-3/3", "there are 2 bytes"),
    (GOOD_SEND, "1-2/2", "1-2/3", "the last chunk ends"),
    (GOOD_SEND, "1-2/2", "0-1/1", "before 1"),
    (GOOD_SEND, "1-2/2", "1-*/1", "byte 2 of 1"),
    (GOOD_SEND, "$\r\n", "+\r\n", "more will come"),
    (GOOD_SEND, "Byte-Range: 1-2/2\r\n", "", "without Byte-Range"),
    (GOOD_SEND, "Content-Type: text/plain\r\n", "", "Content-Type is missing"),
    (GOOD_SEND, "Content-Type: text/plain\r\n", "Content-Type: text/plain\r\nX-Other: 1\r\n", "not last"),
    (GOOD_SEND, "Content-Type: text/plain\r\n", "Content-Transfer-Encoding: binary\r\nContent-Type: text/plain\r\n", "Transfer"),
    (GOOD_SEND, "Content-Type: text/plain", "Content-Type: text", "Content-Type"),
    (GOOD_SEND, "Content-Type: text/plain", "Content-Type: text/plain; charset=utf-8", "Content-Type"),
    (GOOD_SEND, "Message-ID:", "Success-Report: maybe\r\nMessage-ID:", "Success-Report"),
    (GOOD_SEND, "Message-ID:", "Message-ID: 4567\r\nMessage-ID:", "more than once"),
    (GOOD_SEND, "\r\nhi\r\n", "\r\nhi-------d93kswowd93kswow$\r\n", "the end-line in the data"),
    (GOOD_SEND, "MSRP", "msrp", "no start line"),
    (GOOD_SEND, "SEND", "send", "start line"),
    (GOOD_SEND, ";tcp\r\nFrom", "\r\nFrom", "no MSRP URI"),
    (GOOD_SEND, "\r\nhi", "\r\n" + "x" * 3000, "there are 3000 bytes"),
    (GOOD_SEND, "To-Path", "From-Path", "not first"),
    (GOOD_REPORT, "Status: 000 200 OK\r\n", "", "without Status"),
    (GOOD_REPORT, "000 200", "001 200", "Status"),
    (GOOD_REPORT, "000 200", "200", "Status"),
    (GOOD_REPORT, "Status", "Failure-Report: no\r\nStatus", "with Failure-Report"),
    (GOOD_REPORT, "$\r\n", "+\r\n", "with the flag"),
    (GOOD_REPORT, "1-2/2", "1-3/2", "REPORT of"),
    (GOOD_REPORT, "wow$", "wow$", None),
    (GOOD_RESPONSE, "$\r\n", "+\r\n", "with the flag"),
    (GOOD_RESPONSE, "200 OK", "299 OK", "a response with 299"),
    (GOOD_RESPONSE, "200 OK", "200  OK", None),
    (GOOD_RESPONSE, "\r\n-------", "\r\nMessage-ID: 12339\r\n-------", "with Message-ID"),
    (GOOD_RESPONSE, "\r\n-------", "\r\n\r\nbody\r\n-------", "with a body"),
)
GOOD_CPIM = write_cpim("<sip:a@example.net>", "Bob <sip:b@example.com>", "text/plain", b"hi", imdn_headers("1234567", ["display"])).decode()
BAD_CPIM = (
    ("From: ", "From:", "header"),
    ("From: <sip:a@example.net>\r\n", "", "no From"),
    ("NS: imdn <urn:ietf:params:imdn>\r\n", "", "was not declared"),
    ("imdn.Message-ID: 1234567\r\n", "", "without a Message-ID"),
    ("DateTime: 2", "DateTime: Mon 2", "DateTime"),
    ("Content-Type: text/plain\r\n", "X: y\r\n", "without Content-Type"),
    ("To: Bob <", "to: Bob <", "no header of"),
)
GOOD_INVITE = (
    "INVITE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "From: <sip:romeo@example.net>;tag=1\r\nTo: <sip:juliet@example.com>\r\nCall-ID: a@b\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:romeo@127.0.0.1:5060>\r\nAllow: INVITE, ACK, CANCEL, BYE\r\nSupported: timer\r\n"
    "Session-Expires: 1800\r\nContent-Length: 0\r\n\r\n"
)
BAD_INVITE = (
    ("Contact: <sip:romeo@127.0.0.1:5060>\r\n", "", "without exactly one Contact"),
    ("<sip:romeo@127.0.0.1:5060>", "<sip:romeo@127.0.0.1:5060>, <sip:b@c>", "without exactly one Contact"),
    ("<sip:romeo@127.0.0.1:5060>", "<mailto:romeo@example.net>", "Contact is no SIP URI"),
    ("Allow: INVITE, ACK, CANCEL, BYE\r\n", "", "without allow"),
    ("Supported: timer\r\n", "Supported: gruu\r\n", "without the option tag timer"),
    ("1800", "60", "Session-Expires of 60"),
    ("INVITE", "BYE", "without the tag"),
    ("1 INVITE", "1 ACK", "CSeq names another method"),
)


def strict(good, bad, faults):
    """Each breach of `bad` is seen, and `good` has none."""
    assert not faults(good), (good, faults(good))
    for breach in bad:
        was, becomes, fault = breach
        assert was in good, was
        text = good.replace(was, becomes) if "CSeq" not in fault else good.replace(was, becomes, 1)
        found = faults(text)
        assert any(fault in f for f in found), f"{becomes!r} for {was!r}: {found}, not {fault!r}"


def test_rules():
    """Every rule that one message can break."""

    def sdp(text):
        description = Description(text.encode())
        return description.faults + description.faults_as_offer()

    strict(GOOD_SDP, BAD_SDP, sdp)
    for good, was, becomes, fault in BAD_FRAMES:
        assert was in good, was
        for text, wanted in ((good, None), (good.replace(was, becomes), fault)):
            faults = []
            for frame in Cutter().push(text.encode()):
                faults += [frame] if isinstance(frame, str) else frame.faults
            assert bool(faults) == bool(wanted) and (wanted is None or any(wanted in f for f in faults)), (text, faults, wanted)
    strict(GOOD_CPIM, BAD_CPIM, lambda text: Cpim(text.encode()).faults)
    strict(GOOD_INVITE, BAD_INVITE, lambda text: Message(text.encode(), "UDP").faults)
    faults = []
    read_imdn(b"<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>1</message-id></imdn>", faults)
    read_composing(b"<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>busy</state></isComposing>", faults)
    assert len(faults) >= 3, faults
    first = Description(GOOD_SDP.encode())
    for was, becomes, fault in (
        ("o=- 1 1", "o=- 1 2", "another o="), ("text/plain", "text/html", "the version in o= is 1"),
        ("o=- 1 1", "o=- 2 1", "o= is"), ("m=message 2855", "a=x\r\nm=message 2855", "the version"),
    ):  # fmt: skip
        found = Description(GOOD_SDP.replace(was, becomes).encode()).faults_after(first)
        assert any(fault in f for f in found), (found, fault)
    for was, becomes, fault in (("actpass", "actpass", "setup:actpass"), ("t=0 0", "t=0 3000000000", "t= is"), ("actpass", "passive", None)):
        found = Description(GOOD_SDP.replace(was, becomes).encode()).faults_as_answer(first)
        assert any(fault in f for f in found) if fault else not found, (found, fault)
    # Whatever the pieces are that a stream comes in, the frames are the same.
    stream = (GOOD_SEND + GOOD_REPORT + GOOD_RESPONSE).encode()
    for size in (1, 2, 3, 7, 50):
        cutter = Cutter()
        frames = [f for at in range(0, len(stream), size) for f in cutter.push(stream[at : at + size])]
        assert [f.method or f.code for f in frames] == ["SEND", "REPORT", 200] and frames[0].body == b"hi", frames


async def test_rooms():
    """Everybody hears everybody."""
    await room_self_test.room_talks(Driven, "aor", False)
    await room_self_test.room_talks(Driven, "nick", True)


async def test_nicknames():
    await room_self_test.nicknames(Driven)


async def test_gaps():
    await room_self_test.gaps(Driven)


async def test_refusals():
    await room_self_test.refusals(Driven)


async def test_invitations():
    await room_self_test.invitations(Driven)


def test_room_rules():
    room_self_test.documents()
    room_self_test.rules(strict)


async def main():
    """All of it."""
    only = [name for name in sys.argv[1:] if not name.startswith("-")]
    tests = [(name, test) for name, test in globals().items() if re.match(r"test_", name)]
    for name, test in tests:
        if not only or name in only:
            done = test()
            if done is not None:
                await asyncio.wait_for(done, 60)
            print(name, "passed", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
