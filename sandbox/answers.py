"""What the simulated providers answer: DaData to a phone number or an e-mail address, YandexGPT to a prompt.

The same input always gets the same answer, and it has the real shape. DaData's published examples get their published
answers. Of anything else DaData knows more than the small tables below.
"""

import re
from typing import Any

MTS = 'ПАО "Мобильные ТелеСистемы"'
BEELINE = 'ПАО "Вымпел-Коммуникации"'
MEGAFON = 'ПАО "МегаФон"'
T2 = 'ООО "Т2 Мобайл"'
ROSTELECOM = 'ПАО "Ростелеком"'
MGTS = 'ПАО "МГТС"'

MOBILE = {
    code: {"provider": operator, "region": region, "timezone": timezone}
    for region, timezone, operators in (
        ("Москва и Московская область", "UTC+3", {MTS: "910 915 916 985", BEELINE: "903 905 909 999"}),
        ("Москва и Московская область", "UTC+3", {MEGAFON: "925 926 929", T2: "901 977"}),
        ("Санкт-Петербург и Ленинградская область", "UTC+3", {MTS: "911 981", MEGAFON: "921 931", T2: "900 953"}),
        ("Нижегородская область", "UTC+3", {MEGAFON: "920 930", T2: "904"}),
        ("Краснодарский край", "UTC+3", {MTS: "918 988", BEELINE: "961", MEGAFON: "928 938"}),
        ("Самарская область", "UTC+4", {MTS: "917 987", MEGAFON: "927 937"}),
        ("Свердловская область", "UTC+5", {MTS: "912 982", MEGAFON: "922 932", T2: "950"}),
        ("Новосибирская область", "UTC+7", {MTS: "913 983", BEELINE: "962", MEGAFON: "923 933"}),
        ("Хабаровский край", "UTC+10", {MTS: "914 984", MEGAFON: "924"}),
    )
    for operator, codes in operators.items()
    for code in codes.split()
}
"""By code. DaData also looks at the number: most codes belong to several regions, and numbers change operators."""

OTHER_MOBILE = MOBILE["916"]
"""For the codes from 900 to 999 that are not in the table."""

LANDLINE = {
    code: {"provider": operator, "region": region, "city": city, "timezone": timezone}
    for code, operator, region, city, timezone in (
        ("343", ROSTELECOM, "Свердловская область", "Екатеринбург", "UTC+5"),
        ("351", ROSTELECOM, "Челябинская область", "Челябинск", "UTC+5"),
        ("3812", ROSTELECOM, "Омская область", "Омск", "UTC+6"),
        ("383", ROSTELECOM, "Новосибирская область", "Новосибирск", "UTC+7"),
        ("391", ROSTELECOM, "Красноярский край", "Красноярск", "UTC+7"),
        ("3952", ROSTELECOM, "Иркутская область", "Иркутск", "UTC+8"),
        ("4012", ROSTELECOM, "Калининградская область", "Калининград", "UTC+2"),
        ("4212", ROSTELECOM, "Хабаровский край", "Хабаровск", "UTC+10"),
        ("423", ROSTELECOM, "Приморский край", "Владивосток", "UTC+10"),
        ("473", ROSTELECOM, "Воронежская область", "Воронеж", "UTC+3"),
        ("495", MGTS, "Москва", "Москва", "UTC+3"),
        ("499", MGTS, "Москва", "Москва", "UTC+3"),
        ("812", ROSTELECOM, "Санкт-Петербург", "Санкт-Петербург", "UTC+3"),
        ("831", ROSTELECOM, "Нижегородская область", "Нижний Новгород", "UTC+3"),
        ("846", 'ООО "СИПАУТНЭТ"', "Самарская область", "Самара", "UTC+4"),
        ("861", ROSTELECOM, "Краснодарский край", "Краснодар", "UTC+3"),
        ("863", ROSTELECOM, "Ростовская область", "Ростов-на-Дону", "UTC+3"),
    )
}

CALL_CENTRE = {"provider": 'АО "Компания ТрансТелеКом"'}

ABROAD = {
    "374": ("Армения", "UTC+4"),
    "375": ("Беларусь", "UTC+3"),
    "90": ("Турция", "UTC+3"),
    "992": ("Таджикистан", "UTC+5"),
    "995": ("Грузия", "UTC+4"),
    "998": ("Узбекистан", "UTC+5"),
}

