"""Rooms of msrp_peer.py, with participants of msrp_peer.py in them, and each of their rules against something that breaks it.

    python3 interop/msrp_peer.py --self-test
"""

from conference import Conference, Information, write, write_description, write_endpoint, write_state, write_user
from msrp_grammar import Cutter, build
from msrp_room import comparable
from participant import is_focus
from sdp_grammar import Description
from sip_grammar import Message

ROOM = "sip:capulet@example.com"
WHO = ("Romeo", "Benvolio", "Mercutio", "Tybalt", "Paris")


async def house(driven, **room):
    """A focus with a room, and a peer whose calls are participants."""
    focus, people = await driven("focus").start(), await driven("people").start()
    await focus.do("room", room="capulet", domain="example.com", out=[people.at["host"], people.at["port"]], subject="Today in Verona", **room)
    await focus.expect("noted", uri=ROOM)
    return focus, people


async def enter(focus, people, who, nickname=None, within=False, subscribe=True, **more):
    """One more in the room; the call is named as the user."""
    s = who.lower()
    sender = f'"{who}" <sip:{s}@example.net>'
    fields = {"from": sender, "chatroom": "nickname private-messages", **more}
    await people.do("invite", s=s, uri=ROOM, host=focus.at["host"], port=focus.at["port"], **fields)
    await people.expect("established", s=s)
    await focus.expect("joined", name=who)
    if nickname is not None:
        await people.do("nickname", s=s, nick=nickname)
        assert (await people.expect("nicknamed", s=s))["code"] == 200
    if subscribe:
        await people.do("subscribe", s=s, within=within)
        assert (await people.expect("response", s=s, method="SUBSCRIBE"))["code"] == 200
    return s


def names(event):
    """Who is there, as one who watches sees it."""
    return sorted(user["nickname"] or user["name"] for user in event["users"] if "connected" in user["status"])


async def sees(people, s, expected):
    """Waits until that is who is there."""
    event = await people.expect("roster", s=s)
    while names(event) != sorted(expected):
        event = await people.expect("roster", s=s)
    return event


async def close(focus, people, faults=0):
    """Nothing was wrong that was not meant to be."""
    await focus.check(faults)
    await people.check()
    for peer in (focus, people):
        await peer.stop()


async def room_talks(driven, entities, within):
    """Five of them: everybody sees the same people and, of each, the same messages in the same order."""
    focus, people = await house(driven, entities=entities)
    for number, who in enumerate(WHO):
        await enter(focus, people, who, nickname=None if number == 4 else f"{who} \N{ROSE}", within=within)
    everybody = [f"{who} \N{ROSE}" for who in WHO[:4]] + ["Paris"]
    for who in WHO:
        event = await sees(people, who.lower(), everybody)
        assert event["subject"] == "Today in Verona" and event["count"] == 5, event
    for number in range(6):
        for who in WHO:
            await people.do("say", s=who.lower(), text=f"{who} {number}", message_id=f"{who}-{number}")
    for who in WHO:
        for number in range(6):
            assert (await people.expect("answered", message_id=f"{who}-{number}"))["code"] == 200
    for who in WHO:
        heard = {}
        for _ in range(24):
            got = await people.expect("message", s=who.lower())
            assert not got["private"] and got["content_type"] == "message/cpim", got
            heard.setdefault(got["sender"], []).append(got["text"])
        others = [(n, w) for n, w in zip(everybody, WHO) if w != who]
        assert heard == {n: [f"{w} {number}" for number in range(6)] for n, w in others}, heard
    await focus.do("room_look", room="capulet")
    room = await focus.expect("room")
    assert len(room["spoken"]) == 30 and len(room["members"]) == 5 and room["watchers"] == 5, room
    await people.do("whisper", s="romeo", to="Tybalt \N{ROSE}", text="peace")
    got = await people.expect("message", s="tybalt")
    assert got["private"] and got["text"] == "peace" and got["sender"] == "Romeo \N{ROSE}", got
    await people.do("nickname", s="paris", nick="County Paris")
    await people.expect("nicknamed", s="paris", code=200)
    await focus.do("topic", room="capulet", subject="A feast")
    everybody[4] = "County Paris"
    event = await sees(people, "romeo", everybody)
    while event["subject"] != "A feast":
        event = await people.expect("roster", s="romeo")
    for who in WHO[1:]:
        await people.do("bye", s=who.lower())
        await focus.expect("left", how="departed")
    await sees(people, "romeo", [everybody[0]])
    await people.do("bye", s="romeo")
    await focus.expect("left")
    await close(focus, people)


