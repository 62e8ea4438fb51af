"""Which answers of a language model are shown, and which are refused."""

import json
from contextlib import suppress

import pytest

from digest.papers import summaries
from tests.helpers.data_files import cases
from tests.servers.loopback import says

TITLE = "GPT-4 reads 1,000 maps"
ABSTRACT = "We find that 3.5% of 1,200 maps are wrong, in 2.1 m² each. Results hold for 95 models \
of maps.example and Node.js."
GOOD = {"title": "GPT-4 liest 1.000 Karten", "sentence": "3,5 % von 1200 Karten sind falsch."}


def parse_answer(language="de", **changes):
    return summaries.parse_answer(json.dumps(GOOD | changes), TITLE, ABSTRACT, language)


@pytest.mark.parametrize("wrapping", ["{}", "```json\n{}\n```", "```\n{}\n```\n", "  {}\n"])
def test_answer_is_taken_with_localised_numbers(wrapping):
    content = wrapping.replace("{}", json.dumps(GOOD))
    assert summaries.parse_answer(content, TITLE, ABSTRACT, "de") == tuple(GOOD.values())


def test_answer_in_english_leaves_the_authors_title():
    assert parse_answer("en", sentence="3.5% are wrong.") == ("", "3.5% are wrong.")


HARMLESS = ["Karten, z.B. d.h. u.a. 3,5 % (Ph.D.) der U.S.-Karten … falsch...und so", "地图。结果"]


@pytest.mark.parametrize("sentence", [*HARMLESS, "Maps.example hat 95 Karten.", "Es ist node.JS."])
def test_dots_and_host_names_of_the_abstract_are_shown(sentence):
    assert parse_answer(sentence=sentence)[1] == sentence


@pytest.mark.parametrize(("name", "text", "fault"), cases("refused_summaries"))
def test_answer_is_refused(name, text, fault):
    with pytest.raises(summaries.BadAnswer, match=fault):
        parse_answer(**{name: text})


@pytest.mark.parametrize("content", ["", "x", "[]", "1", '"x"', "{}", "[" * 99_999, None, [], {}])
def test_answer_is_refused_when_it_is_no_object(content):
    with pytest.raises(summaries.BadAnswer, match="not the JSON"):
        summaries.parse_answer(content, TITLE, ABSTRACT, "de")


def test_characters_are_counted_in_languages_without_spaces():
    assert parse_answer("ja", sentence="地" * 120)
    with pytest.raises(summaries.BadAnswer, match="too long"):
        parse_answer("ja", sentence="地" * 121)


def test_numbers_that_the_abstract_lacks_are_refused():
    shown = []
    for number in range(500):
        with suppress(summaries.BadAnswer):
            shown.append(parse_answer(sentence=f"Es sind {number}.") and number)
    assert shown == [4, 95]


def test_request_has_only_the_paper_and_the_key(language_model):
    assert summaries.ask(TITLE, ABSTRACT, "zh-hans")[1] == "Eine Aussage über Graphen."
    ((path, headers, request),) = language_model.asked
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer k1")
    assert request.keys() == {"model", "messages", "response_format"}
    assert "Simplified Chinese" in request["messages"][0]["content"]
    paper = json.loads(request["messages"][1]["content"])
    assert paper == {"title": TITLE, "abstract": ABSTRACT}


GAPS = [(401, {}, b"{}"), (302, {"Location": "http://127.0.0.1/"}, b""), says([]), says(b"")]
CUT_OFF = 200, {"Content-Length": "9999"}, b'{"choices": ['


@pytest.mark.parametrize("answer", [*GAPS, CUT_OFF, says({"choices": []})])
def test_model_gives_no_answer(language_model, answer):
    language_model.answers.append(answer)
    with pytest.raises(summaries.NoAnswer) as failure:
        summaries.ask(TITLE, ABSTRACT, "de")
    assert not isinstance(failure.value, summaries.BadAnswer)
