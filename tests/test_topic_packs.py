"""Packs of topics: what goes out comes in, and rubbish is told from it."""

import io

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.urls import reverse

from digest import packs, starter
from subscriptions import merging
from subscriptions.models import Topic
from tests import make
from tests.test_topics_panel import panel_of, text_of

pytestmark = pytest.mark.django_db

IMPORT = reverse("admin:subscriptions_topic_import_pack")
EXPORT = reverse("admin:subscriptions_topic_export_all")
REEFS = """format = 1
[[topic]]
slug = "reefs"
name = "Coral reefs"
query = 'coral reefs, "reef fish"'
"""


def rows():
    return list(Topic.objects.order_by("pk").values())


def by_slug(rows):
    return {row["slug"]: row | {"id": 0} for row in rows}


def states_of(pack):
    return [entry.state for entry in packs.read(pack.encode())]


def reasons_of(pack):
    return [f"{entry.where}: {entry.reason}" for entry in packs.read(pack.encode())]


def test_what_was_exported_changes_nothing_when_it_comes_back():
    starter.make_topics()
    make.topic('"Odd" \\ topic', slug="odd", query="a\nb\t\x7f\u2028'''\"\"\"", is_offered=False)
    before, pack = rows(), packs.written(Topic.objects.curated())
    assert set(states_of(pack)) == {"same"}
    packs.apply(pack.encode())
    assert rows() == before
    Topic.objects.all().delete()
    packs.apply(pack.encode())
    assert by_slug(rows()) == by_slug(before)


def test_what_a_pack_leaves_out_stays_as_it_is():
    make.topic("Reefs", slug="reefs", description="Old", categories=["q-bio.PE"], is_offered=False)
    (entry,) = packs.apply(REEFS.encode())
    assert entry.changes == {
        "name": ("Reefs", "Coral reefs"),
        "query": ("Reefs", 'coral reefs, "reef fish"'),
    }
    topic = Topic.objects.get()
    assert (topic.name, topic.description, topic.is_offered) == ("Coral reefs", "Old", False)
    assert states_of(REEFS) == ["same"]


def test_looking_at_a_pack_writes_nothing():
    assert states_of(REEFS) == ["new"]
    assert not Topic.objects.exists()


def test_a_pack_changes_no_topic_of_a_reader():
    make.subscriber(interests="coral reefs")
    own = rows()
    packs.apply(REEFS.encode())
    assert rows()[:1] == own
    assert Topic.objects.curated().get().slug == "reefs"
    assert "coral reefs" not in packs.written(Topic.objects.curated().exclude(slug="reefs"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "it has no slug"),
        ('slug = "a"', "it has no name"),
        ('slug = "a"\nname = "A"', "A topic needs a query or arXiv categories"),
        ('slug = 3\nname = "A"\nquery = "a"', "slug must be text"),
        ('slug = "a b"\nname = "A"\nquery = "a"', "slug: Enter a valid “slug”"),
        ('slug = "a"\nname = "A"\nquery = ["a"]', "query must be text"),
        ('slug = "a"\nname = "A"\nquery = "a"\noffered = 1', "offered must be true or false"),
        ('slug = "a"\nname = "A"\ncategories = "cs.LG"', "categories must be a list of names"),
        ('slug = "a"\nname = "A"\ncategories = ["cs.XX"]', "arXiv has no category called 'cs.XX'"),
        ('slug = "a"\nname = "A"\ncategories = [["cs.LG"]]', "arXiv has no category called"),
        ('slug = "a"\nname = "A"\nquery = "a"\nowner = 1', "a topic has no key “owner”"),
        ('slug = "a"\nname = "A\\nB"\nquery = "a"', "name must be one line"),
        ('slug = "a"\nname = "A"\nquery = "\\u0000"', "query has a NUL character"),
        ('slug = "\\u0000"\nname = "A"\nquery = "a"', "slug: "),
        (
            f'slug = "a"\nname = "{201 * "A"}"\nquery = "a"',
            "name: Ensure this value has at most 200",
        ),
        (f'slug = "{81 * "a"}"\nname = "A"\nquery = "a"', "slug: Ensure this value has at most 80"),
        (f'slug = "a"\nname = "A"\nquery = "{2001 * "a"}"', "query has more than 2,000 characters"),
        ('slug = "old"\nname = "A"\nquery = "a"', "it was merged into “Stays”"),
        ('slug = "reefs"\nname = "A"\nquery = "a"', "this slug stands in line 2 already"),
    ],
)
def test_a_bad_topic_is_refused_with_its_line_and_the_others_are_none_the_worse(lines, reason):
    merging.merge([make.topic("Old")], make.topic("Stays"))
    pack = f"{REEFS}\n[[ topic ]] # bad\n{lines}\n[[topic]]\nslug='b'\nname='B'\nquery='b'\n"
    first, bad, last = packs.apply(pack.encode())
    assert (first.state, bad.state, last.state) == ("new", "refused", "new")
    assert bad.where == "line 7"
    assert reason in bad.reason
    assert not bad.reason.endswith(".")  # Who tells it ends the sentence.
    slugs = Topic.objects.curated().exclude(slug="stays").values_list("slug", flat=True)
    assert set(slugs) == {"reefs", "b"}


