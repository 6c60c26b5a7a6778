#!/usr/bin/python3
"""An ACME authority (RFC 8555) for tests: strict about what a client has to do, and asked back by http-01 (§8.3) at a place of the test's.

    acme_server.py LISTEN_HOST LISTEN_PORT ASK_HOST ASK_PORT FOLDER DAYS

It makes a root of its own (FOLDER/acme-root.pem, for its own HTTPS as for what it gives out), answers at https://LISTEN/directory, asks every domain at ASK
(as a resolver would send it there), and gives certificates for DAYS days. Each line on stdout is something that has happened: "ready", "account ID",
"order DOMAINS", "asked DOMAIN STATUS", "issued DOMAINS". The file FOLDER/refuse, while it is there, makes every challenge fail.
"""

import base64
import datetime
import http.client
import http.server
import json
import os
import ssl
import sys
import threading

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

HOST, PORT, ASK_HOST, ASK_PORT, FOLDER, DAYS = sys.argv[1:]
BASE = f"https://{HOST}:{PORT}"
LOCK = threading.Lock()
NONCES, ACCOUNTS, ORDERS, AUTHORIZATIONS, CERTIFICATES = set(), {}, {}, {}, {}


def say(*words):
    print(*words, flush=True)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    if "=" in text:
        raise Problem("malformed", "padding in base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Problem(Exception):
    """RFC 8555 §6.7."""

    def __init__(self, kind, detail, status=400):
        super().__init__(detail)
        self.kind, self.detail, self.status = kind, detail, status


def certificate(subject, key, issuer, issuer_key, days, names=None, ca=False):
    now = datetime.datetime.utcnow()
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=float(days)))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = certificate("test root", ROOT_KEY.public_key(), "test root", ROOT_KEY, 100, ca=True)