async def nicknames(driven):
    """425, 424, 403; the same for one user in two places; a name given back."""
    focus, people = await house(driven, reserved=["Friar"])
    await enter(focus, people, "Romeo", nickname="Romeo")
    await enter(focus, people, "Paris")
    for nickname, code in (("ROMEO", 425), ("  romeo ", 425), ("friar", 425), ("   ", 424), ("R\N{LATIN SMALL LETTER O WITH ACUTE}meo", 200), ("", 200), ("Rome\\o \"x\"", 200)):
        await people.do("nickname", s="paris", nick=nickname)
        answer = await people.expect("nicknamed", s="paris")
        assert answer["code"] == code, answer
    await sees(people, "romeo", ["Romeo", "Rome\\o \"x\""])
    again = '"Romeo" <sip:romeo@example.net>'
    at = {"host": focus.at["host"], "port": focus.at["port"]}
    await people.do("invite", s="second", uri=ROOM, chatroom="nickname", contact="<sip:romeo@example.net;gr=balcony>", **{"from": again}, **at)
    await people.expect("established", s="second")
    await people.do("nickname", s="second", nick="Romeo")
    assert (await people.expect("nicknamed", s="second"))["code"] == 200
    await people.do("subscribe", s="second")
    event = await sees(people, "second", ["Romeo", "Rome\\o \"x\""])
    assert sorted(len(user["endpoints"]) for user in event["users"]) == [1, 2], event
    await people.do("nickname", s="second", nick="Montague")
    assert (await people.expect("nicknamed", s="second"))["code"] == 200
    await sees(people, "romeo", ["Romeo", "Montague", "Rome\\o \"x\""])
    await focus.do("room", room="capulet", nicknames=False)
    await focus.expect("noted")
    await people.do("nickname", s="second", nick="Other")
    assert (await people.expect("nicknamed", s="second"))["code"] == 403
    assert "no nicknames" in (await focus.expect("fault"))["what"]
    await close(focus, people, faults=1)


async def gaps(driven):
    """A NOTIFY that is lost is noticed; a refresh brings everything; an end is an end."""
    focus, people = await house(driven, version=41)
    await enter(focus, people, "Romeo")
    assert (await people.expect("roster"))["version"] == 41
    await people.do("allow", fault="partial version 43 after 41")
    await people.expect("noted")
    await focus.do("room", room="capulet", lose=1)
    await focus.expect("noted")
    await enter(focus, people, "Paris", subscribe=False)
    await focus.expect("swallowed", version=42)
    await focus.do("topic", room="capulet", subject="lost")
    event = await sees(people, "romeo", ["Romeo", "Paris"])
    assert event["document"] in ("full", "partial"), event
    await people.do("subscribe", s="romeo", expires=0)
    event = await people.expect("roster", state="terminated")
    assert event["reason"] == "timeout", event
    await close(focus, people)