PHONE_FIELDS = (
    *("source", "type", "phone", "country_code", "city_code", "number", "extension"),
    *("provider", "country", "region", "city", "timezone"),
)
EMAIL_FIELDS = ("source", "email", "local", "domain", "type", "qc")

PERSONAL_DOMAINS = {"mail.ru", "bk.ru", "inbox.ru", "list.ru", "yandex.ru", "ya.ru", "rambler.ru", "gmail.com"}
DISPOSABLE_DOMAINS = {"temp-mail.ru", "mailinator.com"}
ROLES = {"info", "support", "admin", "sales", "office", "zakaz"}

TEXTS = {
    "To be, or not to be: that is the question.": "This is the opening line of Hamlet's soliloquy in William "
    "Shakespeare's tragedy: the prince weighs life against death.",
    "What is the capital of Russia?": "The capital of Russia is Moscow.",
    "Что такое Kafka?": "Apache Kafka — это распределённый журнал сообщений. Программы-производители записывают в него "
    "события, а потребители читают их в своём темпе. Kafka хранит сообщения на дисках нескольких серверов, поэтому "
    "их можно прочитать повторно, а отказ одного сервера не приводит к потере данных.",
    "Hi": "Hello! How can I help you?",
    "Переведи на английский: «Доброе утро, коллеги!»": "Good morning, colleagues!",
    "Переведи на английский: «Заказ передан в службу доставки».": "The order has been handed over to the delivery "
    "service.",
    "Переведи на русский: The early bird catches the worm.": "Кто рано встаёт, тому Бог подаёт.",
    "Переведи на русский: Please find the invoice attached.": "Счёт во вложении.",
    "Определи тональность отзыва одним словом: «Привезли на день раньше, спасибо!»": "Позитивная",
    "Определи тональность отзыва одним словом: «Коробка мятая, чайник не включается».": "Негативная",
    "Определи тональность отзыва одним словом: «Товар соответствует описанию».": "Нейтральная",
    "Определи тональность отзыва одним словом: «Третий раз переносите доставку, сколько можно!»": "Негативная",
    "Определи тональность отзыва одним словом: «Лучший магазин самоваров в Туле».": "Позитивная",
    "К какой теме относится обращение: доставка, оплата или возврат? «Деньги списали дважды».": "Оплата",
    "К какой теме относится обращение: доставка, оплата или возврат? «Где мой заказ?»": "Доставка",
    "К какой теме относится обращение: доставка, оплата или возврат? «Размер не подошёл, как вернуть?»": "Возврат",
    "Исправь ошибки: «Извените, я ни смогу придти завтра».": "Извините, я не смогу прийти завтра.",
    "Исправь ошибки: «Согластно договору, оплата производиться в течении трех дней».": "Согласно договору, оплата "
    "производится в течение трёх дней.",
    "Придумай три названия для чайной лавки.": "1. «Чайный лист»\n2. «Самовар и мята»\n3. «Пятый заварник»",
    "Придумай заголовок для письма о скидке 20 % на самовары.": "Самовары со скидкой 20 % — согреем до конца недели",
    "Напиши вежливый ответ клиенту, который просит перенести доставку на субботу.": "Здравствуйте! Спасибо, что "
    "предупредили. Мы перенесли доставку на субботу, курьер позвонит вам за час до приезда. Хорошего дня!",
    "Сократи до одного предложения: «Наш магазин работает ежедневно с 9 до 21 часа. В праздники мы открываемся на час "
    "позже. Самовывоз возможен в те же часы».": "Магазин и самовывоз работают ежедневно с 9 до 21 часа, в праздники — "
    "с 10.",
    "Сколько будет 17 × 24?": "17 × 24 = 408.",
    "Кто написал «Евгения Онегина»?": "Роман в стихах «Евгений Онегин» написал Александр Сергеевич Пушкин.",
    "Назови столицу Австралии.": "Столица Австралии — Канберра.",
    "Write a regular expression for a Russian postal code.": "A Russian postal code has six digits: `^\\d{6}$`.",
    "Explain idempotency in one sentence.": "An operation is idempotent if doing it twice has the same effect as doing "
    "it once.",
    "Что означает HTTP-код 429?": "Код 429 (Too Many Requests) означает, что клиент отправил слишком много запросов за "
    "короткое время. Повторите запрос позже; сколько ждать, сервер может указать в заголовке Retry-After.",
    "Напиши SQL-запрос, который считает строки таблицы orders по дням.": "```sql\nSELECT date_trunc('day', created_at) "
    "AS day, count(*)\nFROM orders\nGROUP BY day\nORDER BY day;\n```",
}
"""Answers to the prompts of the demo, the README and dump.sql. Any other prompt is repeated in its answer."""


