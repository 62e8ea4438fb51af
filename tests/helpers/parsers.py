"""Parsers for a child process that has no settings: each ends in another way."""

import os
import sys
import time


def describe(data, *arguments):
    return {"size": len(data), "arguments": arguments, "environment": dict(os.environ)}


def fail(data, kind):
    raise {"value": ValueError("it has no title"), "type": TypeError("a secret")}[kind]


def recurse(data):
    return recurse(data)


def eat_memory(data):
    return len(b"x" * 2_000_000_000)


def spin(data):
    while True:
        pass


def sleep(data, seconds):
    time.sleep(seconds)


def end(data, number):
    os.kill(os.getpid(), number)


def flood(data):
    while True:
        sys.stdout.write("x" * 1_000_000)
