"""Verifies a passport and masks a card with the HTTP API of `kycq serve`: kycq.py ID CARD.jpg MASKED.jpg

API_URL and API_TOKEN (scopes submit and read) name the server and the key. A job of the same ID and input is not made twice, so
after a failure the program can be run again. It needs Python 3.9 or newer, and no packages.
"""

import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request


class Problem(Exception):
    """An error answer (RFC 9457): self.body has status, code, detail, and errors with pointer and code."""

    def __init__(self, body):
        super().__init__(body["detail"])
        self.body = body


def call(path, data=None, content_type=None, **headers):
    """Sends a request, again after 429 and 503, and returns the answer's bytes."""
    headers["Authorization"] = "Bearer " + os.environ["API_TOKEN"]
    if content_type:
        headers["Content-Type"] = content_type
    for left in reversed(range(6)):
        try:
            request = urllib.request.Request(os.environ["API_URL"] + path, data, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as e:
            if e.code not in (429, 503) or not left:
                raise Problem(json.load(e)) from None
            time.sleep(int(e.headers.get("Retry-After", 5)))


def finish(kind, id):
    """Waits until a job is final. A request waits for at most 25 seconds."""
    while True:
        job = json.loads(call(f"/v1/jobs/{kind}/{id}", Prefer="wait=25"))
        if "completed_at" in job:
            name = f", name: {job['matches']['name']}" if "matches" in job else ""
            print(f"{kind} {job['state']}{name}")
            return
        time.sleep(1)


def passport(id, dob):
    fields = {"verification_id": id, "file_number": "PA1079341954215", "dob": dob, "name": "Specimen Person"}
    call("/v1/passport", json.dumps(fields).encode(), "application/json")


def card(id, image):
    """Submits an image as multipart/form-data."""
    boundary = secrets.token_hex(16)
    part = f'--{boundary}\r\nContent-Disposition: form-data; name='
    body = f'{part}"verification_id"\r\n\r\n{id}\r\n{part}"image"; filename="card"\r\n\r\n'.encode()
    call("/v1/aadhaar", body + image + f"\r\n--{boundary}--\r\n".encode(), "multipart/form-data; boundary=" + boundary)


def main(id, image, masked):
    try:
        passport(id + "-passport", "2007-13-01")
    except Problem as p:
        print("problem", p.body["status"], p.body["code"])
        for e in p.body.get("errors", []):
            print(" ", e["pointer"], e["code"])
    passport(id + "-passport", "2007-03-01")
    finish("passport", id + "-passport")
    with open(image, "rb") as f:
        card(id + "-card", f.read())
    finish("aadhaar", id + "-card")
    with open(masked, "wb") as f:
        size = f.write(call(f"/v1/jobs/aadhaar/{id}-card/image"))
    print(f"masked image: {size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
