"""Topics as a file: what is exported can be imported, and a bad file changes nothing."""

import io
import json

import pytest
from django.contrib.admin.models import LogEntry
from django.core import signing
from django.core.management import CommandError, call_command
from django.urls import reverse

from digest.topics import starter_topics, topic_files
from subscriptions.models import Topic
from tests.digest.admin.test_topics import panel_of, text_of
from tests.factories import make

pytestmark = pytest.mark.django_db

IMPORT, CONFIRM, EXPORT = (
    reverse(f"admin:subscriptions_topic_{act}") for act in ("import", "process_import", "export")
)
REEFS = """
- slug: reefs
  name: Coral reefs
  query: coral reefs, "reef fish"
"""


def rows():
    return list(Topic.objects.order_by("slug").values())


def export(name="topics.yaml", topics=None):
    return topic_files.format_of(name).export_data(topic_files.TopicResource().export(topics))


def load(text, name="topics.yaml", **options):
    dataset = topic_files.format_of(name).create_dataset(text.encode())
    options = {"rollback_on_validation_errors": True} | options
    return topic_files.TopicResource().import_data(dataset, **options)


def totals(result):
    return {state: count for state, count in result.totals.items() if count}


def errors_of(result):
    errors = [str(row.error_dict) for row in result.invalid_rows]
    errors += [str(error.error) for error in result.base_errors]
    return " ".join(errors + [str(error.error) for _, row in result.row_errors() for error in row])


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.csv"])
def test_what_was_exported_changes_nothing_when_it_comes_back(name):
    starter_topics.make_topics()
    odd = {"query": "a\nb\t\x7f\u2028'''\"\"\"", "description": "Café, #1: *x*"}
    make.topic('"Odd" \\ topic', slug="odd", is_offered=False, **odd)
    before, text = rows(), export(name)
    assert totals(load(text, name)) == {"skip": len(before)}
    assert rows() == before
    Topic.objects.all().delete()
    assert totals(load(text, name)) == {"new": len(before)}
    assert [row | {"id": 0} for row in rows()] == [row | {"id": 0} for row in before]


def test_the_file_of_starter_topics_is_one_that_can_be_imported():
    starter_topics.make_topics()
    result = load(starter_topics.SUBJECTS.read_text())
    assert totals(result) == {"skip": Topic.objects.by_subject().count()}


def test_what_a_topic_leaves_out_stays_as_it_is():
    make.topic("Reefs", slug="reefs", description="Old", categories=["q-bio.PE"], is_offered=False)
    assert totals(load(REEFS)) == {"update": 1}
    topic = Topic.objects.get()
    assert (topic.name, topic.description, topic.is_offered) == ("Coral reefs", "Old", False)
    assert topic.categories == ["q-bio.PE"]
    assert totals(load(REEFS)) == {"skip": 1}


def test_each_topic_is_read_by_its_own_keys():
    load(REEFS + "- {name: Sea ice, categories: [cs.lg, stat.ML, cs.LG], slug: ice}\n")
    ice = Topic.objects.get(slug="ice")
    assert (ice.name, ice.query, ice.categories) == ("Sea ice", "", ["cs.LG", "stat.ML"])


