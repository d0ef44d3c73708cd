"""Signs requests with botocore, AWS's own library, and prints them as JSON: what e2e/testdata/sigv4.json was made by.

    sigv4_vectors.py > e2e/testdata/sigv4.json

The keys are those of AWS's published examples and belong to nobody. The verifier of the fakes has to let every request
in, and nothing that differs from it in a byte.
"""

import datetime
import json

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
WRITE = "/workspaces/ws-b226cc2a-a446-46a9-933a-ac50479a5568/api/v1/remote_write"
PROTOCOL = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf",
    "x-prometheus-remote-write-version": "0.1.0",
}

# name, time, region, service, token, method, url, headers, body
REQUESTS = [
    # The vector of the reference page on remote write, made there by botocore 1.43.11.
    ("amp", "20261121T021300Z", "us-west-2", "aps", "TOKEN", "POST",
     f"https://aps-workspaces.us-west-2.amazonaws.com{WRITE}", PROTOCOL, "abc"),
    ("amp, long-term key", "20261121T235959Z", "eu-central-1", "aps", None, "POST",
     f"https://aps-workspaces.eu-central-1.amazonaws.com{WRITE}", PROTOCOL, ""),
    ("amp, fips, dual stack", "20261122T000000Z", "us-gov-west-1", "aps", "a/token+with=signs", "POST",
     f"https://aps-workspaces-fips.us-gov-west-1.api.aws{WRITE}", PROTOCOL, "x" * 300),
    ("amp, interface endpoint with port", "20240229T120000Z", "us-east-1", "aps", "TOKEN", "POST",
     f"https://vpce-0123-abc.aps-workspaces.us-east-1.vpce.amazonaws.com:8443{WRITE}", PROTOCOL, "abc"),
    ("amp, hash of the body as a header", "20261121T021300Z", "us-west-2", "aps", "TOKEN", "POST",
     f"https://aps-workspaces.us-west-2.amazonaws.com{WRITE}",
     PROTOCOL | {"x-amz-content-sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, "abc"),
    ("amp, plain text", "20261121T021300Z", "us-west-2", "aps", None, "POST", f"http://127.0.0.1:9{WRITE}", PROTOCOL, "abc"),
    ("blanks in a value", "20261121T021300Z", "us-west-2", "aps", None, "POST", "https://example.com/a",
     {"x-amz-meta": "  a   b  ", "content-type": "text/plain"}, "abc"),
    ("a path that is encoded", "20261121T021300Z", "us-west-2", "aps", None, "GET",
     "https://example.com/a%20b/%E2%82%AC/c:d,e", {}, ""),
    ("a query", "20261121T021300Z", "us-west-2", "aps", None, "GET",
     "https://example.com/q?b=2&a=1&a=0&empty=&Z=%2F", {}, ""),
    ("xray", "20261121T021300Z", "ap-southeast-2", "xray", "TOKEN", "POST",
     "https://xray.ap-southeast-2.amazonaws.com/TraceSegments", {"content-type": "application/json"},
     '{"TraceSegmentDocuments":[]}'),
]


def main():
    vectors = []
    for name, time, region, service, token, method, url, headers, body in REQUESTS:
        now = datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ")
        botocore.auth.get_current_datetime = lambda now=now: now
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body.encode())
        botocore.auth.SigV4Auth(Credentials(*KEY, token), service, region).add_auth(request)
        vectors.append({
            "name": name,
            "region": region,
            "service": service,
            "time": time,
            "token": token,
            "method": method,
            "url": url,
            "headers": {key.lower(): value for key, value in sorted(request.headers.items())},
            "body": body,
        })
    print(json.dumps(vectors, indent=1))


main()
