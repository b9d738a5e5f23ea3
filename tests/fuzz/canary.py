"""Words that must not leak, and the search for them in every encoding."""

import base64
import json
from urllib.parse import quote

WORDS = ("canary7d1f", "канарейка")
"""Parts of all canaries: one in ASCII, which most encodings do not change, and one that every encoding changes."""

NAME, CYRILLIC = WORDS

VALUES = {
    "phone": f"8 916 823 34 54 {NAME}",
    "email": f"{NAME}@{NAME}.ru",
    "quotes": f"\"{NAME}\" '{CYRILLIC}' \\ {{{NAME}}} %s %(x)s {{0}}\n\t\u2028 🌲",
    "percent": quote(f"{NAME} {CYRILLIC}"),
}
"""Canaries in the form of personal data."""


def forms(word: str) -> set[str]:
    """Return the word as encoded in JSON, URLs, Python, hexadecimal and base64, and misread as Latin-1."""
    raw = word.encode()
    written = {
        word,
        raw.decode("latin-1"),
        json.dumps(raw.decode("latin-1"))[1:-1],
        repr(raw)[2:-1],
        raw.hex(),
        "".join(f"\\u{ord(letter):04x}" for letter in word),
        "".join(f"%{byte:02x}" for byte in raw),
        quote(raw),
    }
    for before in range(3):  # base64 encodes three bytes as four letters: the preceding bytes shift the word
        text = base64.b64encode(b"\0" * before + raw).decode()
        written.add(text[(0, 2, 3)[before] : (before + len(raw)) // 3 * 4])
    return written


FORMS = {form.lower() for word in WORDS for form in forms(word)}


def leaks(text: str) -> list[str]:
    """Return each place of the text with a canary in any encoding, with the text around it."""
    lower = text.lower()
    found = [lower.find(form) for form in FORMS]
    return [text[max(0, at - 200) : at + 60] for at in found if at >= 0]
