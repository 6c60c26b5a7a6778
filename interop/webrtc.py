"""The media of one Jingle content: ICE, DTLS-SRTP, a tone or a picture out, a recording in. aiortc's objects, without its SDP.

aioice leaves loopback out, where the tests live: `live_at` says which addresses there are. A recording is a WAV file (48 kHz, mono,
16 bit) that grows as time passes, with silence where nothing came: whoever reads its end knows what is heard now.
"""

import asyncio
import fractions
import math
import struct
import time

import aioice.ice
import av
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCRtpReceiver, RTCRtpSender
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceParameters
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpDecodingParameters,
    RTCRtpReceiveParameters,
    RTCRtpSendParameters,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack

RATE = 48000
FRAME = RATE // 50
# What we take, by name: clock rate, channels, and the payload type that we give it (RFC 3551; the dynamic ones are ours).
CODECS = {
    "audio": {"opus": (48000, 2, 111), "PCMU": (8000, 1, 0), "PCMA": (8000, 1, 8)},
    "video": {"VP8": (90000, None, 96)},
}


def live_at(address):
    """From now on every candidate has this address."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]


class Tone(MediaStreamTrack):
    """A sine of this many Hz, for ever."""

    kind = "audio"

    def __init__(self, hertz):
        super().__init__()
        self.start, self.count = None, 0
        step = 2 * math.pi * hertz / RATE
        # A second holds a whole number of waves.
        self.wave = struct.pack(f"<{RATE}h", *(int(12000 * math.sin(step * n)) for n in range(RATE)))

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(self.start + self.count * FRAME / RATE - time.monotonic())
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        at = self.count % (RATE // FRAME) * FRAME * 2
        frame.planes[0].update(self.wave[at : at + FRAME * 2])
        frame.pts, frame.sample_rate, frame.time_base = self.count * FRAME, RATE, fractions.Fraction(1, RATE)
        self.count += 1
        return frame


class Picture(MediaStreamTrack):
    """A small picture that changes, ten times a second."""

    kind = "video"
    SIZE = (176, 144)

    def __init__(self):
        super().__init__()
        self.start, self.count = None, 0

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(self.start + self.count / 10 - time.monotonic())
        frame = av.VideoFrame(*self.SIZE, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self.count * 8 % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = self.count * 9000, fractions.Fraction(1, 90000)
        self.count += 1
        return frame


class Recorder:
    """Writes what a track brings into a WAV file, as fast as time passes."""

    def __init__(self, path):
        # Lengths that nobody knows yet are the largest there are, as in every WAV that is streamed.
        self.file = open(path, "wb")
        header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 0xFFFFFFFF, b"WAVEfmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", 0xFFFFFFFF)
        self.file.write(header)
        self.waiting, self.written, self.heard = b"", 0, 0
        self.resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self.task = asyncio.ensure_future(self.write())

    def take(self, frame):
        """What was heard just now."""
        self.heard += 1
        for part in self.resampler.resample(frame):
            self.waiting += bytes(part.planes[0])[: part.samples * 2]
        # More than half a second is late: what is recorded is what is heard now.
        self.waiting = self.waiting[-RATE:]

    async def write(self):
        start = quiet = time.monotonic()
        while True:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            if self.waiting:
                self.file.write(self.waiting)
                self.written += len(self.waiting) // 2
                self.waiting, quiet = b"", now
            elif now - quiet > 0.1:
                missing = max(0, int((now - start) * RATE) - self.written)
                self.file.write(bytes(2 * missing))
                self.written += missing
            self.file.flush()

    def stop(self):
        self.task.cancel()
        self.file.close()


class Stream:
    """One content's transport and what goes over it. `told(event, **fields)` hears of "connected", "failed", "picture"."""

    def __init__(self, kind, certificate, controlling, track, recording, told):
        self.kind, self.certificate, self.controlling, self.told = kind, certificate, controlling, told
        self.track, self.recorder = track, Recorder(recording) if recording else None
        self.gatherer, self.next = self.gather_for_role(), None
        self.ice = RTCIceTransport(self.gatherer)
        self.dtls = RTCDtlsTransport(self.ice, [certificate])
        self.sender = RTCRtpSender(kind, self.dtls)
        self.receiver = RTCRtpReceiver(kind, self.dtls)
        self.receiver._set_rtcp_ssrc(self.sender._ssrc)
        self.tasks, self.pictures, self.received = [], 0, 0
        self.sending, self.up, self.closed = True, False, False
        self.ice.on("statechange", self.ice_changed)

    def gather_for_role(self):
        """Whoever checks before we do is to meet us in our role."""
        gatherer = RTCIceGatherer()
        gatherer._connection.ice_controlling = self.controlling
        return gatherer

    # What we say of ourselves.

    async def gather(self):
        await self.gatherer.gather()

    def candidates(self):
        return (self.next or self.gatherer).getLocalCandidates()

    def credentials(self):
        ours = (self.next or self.gatherer).getLocalParameters()
        return ours.usernameFragment, ours.password

    def fingerprint(self):
        found = self.dtls.getLocalParameters().fingerprints[0]
        return found.algorithm, found.value

    @property
    def ssrc(self):
        return self.sender._ssrc

    # What we hear of the other.

    async def candidate(self, fields):
        """A candidate of theirs: the keys of XEP-0176."""
        if fields.get("protocol", "").lower() != "udp" or int(fields["component"]) != 1:
            return
        where = (fields["ip"], int(fields["port"]))
        if any((c.ip, c.port) == where for c in self.ice.getRemoteCandidates()):
            return
        await self.ice.addRemoteCandidate(
            RTCIceCandidate(
                component=1, foundation=fields["foundation"], ip=where[0], port=where[1],
                priority=int(fields["priority"]), protocol="udp", type=fields["type"],
            )  # fmt: skip
        )

    def go(self, client, theirs, fingerprints, out, into):
        """Everything is known: connect. `client`: we speak first in DTLS. `theirs`: (ufrag, pwd); `out`: the codecs to send with, `into`:
        those to read, each [(payload type, name)]."""
        self.tasks.append(asyncio.ensure_future(self.connect(client, theirs, fingerprints, out, into)))

    async def connect(self, client, theirs, fingerprints, out, into):
        await self.ice.start(RTCIceParameters(usernameFragment=theirs[0], password=theirs[1]))
        if self.ice.state != "completed":
            self.told("failed", what=f"ICE is {self.ice.state}")
            return
        self.dtls._set_role("client" if client else "server")
        known = [RTCDtlsFingerprint(algorithm=hash_, value=value) for hash_, value in fingerprints]
        await self.dtls.start(RTCDtlsParameters(fingerprints=known))
        if self.dtls.state != "connected":
            self.told("failed", what=f"DTLS is {self.dtls.state}")
            return
        self.dtls.on("statechange", self.dtls_changed)
        self.up = True
        self.told("connected")
        await self.send(out)
        await self.receive(into)

    def codecs(self, chosen):
        return [
            RTCRtpCodecParameters(
                mimeType=f"{self.kind}/{name}", clockRate=CODECS[self.kind][name][0], channels=CODECS[self.kind][name][1], payloadType=pt
            )
            for pt, name in chosen
        ]

    async def send(self, out):
        parameters = RTCRtpSendParameters(codecs=self.codecs(out), headerExtensions=[], muxId="")
        parameters.rtcp = RTCRtcpParameters(cname="verona", mux=True, ssrc=self.ssrc)
        self.sender.replaceTrack(self.track if self.sending else None)
        await self.sender.send(parameters)

    async def receive(self, into):
        track = self.receiver._track = RemoteStreamTrack(self.kind)
        codecs = self.codecs(into)
        encodings = [RTCRtpDecodingParameters(ssrc=0, payloadType=codec.payloadType) for codec in codecs]
        await self.receiver.receive(RTCRtpReceiveParameters(codecs=codecs, headerExtensions=[], muxId="", encodings=encodings))
        self.tasks.append(asyncio.ensure_future(self.read(track)))
        if self.kind == "video":
            self.tasks.append(asyncio.ensure_future(self.beg()))

    async def beg(self):
        """Who comes late has no picture to begin with, and asks for one (RFC 4585 §6.3.1); aiortc does not."""
        while not self.pictures:
            await asyncio.sleep(0.3)
            for ssrc in list(self.receiver._RTCRtpReceiver__active_ssrc):
                await self.receiver._send_rtcp_pli(ssrc)

    async def read(self, track):
        try:
            while True:
                frame = await track.recv()
                self.received += 1
                if self.kind == "audio" and self.recorder:
                    self.recorder.take(frame)
                elif self.kind == "video":
                    self.pictures += 1
                    if self.pictures == 1:
                        self.told("picture", width=frame.width, height=frame.height)
        except MediaStreamError:
            pass

    def speak(self, on):
        """Sends, or does not for now."""
        self.sending = on
        self.sender.replaceTrack(self.track if on else None)

    async def restart(self):
        """New credentials and candidates for the same DTLS association (RFC 8842 §5.5); `rejoin` uses them."""
        self.next = self.gather_for_role()
        await self.next.gather()

    def rejoin(self, theirs, candidates):
        """The other's credentials and candidates after a restart are there."""
        self.tasks.append(asyncio.ensure_future(self.reconnect(theirs, candidates)))

    async def reconnect(self, theirs, candidates):
        before, self.gatherer, self.next = self.ice, self.next, None
        before.remove_all_listeners()
        fresh = self.ice = RTCIceTransport(self.gatherer)
        fresh.on("statechange", self.ice_changed)
        # The association goes on over both paths, then over the new one: its reader goes on with the queue that it waits for.
        fresh._connection._queue = before._connection._queue
        for fields in candidates:
            await self.candidate(fields)
        await fresh.start(RTCIceParameters(usernameFragment=theirs[0], password=theirs[1]))
        if fresh.state != "completed":
            self.told("failed", what=f"ICE is {fresh.state} after a restart")
            return
        self.dtls._transport = fresh
        before._connection._queue = asyncio.Queue()
        await before.stop()
        self.told("restarted")

    def ice_changed(self):
        if self.up and not self.closed and self.ice.state == "failed":
            self.told("failed", what="ICE consent is gone")

    def dtls_changed(self):
        if not self.closed and self.dtls.state == "closed":
            self.told("failed", what="DTLS was closed")

    async def close(self):
        if self.closed:
            return
        self.closed = True
        for task in self.tasks:
            task.cancel()
        await self.sender.stop()
        await self.receiver.stop()
        await self.dtls.stop()
        await self.ice.stop()
        if self.recorder:
            self.recorder.stop()


def certificate():
    return RTCCertificate.generateCertificate()
