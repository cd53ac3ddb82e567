"""Lines to the test, and what the server refuses."""

import json
import sys

import nio


class Refused(Exception):
    """The server said no, or the library has no such thing."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def unsupported():
    return Refused("unsupported", "matrix-nio has no such thing")


def ok(response):
    """The response, unless it is an error."""
    if isinstance(response, nio.ErrorResponse):
        raise Refused(response.status_code or "", response.message or str(response))
    return response


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
