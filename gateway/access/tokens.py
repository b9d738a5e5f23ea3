"""Bearer tokens: JSON Web Tokens that identify a caller (RFC 6750, RFC 7519), and the owner of a correlation id."""

import hashlib
import hmac

import jwt
from pydantic import SecretStr

ALGORITHM = "HS256"
"""The only accepted one; the token's own header does not choose it."""

AUDIENCE = "integration-service"
"""Rejects tokens that were made for another service with the same key."""

SKEW_SECONDS = 60
"""Largest accepted difference between the clocks of the token's maker and of the gateway."""

DAY_SECONDS = 86_400

MARK_CHARACTERS = 8
"""Length of the owner's mark in a correlation id. Two callers' marks are the same once in 2**32 ids."""


class TokenRefused(Exception):
    """The token is malformed, expired, not for this service or not signed with its key. Repeats nothing of it."""


class Tokens:
    """Makes and checks tokens with one key, and marks correlation ids with their owner.

    The mark is part of the id, so that every gateway knows a task's owner without storing it, also before its reply
    is there. Without the key an id does not reveal its owner.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        """Use this key of at least 32 bytes (RFC 7518, section 3.2)."""
        self._key = secret_key.get_secret_value().encode()

    def make(self, subject: str, days: int, now: float) -> str:
        """Return a token for the subject that expires after `days`; `now` is in seconds since 1970."""
        claims = {"sub": subject, "aud": AUDIENCE, "iat": int(now), "exp": int(now) + days * DAY_SECONDS}
        return jwt.encode(claims, self._key, ALGORITHM)

    def subject(self, token: str) -> str:
        """Return the token's subject.

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
            subject.encode()  # fails for half a surrogate pair, which JSON can hold and a mark cannot be made of
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the bearer token has expired") from None
        # For JSON nested too deeply and times that are not numbers, PyJWT lets Python's exceptions through.
        except (jwt.PyJWTError, RecursionError, OverflowError, ValueError):
            raise TokenRefused("the bearer token is not valid") from None
        if not subject:
            raise TokenRefused("the bearer token names nobody")
        return subject

    def owned(self, correlation_id: str, subject: str) -> str:
        """Return the correlation id with the subject's mark in place of its last random digits."""
        unmarked = correlation_id[:-MARK_CHARACTERS]
        # The signed part of a token has no NUL, so no token's signature can be the same.
        signed = f"\0owner\0{unmarked}\0{subject}".encode()
        return unmarked + hmac.digest(self._key, signed, hashlib.sha256).hex()[:MARK_CHARACTERS]

    def owns(self, correlation_id: str, subject: str) -> bool:
        """Return whether the correlation id has the subject's mark."""
        return hmac.compare_digest(correlation_id.encode(), self.owned(correlation_id, subject).encode())


def own_key(key: str, subject: str) -> str:
    """Return the subject's idempotency key in a form that no other subject can have.

    It does not depend on the signing key: that may change, and a paid task must not be paid for again.
    """
    return hashlib.sha256(f"{subject}\0{key}".encode()).hexdigest()
