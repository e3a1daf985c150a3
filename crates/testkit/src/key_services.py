"""Key services for tests, over HTTP, with real RSA: Vault's transit engine as far as hoop uses it, and AWS KMS's Decrypt
and GetPublicKey, which checks each request's SigV4 signature. /control/* is the test's own handle."""

import base64, datetime, hashlib, hmac, json, re, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TOKEN, ACCESS, SECRET, REGION = sys.argv[1:5]
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
STATE = {"sealed": False, "denied": False, "hangs": False, "calls": [], "min_decryption_version": 1, "bits": 3072}
VERSIONS = []  # of the transit key
KMS = {}  # by ARN


def new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=STATE["bits"])


def arn(number):
    return f"arn:aws:kms:{REGION}:123456789012:key/{number:08}-0000-4000-8000-000000000000"


VERSIONS.append(new_key())
KMS[arn(1)] = new_key()


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def der(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


class Refused(Exception):
    def __init__(self, status, body):
        self.status, self.body = status, body


def errors(status, *texts):
    return Refused(status, {"errors": list(texts)})


def vault(handler, path, body):
    """https://developer.hashicorp.com/vault/api-docs/secret/transit"""
    if STATE["sealed"]:
        raise errors(503, "Vault is sealed")
    if handler.headers.get("X-Vault-Token") != TOKEN or STATE["denied"]:
        raise errors(403, "permission denied")
    if handler.headers.get("X-Vault-Namespace") != "clinic":
        raise errors(403, "permission denied")
    if path == "/v1/transit/keys/hoop" and handler.command == "GET":
        keys = {
            str(n): {"creation_time": "2026-11-28T00:00:00Z", "name": "rsa-3072", "public_key": pem(key)}
            for n, key in enumerate(VERSIONS, 1)
        }
        return {"data": {"name": "hoop", "type": "rsa-3072", "latest_version": len(VERSIONS), "keys": keys,
                         "min_decryption_version": STATE["min_decryption_version"], "supports_decryption": True}}
    if path == "/v1/transit/keys/hoop/rotate" and handler.command == "POST":
        VERSIONS.append(new_key())
        return {"data": {"latest_version": len(VERSIONS)}}
    if path == "/v1/transit/decrypt/hoop" and handler.command == "POST":
        found = re.fullmatch(r"vault:v([0-9]+):([A-Za-z0-9+/=]+)", body.get("ciphertext", ""))
        if not found:
            raise errors(400, "invalid ciphertext: no prefix")
        version = int(found[1])
        if version > len(VERSIONS):
            raise errors(400, "invalid ciphertext: version is too new")
        if version < STATE["min_decryption_version"]:
            raise errors(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            plain = VERSIONS[version - 1].decrypt(base64.b64decode(found[2]), OAEP)
        except ValueError:
            raise errors(400, "failed to RSA decrypt the ciphertext: crypto/rsa: decryption error")
        return {"data": {"plaintext": base64.b64encode(plain).decode()}}
    raise errors(404)


def signed(handler, raw):
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/([0-9]{8})/([^/]+)/([^/]+)/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        handler.headers.get("Authorization", ""),
    )
    if not found or (found[1], found[3], found[4]) != (ACCESS, REGION, "kms"):
        return False
    date = handler.headers.get("x-amz-date", "")
    at = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) > 300:
        return False
    names = found[5].split(";")
    if not {"host", "x-amz-date", "x-amz-target"} <= set(names):
        return False
    headers = "".join(f"{name}:{' '.join(handler.headers.get(name, '').split())}\n" for name in names)
    digest = hashlib.sha256(raw).hexdigest()
    canonical = f"POST\n{handler.path}\n\n{headers}\n{found[5]}\n{digest}"
    scope = f"{found[2]}/{found[3]}/{found[4]}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + SECRET).encode()
    for part in (found[2], found[3], found[4], "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), found[6])


def kms(handler, raw):
    def refuse(kind, status=400):
        return Refused(status, {"__type": kind, "message": "no"})

    if STATE["sealed"]:
        raise refuse("KMSInternalException", 500)
    if not signed(handler, raw):
        raise refuse("InvalidSignatureException", 403)
    if STATE["denied"]:
        raise refuse("AccessDeniedException")
    body = json.loads(raw)
    named = [name for name in KMS if name == body["KeyId"] or name.endswith("/" + body["KeyId"])]
    if not named:
        raise refuse("NotFoundException")
    key = KMS[named[0]]
    action = handler.headers["x-amz-target"]
    if action == "TrentService.GetPublicKey":
        return {"KeyId": named[0], "PublicKey": base64.b64encode(der(key)).decode(), "KeySpec": "RSA_3072",
                "KeyUsage": "ENCRYPT_DECRYPT", "EncryptionAlgorithms": ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]}
    if action == "TrentService.Decrypt":
        if body.get("EncryptionAlgorithm") != "RSAES_OAEP_SHA_256":
            raise refuse("InvalidKeyUsageException")
        try:
            plain = key.decrypt(base64.b64decode(body["CiphertextBlob"]), OAEP)
        except ValueError:
            raise refuse("InvalidCiphertextException")
        return {"KeyId": named[0], "Plaintext": base64.b64encode(plain).decode(), "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    raise refuse("UnknownOperationException")


def control(path, body):
    if path == "/control/set":
        STATE.update(body)
    if path == "/control/vault-version":
        VERSIONS.append(new_key())
    if path == "/control/vault-replace":
        VERSIONS[-1] = new_key()
    if path == "/control/kms-key":
        KMS[arn(len(KMS) + 1)] = new_key()
    return {"calls": STATE["calls"], "arns": list(KMS), "versions": len(VERSIONS)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if self.path.startswith("/control/"):
                status, told = 200, control(self.path, json.loads(raw or b"{}"))
            else:
                while STATE["hangs"]:
                    time.sleep(0.05)
                STATE["calls"].append(f"{self.command} {self.path} {self.headers.get('x-amz-target', '')}".strip())
                if self.path.startswith("/v1/"):
                    status, told = 200, vault(self, self.path, json.loads(raw or b"{}"))
                else:
                    status, told = 200, kms(self, raw)
        except Refused as refused:
            status, told = refused.status, refused.body
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"ready on {server.server_address[1]} ", flush=True)
server.serve_forever()
