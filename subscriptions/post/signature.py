"""DKIM as plain functions on bytes (RFC 6376, RFC 8463): no settings, no files, no clock."""

import base64
import re
from dataclasses import dataclass, field

import dkim
from dkim.crypto import UnparsableKeyError, parse_private_key
from nacl.signing import SigningKey

#: What she sees, what her mail program files the letter by, and what unsubscribes her. RFC 8058, 4
#: wants the last two signed. What servers on the way write anew is not here.
SIGNED = frozenset(
    b"from reply-to to subject date message-id mime-version content-type content-transfer-encoding "
    b"list-id list-unsubscribe list-unsubscribe-post feedback-id auto-submitted".split()
)
RELAXED = (b"relaxed", b"relaxed")  # Lines may be folded anew on the way, and blanks be added.
MIN_BITS = 1024  # Receivers must refuse shorter ones (RFC 8301, 3.2).

PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----(.+?)-----END \1-----", re.DOTALL)
#: What stands before the 32 bytes of an Ed25519 key (RFC 8410, 7).
ED25519_HEAD = bytes.fromhex("302e020100300506032b657004220420")
#: rsaEncryption, without parameters (RFC 3279, 2.3.1).
RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")


class NotAKey(ValueError):
    """These bytes hold no key that can sign letters. Says why."""


@dataclass(frozen=True)
class Key:
    """A private key, and what DNS says of it: k= and p=."""

    kind: str
    bits: int
    public: str
    private: bytes = field(repr=False)  # As dkimpy takes it.


def read_key(pem: bytes) -> Key:
    """Return the key in this PEM text, as `openssl` writes it. Raises NotAKey."""
    block = PEM.search(pem)
    if block is None:
        raise NotAKey("holds no private key in PEM")
    if b"ENCRYPTED" in block[0]:
        raise NotAKey("is locked with a passphrase, which nobody could type in")
    try:
        der = base64.b64decode(block[2])
    except ValueError:
        raise NotAKey("is damaged") from None
    if der.startswith(ED25519_HEAD):
        return _ed25519_key(der.removeprefix(ED25519_HEAD))
    return _rsa_key(der)


def sign(mime: bytes, key: Key, selector: str, domain: str) -> bytes:
    """Return the message with its signature in front.

    The same message and key give the same bytes.
    """
    signer = _Signer(mime, signature_algorithm=f"{key.kind}-sha256".encode())
    names = [name for name, _ in signer.headers if name.lower() in SIGNED]
    header = signer.sign(
        selector.encode(),
        domain.encode(),
        key.private,
        canonicalize=RELAXED,
        # Once more than there is one: a second From, put on top of ours, breaks the signature.
        include_headers=[*names, b"From"],
    )
    return header + mime


class _Signer(dkim.DKIM):
    """dkimpy's, but for t=: its clock would make each repeat of a letter another one."""

    def gen_header(self, fields, *args, **kwargs):
        timeless = [(tag, value) for tag, value in fields if tag != b"t"]
        return super().gen_header(timeless, *args, **kwargs)


def _ed25519_key(seed):
    try:
        public = bytes(SigningKey(seed).verify_key)
    except ValueError:
        raise NotAKey("is damaged") from None
    return Key("ed25519", 256, _base64(public), base64.b64encode(seed))


def _rsa_key(der):
    try:
        numbers = parse_private_key(der)
    except (UnparsableKeyError, AssertionError):
        raise NotAKey("holds a key that is neither RSA nor Ed25519, or is damaged") from None
    modulus, exponent = numbers["modulus"], numbers["publicExponent"]
    bits = modulus.bit_length()
    if bits < MIN_BITS:
        raise NotAKey(f"holds an RSA key of {bits} bits, and receivers believe none under 1024")
    # SubjectPublicKeyInfo: the algorithm, then the two numbers in a bit string.
    numbers = b"\0" + _der(0x30, _der_integer(modulus) + _der_integer(exponent))
    public = _der(0x30, RSA_ALGORITHM + _der(0x03, numbers))
    private = b"-----BEGIN RSA PRIVATE KEY-----\n%b\n-----END RSA PRIVATE KEY-----\n"
    return Key("rsa", bits, _base64(public), private % base64.b64encode(der))


def _der(tag, content):
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    length = octets if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def _der_integer(number):
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1))


def _base64(octets):
    return base64.b64encode(octets).decode()
