"""Receives webhooks of `kycq serve`: WEBHOOK_SECRET=whsec_... webhook.py PORT"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def verify(secret, headers, body):
    """Verifies a message by the Standard Webhooks specification. While a secret is rotated, it has several signatures."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > 300:
        return False  # an old message, sent again by somebody else
    mac = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    want = b"v1," + base64.b64encode(mac)
    return any(hmac.compare_digest(want, s.encode()) for s in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = verify(os.environ["WEBHOOK_SECRET"], self.headers, body)
        if good:
            event = json.loads(body)
            # Store the event here, before the answer. One with a webhook-id that was seen already is a repetition.
            print(event["type"], event["data"].get("state", ""), flush=True)
        self.send_response(204 if good else 400)
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