async def refusals(driven):
    """What a switch and a focus do not take."""
    focus, people = await house(driven, most=3)
    for who in ("Romeo", "Paris"):
        await enter(focus, people, who)
    await enter(focus, people, "Tybalt", chatroom="nickname", subscribe=False)
    await sees(people, "romeo", ["Romeo", "Paris", "Tybalt"])
    at = {"uri": ROOM, "host": focus.at["host"], "port": focus.at["port"]}
    await people.do("invite", s="fourth", chatroom="", **{"from": "<sip:nurse@example.net>"}, **at)
    assert (await people.expect("failed", s="fourth"))["code"] == 486
    for order, code, fault in (
        ({"to": "sip:nobody@example.net"}, 404, None),
        ({"to": "sip:tybalt@example.net"}, 428, None),
        ({"to": ROOM, "from": "<sip:paris@example.net>"}, 403, "From is sip:paris@example.net"),
        ({"to": ROOM.replace("capulet", "Capulet"), "cpim": {"headers": [["To", "<sip:paris@example.net>"]]}}, 403, "2 times To"),
    ):
        await people.do("whisper", s="romeo", text="psst", message_id=f"to-{order['to'][4:9]}-{code}", **order)
        assert (await people.expect("answered", message_id=f"to-{order['to'][4:9]}-{code}"))["code"] == code, order
        if fault is not None:
            assert fault in (await focus.expect("fault"))["what"], order
    await people.do("send", s="romeo", text="unwrapped", message_id="unwrapped")
    assert (await people.expect("answered", message_id="unwrapped"))["code"] == 415
    assert "accept-types" in (await focus.expect("fault"))["what"]
    await people.do("bye", s="tybalt")
    await focus.expect("left")
    await people.do("invite", s="plain", accept="text/plain", **{"from": "<sip:nurse@example.net>"}, **at)
    assert (await people.expect("failed", s="plain"))["code"] == 488
    assert "without message/cpim" in (await focus.expect("fault"))["what"]
    await focus.do("room", room="capulet", refuse={"code": 480, "reason": "Later"})
    await focus.expect("noted")
    await people.do("invite", s="later", chatroom="", **{"from": "<sip:nurse@example.net>"}, **at)
    assert (await people.expect("failed", s="later"))["code"] == 480
    await close(focus, people, faults=4)


async def invitations(driven):
    """REFER in the dialog and outside, with and without a subscription; refused, taken; out again, banned, and the end of it all."""
    focus, people = await house(driven)
    await enter(focus, people, "Romeo")
    await people.policy(code=200, chatroom="nickname private-messages")
    await people.do("refer", s="romeo", to="sip:benvolio@example.net")
    assert (await people.expect("response", s="romeo", method="REFER"))["code"] == 200
    assert (await people.expect("progressed", s="romeo"))["code"] == 100
    invited = await people.expect("invited", s="i1")
    assert is_focus(next(v for n, v in invited["headers"] if n == "Contact")) and ["Referred-By", "<sip:romeo@example.net>"] in invited["headers"]
    last = await people.expect("progressed", s="romeo", code=200)
    assert last["state"] == "terminated" and last["number"] == "2", last
    await people.do("subscribe", s="i1")
    for s in ("i1", "romeo"):
        await sees(people, s, ["Romeo", "benvolio"])
    await people.do("say", s="i1", text="I am here")
    assert (await people.expect("message", s="romeo"))["sender"] == "benvolio"
    await people.policy(code=603, reason="Decline")
    await people.do("refer", s="romeo", to="sip:mercutio@example.net")
    assert (await people.expect("progressed", s="romeo", code=603))["number"] == "3"
    await people.do("refer", s="out", to="sip:tybalt@example.net", uri=ROOM, host=focus.at["host"], port=focus.at["port"])
    assert (await people.expect("progressed", s="out", code=603))["state"] == "terminated"
    await people.do("refer", s="romeo", to="sip:paris@example.net", sub=False)
    assert (await people.expect("response", s="romeo", method="REFER"))["code"] == 200
    assert (await focus.expect("dialling", to="sip:paris@example.net"))["room"] == "capulet"
    # Somebody refers us to the room, as an invitation is.
    await focus.do("refer", s="direct", to=ROOM, uri="sip:romeo@example.net", host=people.at["host"], port=people.at["port"])
    referred = await people.expect("referred")
    assert referred["to"] == ROOM, referred
    assert (await focus.expect("progressed", s="direct"))["state"] == "terminated"
    await focus.do("kick", room="capulet", who="benvolio", reason="peace, ho", ban=True)
    ended = await people.expect("ended", s="i1")
    assert ended["by"] == "them" and any(n == "Reason" for n, _ in ended["headers"]), ended
    event = await people.expect("roster", s="i1", state="terminated")
    assert event["reason"] == "rejected", event
    event = await people.expect("roster", s="romeo")
    while not any("booted" in user["left"] for user in event["users"]):
        event = await people.expect("roster", s="romeo")
    await sees(people, "romeo", ["Romeo"])
    await people.do("invite", s="banned", uri=ROOM, host=focus.at["host"], port=focus.at["port"], chatroom="", **{"from": "<sip:benvolio@example.net>"})
    assert (await people.expect("failed", s="banned"))["code"] == 403
    await focus.do("destroy", room="capulet")
    event = await people.expect("roster", s="romeo", state="terminated")
    assert event["over"] and event["reason"] == "noresource" and event["users"] == [], event
    await people.expect("ended", s="romeo")
    await close(focus, people)


