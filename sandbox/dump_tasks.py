"""The tasks of dump.sql: published examples, fictional people, and numbers that are made up at first sight."""

import random
from itertools import cycle, product

from sandbox.answers import ABROAD, LANDLINE, MOBILE, TEXTS

FIRST = [("phone", "8 916 823 34 54"), ("email", "serega@yandex/ru")]
"""The README's tasks, so that the dump's first rows are those that it shows."""

PHONES = (
    # Examples of DaData's documentation and of public clients.
    "раб 846)231.60.14 *139",
    "тел 7165219 доб139",
    "+79851234567",
    "+7 911 243-45-68",
    "+7 495 456-55-77",
    "+7 495 243-45-68",
    "8 800 222-12-22",
    "+7 333 1111112",
    "+375123456789",
    "+123",
    "qwe",
    # Unreadable ones, and two at once.
    "нет телефона",
    "-",
    "не звонить!",
    "8 916",
    "123-45",
    "+7 (9__) ___-__-__",
    "8 916 123-45-67, 8 495 123-45-67",
    "+7 921 765-43-21; доп. 8 812 765-43-21",
)

MOBILE_NUMBERS = ("1234567", "7654321", "1112233")
LANDLINE_NUMBERS = ("1234567", "2223344")
WRITTEN = (
    "+7 {0} {1}-{2}-{3}",
    "8 ({0}) {1}-{2}-{3}",
    "8{0}{1}{2}{3}",
    "+7({0}){1}{2}{3}",
    "8-{0}-{1}-{2}-{3}",
    "{0} {1} {2} {3}",
    "моб. 8 {0} {1} {2} {3}",
)
WITH_EXTENSION = ("8 ({0}) {1}-{2}-{3}", "8 ({0}) {1}-{2}-{3} доб. 101", "тел. +7 {0} {1}{2}{3}*12")

EMAILS = (
    # Examples of DaData's documentation and of public clients.
    "anderson@matrix.ru",
    "alice@",
    "petya@temp-mail.ru",
    "!%^&#",
    "-",
    # More that are unreadable, disposable or misspelt.
    "нет почты",
    "@primer.example",
    "chichikov@",
    "hlestakov@revizor",
    "balaganov.1931@mailinator.com",
    "panikovsky.1931@temp-mail.ru",
    "larina.1833 @yandex.ru",
    "manilov.1842@mail,ru",
    "nozdrev.1842@yandex/ru",
    "plyushkin.1842@ mail.ru",
    "rostova.1869@gmail,com",
)

PEOPLE = (
    *("onegin.1833", "larina.1833", "lensky.1833", "pechorin.1840", "chichikov.1842", "sobakevich.1842"),
    *("korobochka.1842", "manilov.1842", "chatsky.1825", "famusov.1825", "molchalin.1825", "hlestakov.1836"),
    *("oblomov.1859", "stolz.1859", "bazarov.1862", "kirsanov.1862", "raskolnikov.1866", "marmeladova.1866"),
    *("bolkonsky.1869", "bezuhov.1869", "rostova.1869", "karenina.1878", "vronsky.1878", "levin.1878"),
    *("ranevskaya.1904", "lopahin.1904", "bender.1928", "vorobyaninov.1928", "koreiko.1931", "balaganov.1931"),
)
"""Characters of novels and plays, each with the year of publication."""

COMPANIES = ("roga-i-kopyta", "vishnevy-sad", "oblomovka", "samovar-i-chay")
PERSONAL = ("yandex.ru", "mail.ru", "gmail.com", "rambler.ru", "bk.ru")


def tasks() -> list[tuple[str, str]]:
    """Return (task type, data) of all tasks. The order is always the same, and the types are mixed."""
    found = [("phone", phone) for phone in (*PHONES, *_mobiles(), *_landlines(), *_abroad())]
    found += [("email", email) for email in (*EMAILS, *_emails())]
    found += [("gpt", prompt) for prompt in TEXTS]
    random.Random(0).shuffle(found)
    return FIRST + found


def _mobiles() -> list[str]:
    numbers = product(MOBILE_NUMBERS, MOBILE)
    return [_written(form, code, number) for (number, code), form in zip(numbers, cycle(WRITTEN), strict=False)]


def _landlines() -> list[str]:
    numbers = product(LANDLINE_NUMBERS, LANDLINE)
    return [
        _written(form, code, number[len(code) - 3 :])
        for (number, code), form in zip(numbers, cycle(WITH_EXTENSION), strict=False)
    ]


def _written(form: str, code: str, number: str) -> str:
    return form.format(code, number[:-4], number[-4:-2], number[-2:])


def _abroad() -> list[str]:
    return [f"+{code} {'12 345 67 89' if len(code) == 3 else '123 456 78 90'}" for code in ABROAD]


def _emails() -> list[str]:
    at_home = [f"{person}@{domain}" for person, domain in zip(PEOPLE, cycle(PERSONAL), strict=False)]
    surnames = [person.partition(".")[0] for person in PEOPLE]
    at_work = [f"{surname}@{company}.example" for surname, company in zip(surnames, cycle(COMPANIES), strict=False)]
    roles = [f"{role}@{company}.example" for role, company in product(("info", "zakaz", "support"), COMPANIES)]
    return [*at_home, *at_work, *roles]