def test_readers_own_and_merged_topics_are_neither_exported_nor_changed():
    make.subscriber(interests="coral reefs")
    stays = make.topic("Stays")
    make.topic("Old", merged_into=stays)
    before = rows()
    assert "coral" not in export(topics=Topic.objects.all())
    assert "slug: old" not in export(topics=Topic.objects.all())
    assert "already exists" in errors_of(load("- {slug: old, name: Old, query: x}"))
    assert rows() == before


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("name: A", "A topic needs a slug"),
        ("slug: a", "This field cannot be blank"),
        ("{slug: a, name: A}", "A topic needs a query or arXiv categories"),
        ("{slug: 3, name: A, query: a}", "'slug': ['This cannot be 3.']"),
        ("{slug: a, name: no, query: a}", "'name': ['This cannot be False.']"),
        ("{slug: a b, name: A, query: a}", "Enter a valid “slug”"),
        ("{slug: a, name: A, query: [a]}", "This cannot be ['a']."),
        ("{slug: a, name: A, query: a, offered: maybe}", "This cannot be 'maybe'."),
        ("{slug: a, name: A, categories: [cs.XX]}", "arXiv has no category called cs.XX"),
        ("{slug: a, name: A, categories: [[cs.LG]]}", "arXiv has no category called"),
        ("{slug: a, name: A, query: a, owner: 1}", "A topic has no “owner”"),
        ('{slug: a, name: "A\\nB", query: a}', "'name': ['This must be one line"),
        ('{slug: a, name: A, query: "a\\0"}', "Null characters are not allowed"),
        ('{slug: "a\\0", name: A, query: a}', ""),
        (f"{{slug: a, name: {201 * 'A'}, query: a}}", "at most 200 characters"),
        (f"{{slug: {81 * 'a'}, name: A, query: a}}", "at most 80 characters"),
        (f"{{slug: a, name: A, query: {2001 * 'a'}}}", "more than 2000 characters"),
        ("{slug: reefs, name: A, query: a}", "An earlier topic in the file has this slug"),
    ],
)
def test_one_bad_topic_refuses_the_file(topic, reason):
    result = load(f"{REEFS}\n- {topic}\n")
    assert reason in errors_of(result)
    assert result.has_errors() or result.has_validation_errors()
    assert not Topic.objects.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no list"),
        ("slug: a", "holds no list"),
        ("- a", "holds no list"),
        ("- slug: {", "line 1, column 10"),
        ("- {slug: &a x, name: *a}", "has an alias"),
        ("- &a {slug: x}\n- {<<: *a}", "has an alias"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[" * 100_000, "maximum recursion depth"),
        ("- slug: " + "1" * 5_000, "integer string conversion"),
    ],
)
def test_rubbish_is_told_from_a_file_of_topics(content, reason):
    with pytest.raises((ValueError, RecursionError, topic_files.yaml.YAMLError), match=reason):
        load(content)


def test_a_spreadsheet_runs_nothing():
    make.topic("=HYPERLINK(1)", slug="a")
    assert "=" not in export("a.csv")
    assert "=HYPERLINK" in export("a.json")


# ---- In the panel


def upload(panel, content, name="pack.yaml", format="0"):
    file = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    file.name = name
    return panel.post(IMPORT, {"import_file": file, "format": format})


def confirm(panel, response, **sent):
    form = response.context["confirm_form"]
    return panel.post(CONFIRM, form.initial | sent, follow=True)


def test_an_import_is_looked_at_first_and_then_done():
    panel = panel_of()
    make.topic("Reefs", slug="reefs")
    response = upload(panel, f"{REEFS}- {{slug: ice, name: Sea <ice>, query: ice}}\n")
    text = text_of(response)
    assert "Update reefs" in text
    assert "New ice Sea" in text
    assert "<ins" in response.content.decode()
    assert "<ice>" not in response.content.decode()
    assert Topic.objects.count() == 1
    assert "1 new, 1 updated, 0 deleted" in text_of(confirm(panel, response))
    assert set(Topic.objects.values_list("slug", flat=True)) == {"reefs", "ice"}
    assert {str(entry) for entry in LogEntry.objects.all()} == {
        "Added “Sea <ice>”.",
        "Changed “Coral reefs” — update through import_export",
    }


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "a.yaml", "The submitted file is empty."),
        (b"\xff\xfe", "a.yaml", "decode byte 0xff"),
        (b"- slug: [", "a.yaml", "while parsing"),
        (b"format = 1", "topics.toml", "TOML is no longer a format of topics: use YAML"),
        (b"x", "topics.xlsx", "ends with .yaml, .json or .csv"),
        (b"#" * 600_000, "a.yaml", "larger than 500,000 bytes"),
        (b'[{"slug": "a", "name": "\\ud800"}]', "a.json", "surrogates not allowed"),
        (b"- {slug: a, name: A}", "a.yaml", "A topic needs a query"),
        (b"slug\n", "a.csv", "No valid data to import"),
    ],
)
def test_rubbish_is_refused_by_the_page_with_a_sentence(content, name, said):
    formats = {"yaml": "0", "json": "1", "csv": "2"}
    response = upload(panel_of(), content, name, formats.get(name[2:], "0"))
    assert said in text_of(response)
    assert "confirm_form" not in response.context