def document(version=1, state="full", users=None, parts=None):
    """A document with two in the room."""
    if users is None:
        end = write_endpoint("sip:romeo@127.0.0.1:5060", "connected", "dialed-in", "2013-12-12T10:01:03Z", media="1")
        users = [write_user("sip:romeo@example.net", "Romeo", "Romeo M.", ["xmpp:romeo@example.org"], [end]), write_user("sip:ben@example.net", None, "Ben", [], [])]
    parts = [write_description("Today", "Capulet", ROOM), write_state(2)] if parts is None else parts
    return write(ROOM, version, state, parts, users).decode()


BAD_DOCUMENTS = (
    ("<conference-info", "<!DOCTYPE x><conference-info", "document type"),
    ('xmlns="urn:ietf:params:xml:ns:conference-info"', 'xmlns="urn:example:other"', "no conference-info"),
    (' version="1"', "", "without version"),
    ('version="1"', 'version="4294967296"', "over 32 bits"),
    ('version="1"', 'version="-1"', "version is"),
    (f' entity="{ROOM}"', "", "without entity"),
    (f'entity="{ROOM}"', 'entity="capulet"', "entity is"),
    ('state="full"', 'state="whole"', "state is"),
    ("<conference-description>", "<conference-state/><conference-description>", "(§6)"),
    ("<users", "<extra/><users", "(§6)"),
    (' entity="sip:ben@example.net"', "", "without entity"),
    ('entity="sip:ben@example.net"', 'entity="sip:romeo@example.net"', "twice"),
    ('entity="sip:ben@example.net"', 'entity="sip:b n@example.net"', "entity is"),
    ('<user entity="sip:ben@example.net" state="full">', '<user entity="sip:ben@example.net" state="deleted">', "within what is full"),
    ("xcon:nickname", "nickname", "with the attribute nickname"),
    ("<status>connected</status>", "<status>here</status>", "status"),
    ("<status>connected</status><joining-method>dialed-in</joining-method>", "<joining-method>dialed-in</joining-method><status>connected</status>", "(§6)"),
    ("<when>2013-12-12T10:01:03Z</when>", "<when>yesterday</when>", "when"),
    (' id="1"', "", "without id"),
    ("<user-count>2</user-count>", "<user-count>two</user-count>", "user-count"),
    ("<display-text>Ben</display-text>", "Ben", "text between"),
    ("<roles><entry>participant</entry></roles></user>", "<display-text/></user>", "(§6)"),
    ("<roles><entry>participant</entry></roles>", "<roles/>", "roles with"),
)


