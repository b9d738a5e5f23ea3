"""Bearer tokens: they identify the caller and cannot be forged."""

import base64
import contextlib
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.access.tokens import AUDIENCE, DAY_SECONDS, SKEW_SECONDS, TokenRefused, Tokens, own_key
from gateway.correlation import made_at, new_correlation_id

KEY = "a-key-of-at-least-32-bytes-for-tests"
TOKENS = Tokens(SecretStr(KEY))


def signed(key=KEY, algorithm="HS256", **claims):
    """Return a token with these claims; a claim that is None is left out."""
    claims = {"sub": "alice", "aud": AUDIENCE, "exp": time.time() + 3600, **claims}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def test_a_token_names_its_subject_and_expires_after_its_days():
    now = time.time()

    token = TOKENS.make("алиса", 30, now)

    assert TOKENS.subject(token) == "алиса"
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience=AUDIENCE)
    assert claims == {"sub": "алиса", "aud": AUDIENCE, "iat": int(now), "exp": int(now) + 30 * DAY_SECONDS}


@pytest.mark.parametrize(
    "token",
    [
        signed(key="another-key-of-at-least-32-bytes-here"),
        signed(key=KEY.encode() * 2, algorithm="HS512"),
        signed(key="", algorithm="none"),
        signed(aud=None),
        signed(aud="another-service"),
        signed(exp=None),
        signed(exp="soon"),
        signed(exp=1e400),
        signed(sub=None),
        signed(sub=""),
        signed(sub=7),
        signed(sub="\ud800"),
        signed(nbf=time.time() + 3600),  # long enough for a slow run: this line runs before the first test
        signed(iat=time.time() + 3600),
        encoded(b"{") + ".e30.e30",
        encoded(b'{"alg":"HS256","x":' + b"[" * 10_000) + ".e30.e30",
        encoded(b'{"alg":"HS256","x":' + b"1" * 10_000 + b"}") + ".e30.e30",
        "",
        "..",
        "é.é.é",
        "\ud800",
    ],
    ids=range(21),
)
def test_a_token_that_is_not_for_us_or_not_whole_is_refused(token):
    with pytest.raises(TokenRefused, match=r"not valid|names nobody"):
        TOKENS.subject(token)


def test_clocks_may_differ_by_the_skew_and_no_more():
    now = time.time()

    assert TOKENS.subject(signed(exp=now - SKEW_SECONDS / 2, iat=now + SKEW_SECONDS / 2)) == "alice"
    with pytest.raises(TokenRefused, match="has expired"):
        TOKENS.subject(signed(exp=now - SKEW_SECONDS - 1))


@given(st.integers(0, 183), st.characters(codec="ascii"))
def test_a_token_of_which_one_character_is_another_is_refused(place, character):
    token = TOKENS.make("alice", 30, 1_800_000_000)
    changed = token[:place] + character + token[place + 1 :]
    header, claims, signature = changed.split(".") if changed.count(".") == 2 else ("", "", "")
    same = [base64.urlsafe_b64decode(part + "==") for part in token.split(".")] == [
        base64.urlsafe_b64decode(part + "==") for part in (header, claims, signature)
    ]  # the last character of a part has bits that decoding ignores

    if not same:
        with pytest.raises(TokenRefused):
            TOKENS.subject(changed)


@given(st.text() | st.lists(st.binary(), min_size=3, max_size=3).map(lambda parts: ".".join(map(encoded, parts))))
def test_junk_is_refused_and_breaks_nothing(token):
    with pytest.raises(TokenRefused):
        TOKENS.subject(token)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_claims_that_make_no_sense_break_nothing_although_they_are_signed(value):
    for name in ("sub", "exp", "aud", "iat", "nbf"):
        claims = {"sub": "alice", "aud": AUDIENCE, "exp": time.time() + 60, name: value}
        with contextlib.suppress(TokenRefused):  # some values are valid
            TOKENS.subject(jwt.api_jws.encode(json.dumps(claims).encode(), KEY))


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_marked_id_is_its_owners_and_nobody_elses(owner, other):
    correlation_id = TOKENS.owned(new_correlation_id(1_800_000_000.123), owner)

    assert made_at(correlation_id) == 1_800_000_000.123
    assert TOKENS.owns(correlation_id, owner)
    assert TOKENS.owns(correlation_id, other) == (owner == other)
    assert not Tokens(SecretStr(KEY + "2")).owns(correlation_id, owner)


@pytest.mark.parametrize(
    "correlation_id", ["", "x", "идентификатор", "0" * 10_000, new_correlation_id(0)], ids=range(5)
)
def test_an_id_that_no_gateway_has_marked_is_nobodys(correlation_id):
    assert not TOKENS.owns(correlation_id, "alice")


def test_ids_of_one_owner_differ():
    ids = {TOKENS.owned(new_correlation_id(1_800_000_000), "alice") for _ in range(10_000)}

    assert len(ids) == 10_000


@given(st.text(min_size=1), st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_an_own_key_fits_into_the_header_and_says_nothing(subject, key):
    own = own_key(key, subject)

    assert own == own_key(key, subject)
    assert own != own_key(key, subject + "x")
    assert len(own) == 64
    assert set(own) <= set("0123456789abcdef")
