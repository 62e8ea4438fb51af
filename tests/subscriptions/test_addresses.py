"""The form in which addresses are kept, and what is refused with which words."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import addresses
from tests.helpers import data_files

DATA = data_files.load("addresses.toml")


@pytest.mark.parametrize(("typed", "kept"), DATA["normalised"])
def test_address_is_normalised(typed, kept):
    assert addresses.normalise(typed) == kept


@pytest.mark.parametrize(("typed", "code"), DATA["refused"])
def test_undeliverable_address_is_refused_with_a_sentence(typed, code):
    with pytest.raises(ValidationError) as refused:
        addresses.normalise(typed)
    assert refused.value.code == code
    assert DATA["sentences"][code] in refused.value.message
    assert refused.value.message.endswith(".")


def test_international_domain_is_shown_in_its_script():
    assert addresses.readable("you@xn--exmple-cua.org") == "you@exämple.org"


LOCAL_PARTS = st.text("abcABC012.+-_'\"\\ \x00\x01\r\nëİ", max_size=66)
DOMAINS = st.one_of(
    st.text(max_size=70),
    st.text("abc012-.xnßäñ例。א\u200c\u200d\u0301", max_size=70),
    st.text(max_size=30).map(lambda label: f"xn--{label}.org"),
    st.just("example.org"),
)


@given(st.one_of(st.text(), st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS)))
def test_any_text_is_normalised_stably_or_refused(typed):
    try:
        kept = addresses.normalise(typed)
    except ValidationError:
        return
    assert kept.isascii()
    assert kept.isprintable()
    assert addresses.normalise(kept) == kept
    assert addresses.normalise(addresses.readable(kept)) == kept


def test_common_domain_is_suggested_for_a_misspelling():
    for typed, meant in (("jane@Gmial.com", "gmail.com"), ("jane@t-onlin.de", "t-online.de")):
        assert addresses.suggestion(typed) == meant
    for typed in ("gmail.com", "mail.com", "hotmail.co.uk", "yahoo.com.br", "uni.example"):
        assert addresses.suggestion(f"jane@{typed}") == ""