def test_a_line_that_only_looks_like_the_beginning_of_a_topic_misleads_nobody():
    pack = (
        'format = 1\n[[topic]]\nslug = "a"\nname = "A"\nquery = """x\n[[topic]]\ny"""\n[[topic]]\n'
    )
    assert reasons_of(pack) == ["topic 1: ", "topic 2: it has no slug"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "doesn't say “format = 1”"),
        (b"format = 2\n[[topic]]", "doesn't say “format = 1”"),
        (b"format = true\n[[topic]]", "doesn't say “format = 1”"),
        (b"format = 1", "There is no topic"),
        (b"format = 1\ntopic = 3", "There is no topic"),
        (b"format = 1\ntopic = [1]", "There is no topic"),
        (b"format = 1\n[[topics]]\nslug = 'a'", "no key “topics”"),
        (b"format = 1\n[[topic]]\nslug = a", "is no TOML: Invalid value (at line 3"),
        (b"format = 1\n[[topic]]\nname = 'Caf\xe9'", "not in UTF-8: see line 3"),
        (b"\xff\xfe\x00", "not in UTF-8: see line 1"),
        (b"\x89PNG\r\n\x1a\n", "not in UTF-8"),
        (b"PK\x03\x04", "is no TOML"),
        (b'{"topics": []}', "is no TOML"),
        (b"a = " + b"[" * 100_000, "nested too deep"),
        (b"a = " + b"1" * 5_000, "is no TOML"),
        (b"a" + b".a" * 200_000 + b" = 1", "joined by dots in line 1"),
        (b'x = 1\n"a"' + b' . "a"' * 70_000 + b" = 1", "joined by dots in line 2"),
        (b"#" * (packs.LARGEST + 1), "larger than 500,000 bytes"),
        (b"format = 1\n" + b"[[topic]]\n" * 1_001, "more than 1,000 topics"),
    ],
)
def test_rubbish_is_told_from_a_pack_in_a_sentence(content, reason):
    with pytest.raises(packs.Unreadable, match=r"\.$") as refusal:
        packs.read(content)
    assert reason in str(refusal.value)


# ---- In the panel


def upload(panel, content, **sent):
    file = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    file.name = "pack.toml"
    return panel.post(IMPORT, {"file": file} | sent)


def test_an_import_is_looked_at_first_and_then_done():
    panel = panel_of()
    make.topic("Reefs", slug="reefs")
    pack = f"{REEFS}[[topic]]\nslug = 'ice'\nname = 'Sea ice'\nquery = 'ice'\n[[topic]]\nslug='x'\n"
    response = upload(panel, pack)
    text = text_of(response)
    assert "1 new, 1 changed, 0 same, 1 refused. Nothing is changed yet." in text
    assert "reefs changed name: “Reefs” → “Coral reefs”" in text
    assert "ice new Sea ice line 6" in text
    assert "x refused it has no name line 10" in text
    assert Topic.objects.count() == 1
    sent = {"pack": response.context["pack"].replace("\n", "\r\n"), "confirmed": "yes"}
    answer = panel.post(IMPORT, sent, follow=True)
    assert "Imported: 1 new, 1 changed, 0 same, 1 refused." in text_of(answer)
    assert set(Topic.objects.values_list("name", flat=True)) == {"Coral reefs", "Sea ice"}
    assert {str(entry.object_repr) for entry in LogEntry.objects.all()} == {
        "Coral reefs",
        "Sea ice",
    }
    assert "2 same, 1 refused" in text_of(upload(panel, pack))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The submitted file is empty."),
        (b"\xff\xfe", "The file is not in UTF-8: see line 1."),
        (b"nonsense", "The file is no TOML"),
        (b"#" * 600_000, "The file is larger than 500,000 bytes."),
    ],
)
def test_rubbish_is_refused_by_the_page_with_a_sentence(content, said):
    assert said in text_of(upload(panel_of(), content))


