"""What the simulated providers answer: published examples as published, and the documented shape to anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.answers import EMAIL_FIELDS, PHONE_FIELDS, TEXTS, clean_email, clean_phone, complete
from sandbox.demo import BY_KAFKA, BY_REST

UNKNOWN = {**dict.fromkeys(PHONE_FIELDS), "qc_conflict": 0}
NO_EMAIL = dict.fromkeys(EMAIL_FIELDS)

SAMARA = {
    "source": "раб 846)231.60.14 *139",
    "type": "Стационарный",
    "phone": "+7 846 231-60-14 доб. 139",
    "country_code": "7",
    "city_code": "846",
    "number": "2316014",
    "extension": "139",
    "provider": 'ООО "СИПАУТНЭТ"',
    "country": "Россия",
    "region": "Самарская область",
    "city": "Самара",
    "timezone": "UTC+4",
    "qc_conflict": 0,
    "qc": 0,
}
"""The example of https://dadata.ru/api/clean/phone/."""

MOSCOW = {
    "source": "+79851234567",
    "type": "Мобильный",
    "phone": "+7 985 123-45-67",
    "country_code": "7",
    "city_code": "985",
    "number": "1234567",
    "extension": None,
    "provider": 'ПАО "Мобильные ТелеСистемы"',
    "country": "Россия",
    "region": "Москва и Московская область",
    "city": None,
    "timezone": "UTC+3",
    "qc_conflict": 0,
    "qc": 0,
}
"""This and Belarus: answers of DaData that its Go client keeps as test data."""

BELARUS = UNKNOWN | {
    "source": "+375123456789",
    "type": "Стационарный",
    "phone": "+375  123456789",
    "country_code": "375",
    "number": "123456789",
    "country": "Беларусь",
    "timezone": "UTC+3",
    "qc": 7,
}


@pytest.mark.parametrize("published", [SAMARA, MOSCOW, BELARUS], ids=["Samara", "Moscow", "Belarus"])
def test_a_published_phone_gets_its_published_answer(published):
    assert clean_phone(published["source"]) == published


@pytest.mark.parametrize(
    ("source", "phone", "kind"),
    [
        ("+7 911 243-45-68", "+7 911 243-45-68", "Мобильный"),
        ("+7 495 456-55-77", "+7 495 456-55-77", "Стационарный"),
        ("+7 495 243-45-68", "+7 495 243-45-68", "Прямой мобильный"),
        ("8 800 222-12-22", "+7 800 222-12-22", "Колл-центр"),
        ("+7 333 1111112", None, "Неизвестный"),
    ],
)
def test_the_published_examples_of_the_types_have_these_types(source, phone, kind):
    answer = clean_phone(source)

    assert (answer["phone"], answer["type"]) == (phone, kind)
    assert answer["qc"] == (0 if phone else 1)


@pytest.mark.parametrize(
    ("source", "phone", "others"),
    [
        ("тел 7165219 доб139", "+7 495 716-52-19 доб. 139", {"provider": 'ПАО "МГТС"', "region": "Москва", "qc": 1}),
        ("8 (4212) 450045 доб.300", "+7 4212 45-00-45 доб. 300", {"extension": "300", "timezone": "UTC+10"}),
        ("(925) 888-1263", "+7 925 888-12-63", {"provider": 'ПАО "МегаФон"', "timezone": "UTC+3"}),
        ("(977) 792-0765", "+7 977 792-07-65", {"provider": 'ООО "Т2 Мобайл"'}),
        ("8905 569 44 18", "+7 905 569-44-18", {"provider": 'ПАО "Вымпел-Коммуникации"'}),
        ("89133990909", "+7 913 399-09-09", {"region": "Новосибирская область", "timezone": "UTC+7"}),
        ("8 4212 450045, 8 914 152 7123", "+7 4212 45-00-45", {"city_code": "4212", "qc": 3}),
        ("8 916 823 34 54, доб. 12", "+7 916 823-34-54 доб. 12", {"extension": "12", "qc": 0}),
    ],
)
def test_regions_operators_extensions_and_several_numbers_are_found(source, phone, others):
    answer = clean_phone(source)

    assert answer["phone"] == phone
    assert {name: answer[name] for name in others} == others