def own_https():
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    own = certificate("acme", key.public_key(), "test root", ROOT_KEY, 100, [x509.IPAddress(ipaddress.ip_address(HOST))])
    chain, private = os.path.join(FOLDER, "acme-own.pem"), os.path.join(FOLDER, "acme-own.key")
    with open(chain, "w") as file:
        file.write(pem(own))
    with open(private, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    with open(os.path.join(FOLDER, "acme-root.pem"), "w") as file:
        file.write(pem(ROOT))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return context


def thumbprint(jwk):
    """RFC 7638 for a key of an elliptic curve."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(members, separators=(",", ":"), sort_keys=True).encode())
    return b64(digest.finalize())


def verify(jwk, signed, signature):
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or len(signature) != 64:
        raise Problem("badPublicKey", "not a key for ES256")
    number = lambda data: int.from_bytes(data, "big")
    public = ec.EllipticCurvePublicNumbers(number(unb64(jwk["x"])), number(unb64(jwk["y"])), ec.SECP256R1()).public_key()
    try:
        der = utils.encode_dss_signature(number(signature[:32]), number(signature[32:]))
        public.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Problem("unauthorized", "the signature is wrong", 403)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def nonce(self):
        nonce = b64(os.urandom(16))
        with LOCK:
            NONCES.add(nonce)
        return nonce

    def send(self, status, body=b"", kind="application/json", location=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Replay-Nonce", self.nonce())
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.send(200 if self.path == "/nonce" else 404)

    def do_GET(self):
        if self.path != "/directory":
            return self.send(405)
        return self.send(
            200,
            {"newNonce": f"{BASE}/nonce", "newAccount": f"{BASE}/account", "newOrder": f"{BASE}/order",
             "revokeCert": f"{BASE}/revoke", "keyChange": f"{BASE}/change"},
        )

    def do_POST(self):
        try:
            self.answer()
        except Problem as problem:
            body = {"type": f"urn:ietf:params:acme:error:{problem.kind}", "detail": problem.detail, "status": problem.status}
            self.send(problem.status, body, "application/problem+json")

    def read(self):
        """RFC 8555 §6.2 to §6.5: the account that signs, or its key, and what it says."""
        if self.headers.get("Content-Type") != "application/jose+json":
            raise Problem("malformed", "not application/jose+json", 415)
        jws = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        head = json.loads(unb64(jws["protected"]))
        if head.get("alg") != "ES256":
            raise Problem("badSignatureAlgorithm", "not ES256")
        if head.get("url") != BASE + self.path:
            raise Problem("unauthorized", "signed for another URL", 403)
        with LOCK:
            if head.get("nonce") not in NONCES:
                raise Problem("badNonce", "a nonce that is none of ours, or was used")
            NONCES.remove(head["nonce"])
        if ("jwk" in head) == ("kid" in head):
            raise Problem("malformed", "not exactly one of jwk and kid")
        if "kid" in head and head["kid"] not in ACCOUNTS:
            raise Problem("accountDoesNotExist", "no such account")
        jwk = head["jwk"] if "jwk" in head else ACCOUNTS[head["kid"]]
        verify(jwk, f"{jws['protected']}.{jws['payload']}".encode(), unb64(jws["signature"]))
        payload = unb64(jws["payload"])
        return head.get("kid"), jwk, json.loads(payload) if payload else None

    def answer(self):
        account, jwk, said = self.read()
        kind, _, number = self.path.strip("/").partition("/")
        if kind == "account" and not number:
            if account or not said.get("termsOfServiceAgreed"):
                raise Problem("userActionRequired", "the terms are not agreed to", 403)
            known = next((url for url, key in ACCOUNTS.items() if key == jwk), None)
            url = known or f"{BASE}/account/{len(ACCOUNTS) + 1}"
            ACCOUNTS[url] = jwk
            say("account", url.rsplit("/", 1)[1])
            return self.send(200 if known else 201, {"status": "valid", "contact": said.get("contact", [])}, location=url)
        if not account:
            raise Problem("malformed", "no account")
        if kind == "order" and not number:
            return self.new_order(said)
        if kind == "order" and number in ORDERS:
            return self.send(200, ORDERS[number]["view"]())
        if kind == "authorization" and number in AUTHORIZATIONS:
            return self.send(200, AUTHORIZATIONS[number]["view"]())
        if kind == "challenge" and number in AUTHORIZATIONS:
            if said != {}:
                raise Problem("malformed", "a challenge is answered with {}")
            ask(AUTHORIZATIONS[number], jwk)
            return self.send(200, AUTHORIZATIONS[number]["view"]()["challenges"][0])
        if kind == "finalize" and number in ORDERS:
            return self.finalize(number, said)
        if kind == "certificate" and number in CERTIFICATES:
            return self.send(200, CERTIFICATES[number].encode(), "application/pem-certificate-chain")
        raise Problem("malformed", "nothing there", 404)

    def new_order(self, said):
        domains = [identifier["value"] for identifier in said["identifiers"] if identifier["type"] == "dns"]
        number = str(len(ORDERS) + 1)
        own = []
        for domain in domains:
            name = f"{number}-{len(own)}"
            authorization = {"domain": domain, "status": "pending", "token": b64(os.urandom(16))}
            authorization["view"] = lambda a=authorization, n=name: {
                "status": a["status"], "identifier": {"type": "dns", "value": a["domain"]},
                "challenges": [{"type": "http-01", "url": f"{BASE}/challenge/{n}", "status": a["status"], "token": a["token"]}],
            }
            AUTHORIZATIONS[name] = authorization
            own.append(name)
        order = {"domains": domains, "own": own, "issued": False}

        def view():
            states = {AUTHORIZATIONS[name]["status"] for name in own}
            status = "pending"
            if "invalid" in states:
                status = "invalid"
            elif order["issued"]:
                status = "valid"
            elif states == {"valid"}:
                status = "ready"
            shown = {
                "status": status, "identifiers": [{"type": "dns", "value": d} for d in domains],
                "authorizations": [f"{BASE}/authorization/{name}" for name in own], "finalize": f"{BASE}/finalize/{number}",
            }
            if order["issued"]:
                shown["certificate"] = f"{BASE}/certificate/{number}"
            return shown

        order["view"] = view
        ORDERS[number] = order
        say("order", ",".join(domains))
        self.send(201, view(), location=f"{BASE}/order/{number}")

    def finalize(self, number, said):
        order = ORDERS[number]
        if order["view"]()["status"] != "ready":
            raise Problem("orderNotReady", "not ready", 403)
        request = x509.load_der_x509_csr(unb64(said["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        if not request.is_signature_valid or sorted(names) != sorted(order["domains"]):
            raise Problem("badCSR", f"the request is for {names}")
        issued = certificate(names[0], request.public_key(), "test root", ROOT_KEY, DAYS, [x509.DNSName(n) for n in names])
        CERTIFICATES[number] = pem(issued) + pem(ROOT)
        order["issued"] = True
        say("issued", ",".join(names))
        self.send(200, order["view"](), location=f"{BASE}/order/{number}")


def ask(authorization, jwk):
    """RFC 8555 §8.3."""
    connection = http.client.HTTPConnection(ASK_HOST, int(ASK_PORT), timeout=5)
    try:
        connection.request(
            "GET", f"/.well-known/acme-challenge/{authorization['token']}", headers={"Host": authorization["domain"]}
        )
        answer = connection.getresponse()
        status, body = answer.status, answer.read(1000).decode().rstrip()
    except OSError:
        status, body = 0, ""
    right = status == 200 and body == f"{authorization['token']}.{thumbprint(jwk)}"
    refused = os.path.exists(os.path.join(FOLDER, "refuse"))
    authorization["status"] = "valid" if right and not refused else "invalid"
    say("asked", authorization["domain"], authorization["status"])


server = http.server.ThreadingHTTPServer((HOST, int(PORT)), Handler)
server.socket = own_https().wrap_socket(server.socket, server_side=True)
say("ready")
server.serve_forever()