def clean_phone(text: str) -> dict[str, Any]:
    """Return DaData's answer to a phone number."""
    answer: dict[str, Any] = {**dict.fromkeys(PHONE_FIELDS), "source": text, "qc_conflict": 0, "qc": 0}
    first, *others = [part for part in re.split(r"[,;]", text) if len(_digits(part)) >= 7] or [text]
    main, *extension = re.split(r"\*|доб\.?|ext\.?", text if not others else first, maxsplit=1, flags=re.IGNORECASE)
    digits = _digits(main)
    if not digits:
        return answer | {"qc": 2}
    if len(digits) == 11 and digits[0] in "78":
        national = digits[1:]
    elif len(digits) == 10:
        national = digits
    elif len(digits) == 7:
        national = f"495{digits}"
        answer["qc"] = 1
    else:
        return answer | _phone_abroad(digits)
    found = _russian_phone(national)
    if found is None:
        return answer | {"type": "Неизвестный", "qc": 1}
    answer |= {"country_code": "7", "country": "Россия", **found}
    if extension and (extension_digits := _digits(extension[0])):
        answer["extension"] = extension_digits
        answer["phone"] += f" доб. {extension_digits}"
    if others:
        answer["qc"] = 3
    return answer


def _russian_phone(national: str) -> dict[str, Any] | None:
    if national.startswith("9"):
        return {"type": "Мобильный", **_split(national, 3), **MOBILE.get(national[:3], OTHER_MOBILE)}
    if national.startswith("80"):
        return {"type": "Колл-центр", **_split(national, 3), **CALL_CENTRE}
    for code_digits in (4, 3):
        place = LANDLINE.get(national[:code_digits])
        if place is not None:
            # A mobile phone with a Moscow number, as in DaData's table of types.
            mobile = {"type": "Прямой мобильный", "provider": BEELINE} if national.startswith("495243") else {}
            return {"type": "Стационарный", **_split(national, code_digits), **place, **mobile}
    return None


def _split(national: str, code_digits: int) -> dict[str, str]:
    code, number = national[:code_digits], national[code_digits:]
    return {"phone": f"+7 {code} {number[:-4]}-{number[-4:-2]}-{number[-2:]}", "city_code": code, "number": number}


def _phone_abroad(digits: str) -> dict[str, Any]:
    for code, (country, timezone) in ABROAD.items():
        if digits.startswith(code) and 11 <= len(digits) <= 15:
            number = digits.removeprefix(code)
            return {
                "type": "Стационарный",
                "phone": f"+{code}  {number}",  # two blanks: the code of the city is missing between them
                "country_code": code,
                "number": number,
                "country": country,
                "timezone": timezone,
                "qc": 7,
            }
    return {"type": "Неизвестный", "qc": 1}


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def clean_email(text: str) -> dict[str, Any]:
    """Return DaData's answer to an e-mail address."""
    local, at, domain = re.sub(r"\s", "", text).lower().partition("@")
    domain = re.sub(r"[/,]", ".", domain)
    if not local or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", domain):
        return {**dict.fromkeys(EMAIL_FIELDS), "source": text, "qc": 1 if at else 2}
    email = f"{local}@{domain}"
    kind = "CORPORATE"
    if domain in DISPOSABLE_DOMAINS:
        kind = "DISPOSABLE"
    elif local in ROLES:
        kind = "ROLE"
    elif domain in PERSONAL_DOMAINS:
        kind = "PERSONAL"
    qc = 3 if kind == "DISPOSABLE" else 0 if email == text.lower() else 4
    return {"source": text, "email": email, "local": local, "domain": domain, "type": kind, "qc": qc}


def complete(prompt: str, status: str = "ALTERNATIVE_STATUS_FINAL") -> dict[str, Any]:
    """Return YandexGPT's answer to a prompt: the object in its `result`."""
    text = TEXTS.get(prompt, f"Вы спросили: {prompt[:200]}")
    asked, answered = len(prompt) // 4 + 1, len(text) // 4 + 1
    return {
        "alternatives": [{"message": {"role": "assistant", "text": text}, "status": status}],
        "usage": {
            "inputTextTokens": str(asked),
            "completionTokens": str(answered),
            "totalTokens": str(asked + answered),
            "completionTokensDetails": {"reasoningTokens": "0"},
        },
        "modelVersion": "09.02.2025",
    }