def test_a_file_of_many_megabytes_is_turned_away_unread():
    assert upload(panel_of(), b"#" * 50_000_000).status_code == 413


def test_nothing_chosen_is_said():
    assert "Choose a file first." in text_of(panel_of().post(IMPORT, {}))


def test_a_file_is_read_in_memory(tmp_path, settings):
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "nowhere")
    assert "1 new" in text_of(upload(panel_of(), REEFS + "#" * 400_000))


def test_all_or_the_selected_topics_are_exported():
    panel = panel_of("view_topic")
    make.subscriber(interests="bread")
    reefs, ice = make.topic("Reefs"), make.topic("Ice")
    response = panel.get(EXPORT)
    assert response["Content-Disposition"] == 'attachment; filename="topics.toml"'
    assert response.content.decode() == packs.written([ice, reefs])
    data = {"action": "export_selected", "_selected_action": [reefs.pk]}
    changelist = reverse("admin:subscriptions_topic_changelist")
    assert panel.post(changelist, data).content.decode() == packs.written([reefs])


def test_only_who_may_add_and_change_topics_imports_them():
    for rights in (["view_topic", "add_topic"], ["view_topic", "change_topic"], ["view_paper"]):
        assert panel_of(*rights).get(IMPORT).status_code == 403
        assert upload(panel_of(*rights), REEFS, confirmed="yes").status_code == 403
    assert panel_of("view_paper").get(EXPORT).status_code == 403
    assert not Topic.objects.exists()
    assert panel_of("add_topic", "change_topic").get(IMPORT).status_code == 200


# ---- From a shell


def test_a_pack_goes_out_and_in_by_command(tmp_path, capsys):
    make.topic("Reefs")
    file = tmp_path / "pack.toml"
    call_command("topics", "export", str(file))
    Topic.objects.all().delete()
    call_command("topics", "import", str(file), "--dry-run")
    assert "1 new, 0 changed, 0 as they are, 0 refused. Nothing was written." in (
        capsys.readouterr().out
    )
    assert not Topic.objects.exists()
    call_command("topics", "import", str(file))
    assert Topic.objects.get().name == "Reefs"
    with pytest.raises(CommandError, match="File exists"):
        call_command("topics", "export", str(file))


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    file = tmp_path / "pack.toml"
    with pytest.raises(CommandError, match="No such file"):
        call_command("topics", "import", str(file))
    file.write_bytes(b"#" * 50_000_000)
    with pytest.raises(CommandError, match="larger than 500,000 bytes"):
        call_command("topics", "import", str(file))
    file.write_text(f"{REEFS}[[topic]]\nslug = 'x'\n")
    with pytest.raises(CommandError, match="Not all topics"):
        call_command("topics", "import", str(file))
    assert "line 6: it has no name. Refused." in capsys.readouterr().err
    assert Topic.objects.get().slug == "reefs"


def test_a_slug_that_somebody_takes_at_this_moment_refuses_the_pack(monkeypatch):
    """As two curators do who import the same pack: both have looked before either writes."""
    looked_at = packs.read(REEFS.encode())
    make.topic(slug="reefs", name="Reefs")
    monkeypatch.setattr(packs, "read", lambda content: looked_at)
    with pytest.raises(packs.Unreadable, match="at this moment"):
        packs.apply(REEFS.encode())
    assert Topic.objects.filter(slug="reefs").count() == 1
