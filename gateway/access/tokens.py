"""Bearer tokens: JSON Web Tokens that identify a caller (RFC 6750, RFC 7519) and the owner of a correlation id."""

import hashlib
import hmac

import jwt
from pydantic import SecretStr

ALGORITHM = "HS256"
"""The only one; what a token says about itself does not choose."""

AUDIENCE = "integration-service"
"""A token that was made for another service with the same key is none here."""

SKEW_SECONDS = 60
"""How far the clocks of who makes tokens and of the gateway may be apart."""

DAY_SECONDS = 86_400

MARK_CHARACTERS = 8
"""Of a correlation id that say whose it is. That another caller's mark is the same happens once in 2**32 ids."""


class TokenRefused(Exception):
    """The token is none, is not for this service, is not signed with its key, or has expired. Repeats nothing of it."""


class Tokens:
    """Makes and checks tokens with one key, and marks correlation ids with their owner.

    The mark is part of the id, so that every gateway knows whose a task is, also before its reply is there, and nobody
    has to remember it. Without the key nobody can tell from an id who its owner is.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        """Use this key of at least 32 bytes (RFC 7518, section 3.2)."""
        self._key = secret_key.get_secret_value().encode()

    def make(self, subject: str, days: int, now: float) -> str:
        """Return a token.

        Args:
            subject: who its bearer is.
            days: after which it expires.
            now: seconds since 1970.
        """
        claims = {"sub": subject, "aud": AUDIENCE, "iat": int(now), "exp": int(now) + days * DAY_SECONDS}
        return jwt.encode(claims, self._key, ALGORITHM)

    def subject(self, token: str) -> str:
        """Return who its bearer is.

        Raises:
            TokenRefused: it is not valid; the message says whether it has only expired.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "aud", "sub"]},
            )
            subject: str = claims["sub"]
            subject.encode()  # JSON can hold half a surrogate pair, which no owner's mark can be made of
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the bearer token has expired") from None
        # Of JSON that is nested too deeply, and of times that are no numbers, PyJWT hands on what Python says.
        except (jwt.PyJWTError, RecursionError, OverflowError, ValueError):
            raise TokenRefused("the bearer token is not valid") from None
        if not subject:
            raise TokenRefused("the bearer token names nobody")
        return subject

    def owned(self, correlation_id: str, subject: str) -> str:
        """Return the correlation id marked as the subject's, in place of some of its random digits."""
        unmarked = correlation_id[:-MARK_CHARACTERS]
        # No token's signature can be the same: what is signed of a token has no such character.
        signed = f"\0owner\0{unmarked}\0{subject}".encode()
        return unmarked + hmac.digest(self._key, signed, hashlib.sha256).hex()[:MARK_CHARACTERS]

    def owns(self, correlation_id: str, subject: str) -> bool:
        """Return whether the correlation id is marked as the subject's."""
        return hmac.compare_digest(correlation_id.encode(), self.owned(correlation_id, subject).encode())


def own_key(key: str, subject: str) -> str:
    """Return the subject's idempotency key as one that no other subject can have.

    It does not depend on the key that signs tokens: that may change, and a paid task must not be paid again.
    """
    return hashlib.sha256(f"{subject}\0{key}".encode()).hexdigest()