def test_a_file_of_many_megabytes_is_turned_away_unread():
    assert upload(panel_of(), b"#" * 50_000_000).status_code == 413


def test_only_a_file_that_was_looked_at_is_imported():
    panel = panel_of()
    response = upload(panel, REEFS)
    for sent in (
        {"import_file_name": "../../../etc/passwd"},
        {"import_file_name": signing.dumps(REEFS)},
        {"format": "7"},
        {"format": "x"},
    ):
        assert confirm(panel, response, **sent).status_code in (200, 400)
    assert not Topic.objects.exists()


def test_an_import_that_fails_the_second_time_changes_nothing_and_says_so():
    panel = panel_of()
    response = upload(panel, f"{REEFS}- {{slug: ice, name: Ice, query: ice}}\n")
    make.topic("Old", slug="ice", merged_into=make.topic("Stays"))
    assert "nothing was imported" in text_of(confirm(panel, response))
    assert not Topic.objects.filter(slug="reefs").exists()
    assert not LogEntry.objects.exists()


def test_all_or_the_selected_topics_are_exported():
    panel = panel_of("view_topic")
    make.subscriber(interests="bread")
    reefs, _ = make.topic("Reefs"), make.topic("Ice")
    response = panel.post(EXPORT, {"format": "0", "resource": "0"})
    assert ".yaml" in response["Content-Disposition"]
    assert response.content.decode() == export()
    data = {"action": "export_admin_action", "_selected_action": [reefs.pk]}
    page = panel.post(reverse("admin:subscriptions_topic_changelist"), data)
    assert "Export 1 selected item" in text_of(page)
    chosen = panel.post(EXPORT, {"format": "1", "resource": "0", "export_items": [reefs.pk]})
    assert [topic["slug"] for topic in json.loads(chosen.content)] == ["reefs"]


def test_only_who_may_add_and_change_topics_imports_them():
    for rights in (["view_topic", "add_topic"], ["view_topic", "change_topic"], ["view_paper"]):
        panel = panel_of(*rights)
        assert panel.get(IMPORT).status_code == 403
        assert upload(panel, REEFS).status_code == 403
        assert panel.post(CONFIRM, {}).status_code == 403
    assert panel_of("view_paper").get(EXPORT).status_code == 403
    assert panel_of("add_topic", "change_topic").get(IMPORT).status_code == 200


# ---- From a shell


def test_topics_go_out_and_in_by_command(tmp_path, capsys):
    make.topic("Reefs")
    file = tmp_path / "topics.yaml"
    call_command("topics", "export", str(file))
    Topic.objects.all().delete()
    call_command("topics", "import", str(file), "--dry-run")
    assert "1 new, 0 changed, 0 as they are. Nothing was written." in capsys.readouterr().out
    assert not Topic.objects.exists()
    call_command("topics", "import", str(file))
    assert Topic.objects.get().name == "Reefs"
    with pytest.raises(CommandError, match="File exists"):
        call_command("topics", "export", str(file))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.yaml", None, "No such file"),
        ("a.yaml", "#" * 50_000_000, "larger than 500,000 bytes"),
        ("a.yaml", "- slug: {", "line 1, column 10"),
        ("a.csv", f"slug\n{200_000 * 'x'}", "field larger than field limit"),
        ("a.yaml", f"{REEFS}- {{slug: x}}", "Nothing was imported"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, name, content, said):
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError, match=said):
        call_command("topics", "import", str(file))
    assert said != "Nothing was imported" or "topic 2, name: This" in capsys.readouterr().err
    assert not Topic.objects.exists()
