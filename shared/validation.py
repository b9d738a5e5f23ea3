"""What pydantic finds wrong with a task or with settings, in our words."""

import re

from pydantic import ValidationError

_WANTED = {
    "missing": "is required",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be an integer",
    "float_parsing": "must be a number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:.16g}",
    "less_than_equal": "must be at most {le:.16g}",
    "literal_error": "must be {expected}",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must begin with http:// or https://, and have no user",  # the only patterns
    "too_short": "must not be empty",
    "dataclass_type": "it must be a JSON object",
    "json_invalid": "it cannot be read as JSON",
    "value_error": "{error}",
}
"""pydantic's type of an error -> what is wanted; the names in braces are of pydantic's context."""

_PLACE = re.compile(r"line \d+ column \d+$")


def in_words(error: ValidationError) -> list[tuple[str, str]]:
    """Return each problem as (the field's name, what is wanted of it); without a name if it concerns several fields.

    Repeats nothing of the input, which may be personal data or a secret: pydantic's context has none of it.
    """
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        context = problem.get("ctx", {})
        wanted = _WANTED.get(problem["type"], "is not valid").format(**context)
        if place := _PLACE.search(str(context.get("error", ""))):
            wanted += f": {place[0]}"
        problems.append((str(next(iter(problem["loc"]), "")), wanted))
    return list(dict.fromkeys(problems))