def documents():
    """One document at a time, and what a subscriber makes of several."""
    good = document()
    assert not Information(good.encode()).faults, Information(good.encode()).faults
    for was, becomes, fault in BAD_DOCUMENTS:
        assert was in good, was
        found = Information(good.replace(was, becomes, 1).encode()).faults
        assert any(fault in f for f in found), (becomes, found, fault)
    missing = Information(write(ROOM, 1, "full", [])).faults
    assert len([f for f in missing if "a full document without" in f]) == 2, missing
    inner = '<users><user entity="sip:ben@example.net" state="deleted"><display-text>x</display-text></user></users>'
    found = Information(write(ROOM, 2, "partial", [inner])).faults
    assert any("within what is full" in f for f in found) and any("has something in it" in f for f in found), found

    def after(*texts):
        room, said = Conference(), []
        for text in texts:
            faults, again = room.take(Information(text.encode()))
            said.append((faults, again))
        return room, said

    ben = [write_user("sip:ben@example.net", None, None, [], [], "deleted")]
    room, said = after(good, document(2, "partial", ben, []), document(3, "partial", [], [write_description("Tomorrow", None, ROOM)]))
    assert [f for f, _ in said] == [[], [], []] and list(room.users) == ["sip:romeo@example.net"], (said, room.describe())
    assert room.describe()["subject"] == "Tomorrow" and room.describe()["title"] is None
    # A user that is partial keeps what is not mentioned; its endpoint goes by its own key.
    more = write_user("sip:romeo@example.net", "Montague", None, [], [write_endpoint("sip:romeo@127.0.0.2", "on-hold")], "partial")
    gone = '<user entity="sip:romeo@example.net" state="partial"><endpoint entity="sip:romeo@127.0.0.1:5060" state="deleted"/></user>'
    room, said = after(good, document(2, "partial", [more], []), document(3, "partial", [gone], []))
    row = room.users["sip:romeo@example.net"].describe()
    assert row["nickname"] == "Montague" and row["name"] == "Romeo M." and row["endpoints"] == ["sip:romeo@127.0.0.2"], row
    # `users` is full where it says nothing: whoever is not in it is gone (§4.4, §4.6).
    whole = write(ROOM, 2, "partial", ["<users>" + write_user("sip:paris@example.net", None, "Paris", [], []) + "</users>"]).decode()
    room, said = after(good, whole)
    assert list(room.users) == ["sip:paris@example.net"], room.describe()
    for texts, fault, again in (
        ((document(1, "partial"),), "the first document is partial", True),
        ((good, document(3, "partial", ben, [])), "partial version 3 after 1", True),
        ((good, document(1, "partial", ben, [])), "partial version 1 after 1", False),
        ((document(5), document(4)), "full version 4 after 5", False),
        ((good, document(1, users=ben[:0])), "version 1 again", False),
        ((good, good), None, False),
        ((good, document(9)), None, False),
        ((good, document(2).replace(ROOM, "sip:other@example.com")), "entity is", False),
    ):
        room, said = after(*texts)
        faults, asks = said[-1]
        assert asks == again and (any(fault in f for f in faults) if fault else not faults), (fault, said)
    room, said = after(good, document(2, "deleted", [], []))
    assert room.over and not room.users and not said[-1][0], said


