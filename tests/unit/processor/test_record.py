"""Headers of a record: which one counts."""

from processor.record import last_header


def test_of_several_headers_of_a_name_the_last_counts():
    headers = [("a", b"1"), ("b", b"2"), ("a", b"3"), ("A", b"4"), ("b", None)]

    assert last_header(headers, "a") == b"3"
    assert last_header(headers, "b") == b"", "a header without a value"
    assert last_header(headers, "c") is last_header([], "a") is last_header(None, "a") is None