@pytest.mark.parametrize("source", ["+123", "450045", "+1 (703) 482-0623", "8 916", "8" * 10_000])
def test_a_phone_that_is_not_recognised_has_no_field_but_its_type(source):
    assert clean_phone(source) == UNKNOWN | {"source": source, "type": "Неизвестный", "qc": 1}


@pytest.mark.parametrize("source", ["qwe", "-", "нет телефона"])
def test_what_has_no_digits_is_no_phone(source):
    assert clean_phone(source) == UNKNOWN | {"source": source, "qc": 2}


@pytest.mark.parametrize(
    ("source", "email", "kind", "qc"),
    [
        ("serega@yandex/ru", "serega@yandex.ru", "PERSONAL", 4),
        ("bob@yandex,ru", "bob@yandex.ru", "PERSONAL", 4),
        ("vasya@mail.ru", "vasya@mail.ru", "PERSONAL", 0),
        ("anderson@matrix.ru", "anderson@matrix.ru", "CORPORATE", 0),
        ("info@matrix.ru", "info@matrix.ru", "ROLE", 0),
        ("Info@Matrix.ru", "info@matrix.ru", "ROLE", 0),
        ("petya@temp-mail.ru", "petya@temp-mail.ru", "DISPOSABLE", 3),
    ],
)
def test_an_email_gets_its_kind_and_its_code(source, email, kind, qc):
    local, domain = email.split("@")

    assert clean_email(source) == {
        "source": source,
        "email": email,
        "local": local,
        "domain": domain,
        "type": kind,
        "qc": qc,
    }


@pytest.mark.parametrize(("source", "qc"), [("alice@", 1), ("@matrix.ru", 1), ("a@b", 1), ("!%^&#", 2), ("-", 2)])
def test_what_is_no_email_is_told_by_its_code_alone(source, qc):
    assert clean_email(source) == NO_EMAIL | {"source": source, "qc": qc}


@given(st.text() | st.from_regex(r"\A[+78]?[0-9() ,;*-]{0,20}\Z") | st.emails())
def test_any_input_gets_every_documented_field_and_a_documented_code(text):
    phone, email = clean_phone(text), clean_email(text)

    assert set(phone) == {*PHONE_FIELDS, "qc_conflict", "qc"}
    assert set(email) == set(EMAIL_FIELDS)
    assert phone["source"] == email["source"] == text
    assert phone["qc"] in (0, 1, 2, 3, 7)
    assert email["qc"] in (0, 1, 2, 3, 4)
    assert (phone["qc"], phone["phone"]) != (0, None)
    assert (email["email"] is None) == (email["qc"] in (1, 2))


@pytest.mark.parametrize("prompt", ["Hi", *(data for _, task_type, data in BY_REST + BY_KAFKA if task_type == "gpt")])
def test_the_prompts_of_the_readme_and_the_demo_are_answered(prompt):
    [alternative] = complete(prompt)["alternatives"]

    assert alternative == {
        "message": {"role": "assistant", "text": TEXTS[prompt]},
        "status": "ALTERNATIVE_STATUS_FINAL",
    }


def test_any_other_prompt_is_repeated_in_its_answer():
    answer = complete("Столица России?")

    assert answer["alternatives"][0]["message"]["text"] == "Вы спросили: Столица России?"
    assert answer == complete("Столица России?")
    assert answer["usage"] == {
        "inputTextTokens": "4",
        "completionTokens": "8",
        "totalTokens": "12",
        "completionTokensDetails": {"reasoningTokens": "0"},
    }