GOOD_NICKNAME = build(
    "NICKNAME", [("To-Path", "msrp://127.0.0.1:2855/abcdefghijklmnop;tcp"), ("From-Path", "msrp://127.0.0.1:7394/ponmlkjihgfedcba;tcp"),
                 ("Use-Nickname", '"Alice the great"')], None, "$", "d93kswowd93kswow",
).decode()  # fmt: skip
BAD_NICKNAMES = (
    ('Use-Nickname: "Alice the great"\r\n', "", "0 times Use-Nickname"),
    ('"Alice the great"', "Alice", "Use-Nickname"),
    ('"Alice the great"', '"Al"ice"', "Use-Nickname"),
    ("Alice the great", "x" * 1024, "more than 1023"),
    ("Use-Nickname", "Failure-Report: yes\r\nUse-Nickname", "with Failure-Report"),
    ("Use-Nickname", "Success-Report: no\r\nUse-Nickname", "with Success-Report"),
    ("NICKNAME", "SEND", "SEND with Use-Nickname"),
    ("$\r\n", "+\r\n", "with the flag"),
)
GOOD_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\na=accept-types:message/cpim\r\n"
    "a=accept-wrapped-types:text/plain\r\na=path:msrp://127.0.0.1:2855/abcdefghijklmnop;tcp\r\na=setup:actpass\r\na=chatroom:nickname com.example.x\r\n"
)
BAD_SDP = (
    ("nickname com", "nickname nickname com", "a=chatroom"),
    (":nickname com.example.x", ": nickname", "a=chatroom"),
    (":nickname com.example.x", ":nick,name", "a=chatroom"),
    ("a=chatroom", "a=chatroom\r\na=chatroom", "more than once"),
    ("t=0 0\r\n", "t=0 0\r\na=chatroom\r\n", "session level"),
    ("accept-types:message/cpim", "accept-types:text/html", "without message/cpim"),
)
GOOD_REFER = (
    "REFER sip:capulet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "From: <sip:romeo@example.net>;tag=1\r\nTo: <sip:capulet@example.com>;tag=2\r\nCall-ID: a@b\r\nCSeq: 5 REFER\r\n"
    "Contact: <sip:romeo@127.0.0.1:5060>\r\nRefer-To: <sip:benvolio@example.com>\r\nReferred-By: <sip:romeo@example.net>\r\n"
    "Refer-Sub: false\r\nContent-Length: 0\r\n\r\n"
)
BAD_REFER = (
    ("Refer-To: <sip:benvolio@example.com>\r\n", "", "REFER without Refer-To"),
    ("Refer-To: <sip:benvolio@example.com>\r\n", "Refer-To: <sip:a@example.com>\r\nRefer-To: <sip:b@example.com>\r\n", "refer-to more than once"),
    ("<sip:benvolio@example.com>\r\n", "<sip:a@example.com>, <sip:b@example.com>\r\n", "Refer-To"),
    ("<sip:benvolio@example.com>\r\n", "benvolio\r\n", "Refer-To"),
    ("Contact: <sip:romeo@127.0.0.1:5060>\r\n", "", "REFER without exactly one Contact"),
    ("Refer-Sub: false", "Refer-Sub: no", "Refer-Sub"),
    ("REFER", "INFO", "INFO with Refer-To"),
)


def rules(strict):
    """Every rule that one message can break."""

    def frames(text):
        return [fault for frame in Cutter().push(text.encode()) for fault in ([frame] if isinstance(frame, str) else frame.faults)]

    strict(GOOD_NICKNAME, BAD_NICKNAMES, frames)
    strict(GOOD_NICKNAME.replace("Alice the great", ""), (), frames)
    strict(GOOD_SDP, BAD_SDP, lambda text: Description(text.encode()).faults)
    strict(GOOD_SDP.replace(":nickname com.example.x", ""), (), lambda text: Description(text.encode()).faults)
    strict(GOOD_REFER, BAD_REFER, lambda text: Message(text.encode(), "UDP").faults)
    frame = next(Cutter().push(GOOD_NICKNAME.replace("Alice the great", 'A \\"B\\" \\\\').encode()))
    assert frame.nickname() == 'A "B" \\' and not frame.faults, (frame.nickname(), frame.faults)
    for contact, focus in (
        ("<sip:a@b>;isfocus", True), ("<sip:a@b;isfocus>", False), ('"x;isfocus" <sip:a@b>', False), ("<sip:a@b>;isfocused", False),
        ('<sip:a@b>;automata;isfocus="TRUE";x', True), ("<sip:a@b>;isfocus;methods=\"INVITE\"", True), ('<sip:a@b>;isfocus="FALSE"', False),
    ):  # fmt: skip
        assert is_focus(contact) == focus, contact
    assert comparable(" Foo\u00a0 Bar ") == comparable("foo bar") != comparable("foobar")
