"""A C2SP tlog-witness that shares no code with hoop: it keeps its own state and signs consistent histories alone.

Usage: witness.py STATE NAME LOG_VKEY...   Prints {"url", "key"} and serves until its standard input ends.
State is a JSON file: the seed of its key, and for each log the size and root that it signed last.
"""

import base64, hashlib, http.server, json, os, sys, threading, time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Refused(Exception):
    def __init__(self, status, body="", kind="text/plain"):
        self.status, self.body, self.kind = status, body, kind


def key_id(name, kind, key):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(old, old_root, new, new_root, proof):
    """RFC 9162, 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof
    if not proof:
        return False
    path = [old_root] + proof if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


class Witness:
    def __init__(self, path, name, logs):
        self.path, self.name, self.lock, self.logs = path, name, threading.Lock(), {}
        for vkey in logs:
            origin, claimed, blob = vkey.split("+", 2)
            blob = base64.b64decode(blob, validate=True)
            assert blob[0] == 1 and key_id(origin, 1, blob[1:]).hex() == claimed, vkey
            self.logs[origin] = blob[1:]
        self.state = {"seed": os.urandom(32).hex(), "seen": {}}
        if os.path.exists(path):
            self.state = json.load(open(path))
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.state["seed"]))
        self.public = self.key.public_key().public_bytes(*RAW)
        self.save()

    def vkey(self):
        blob = base64.b64encode(b"\x04" + self.public).decode()
        return f"{self.name}+{key_id(self.name, 4, self.public).hex()}+{blob}"

    def save(self):
        with open(self.path + ".new", "w") as file:
            json.dump(self.state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)

    def add_checkpoint(self, body):
        head, blank, note = body.partition("\n\n")
        text, blank2, signatures = note.partition("\n\n")
        lines = head.split("\n")
        if not blank or not blank2 or not lines[0].startswith("old ") or len(lines) > 64:
            raise Refused(400)
        old = int(lines[0][4:])
        proof = [base64.b64decode(line, validate=True) for line in lines[1:]]
        origin, size, root = text.split("\n")[:3]
        size, root, text = int(size), base64.b64decode(root, validate=True), text + "\n"
        if origin not in self.logs:
            raise Refused(404)
        if not self.signed_by_log(origin, text, signatures):
            raise Refused(403)
        if old > size:
            raise Refused(400)
        with self.lock:
            seen = self.state["seen"].get(origin, {"size": 0, "root": ""})
            if old != seen["size"]:
                raise Refused(409, f"{seen['size']}\n", "text/x.tlog.size")
            if old == size and seen["root"] and seen["root"] != root.hex():
                raise Refused(409, f"{seen['size']}\n", "text/x.tlog.size")
            if not consistent(old, bytes.fromhex(seen["root"]), size, root, proof):
                raise Refused(422)
            self.state["seen"][origin] = {"size": size, "root": root.hex()}
            self.save()
        return self.cosign(text)

    def signed_by_log(self, origin, text, signatures):
        key, good = self.logs[origin], False
        for line in signatures.rstrip("\n").split("\n"):
            dash, name, blob = line.split(" ")
            blob = base64.b64decode(blob, validate=True)
            if dash != "\u2014":
                raise Refused(400)
            if name == origin and blob[:4] == key_id(origin, 1, key):
                try:
                    ed25519.Ed25519PublicKey.from_public_bytes(key).verify(blob[4:], text.encode())
                    good = True
                except InvalidSignature:
                    return False
        return good

    def cosign(self, text):
        now = int(time.time())
        signature = self.key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        blob = key_id(self.name, 4, self.public) + now.to_bytes(8, "big") + signature
        return f"\u2014 {self.name} {base64.b64encode(blob).decode()}\n"


def handler(witness):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            try:
                if self.path != "/add-checkpoint":
                    raise Refused(404)
                status, text, kind = 200, witness.add_checkpoint(body), "text/plain"
            except Refused as refused:
                status, text, kind = refused.status, refused.body, refused.kind
            except (ValueError, KeyError):
                status, text, kind = 400, "", "text/plain"
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    return Handler


if __name__ == "__main__":
    witness = Witness(sys.argv[1], sys.argv[2], sys.argv[3:])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(witness))
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}", "key": witness.vkey()}), flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
