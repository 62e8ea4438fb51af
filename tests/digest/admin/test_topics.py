"""Topics in the panel: what matches while one is written, and who follows."""

import json
import re

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from digest.indexing import model_store
from digest.models import FittedModel
from digest.topics import starter_topics, topic_files
from subscriptions.child_process import ParseError
from subscriptions.models import Topic
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers import data_files
from tests.helpers.pages import text_of

INPUTS = data_files.load("topic_inputs.toml")

pytestmark = pytest.mark.django_db

TOPICS = reverse("admin:subscriptions_topic_changelist")
ADD = reverse("admin:subscriptions_topic_add")
MATCHES = reverse("admin:subscriptions_topic_matches")


def panel_of(*rights):
    """Return a client that is logged in as somebody with these rights."""
    user = User.objects.create(username=f"u{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def papers():
    """Papers of this week that a model is fitted on."""
    for n in range(3):
        make.paper(f"Sparse attention {n}", make.about("attention"), categories=["cs.LG"])
    make.paper("Bread and butter", make.about("bread"), categories=["cs.CL"])
    make.paper("Old bread", day=TODAY - 60 * DAY)
    model_store.fit(NOW)


def change_page(topic):
    return reverse("admin:subscriptions_topic_change", args=[topic.pk])


# ---- What matches


def test_match_preview_saves_nothing(panel, papers):
    text = text_of(panel.post(MATCHES, {"query": "bread", "categories": ""}))
    assert "1 of the 4 papers of the last 7 days match" in text
    assert "Bread and butter" in text
    assert "Sparse" not in text
    assert not Topic.objects.exists()
    saved = make.topic("Sparse attention")
    sent = {"query": "bread", "categories": "", "topic": saved.pk}
    text = text_of(panel.post(MATCHES, sent))
    assert "+1 compared to the saved topic Bread and butter" in text
    assert "−3 compared to the saved topic Sparse attention" in text
    assert "compared" not in text_of(panel.post(MATCHES, sent | {"query": saved.query}))


def test_categories_are_comma_separated(panel, papers):
    text = text_of(panel.post(MATCHES, {"query": "", "categories": "cs.lg, cs.CL"}))
    assert "4 of the 4 papers" in text
    data = {"name": "All", "slug": "all", "query": "", "categories": "cs.lg, stat.ML, cs.LG"}
    panel.post(ADD, data)
    topic = Topic.objects.get()
    assert topic.categories == ["cs.LG", "stat.ML"]
    assert 'value="cs.LG, stat.ML"' in panel.get(change_page(topic)).content.decode()


def test_invalid_queries_are_explained(panel, papers):
    long = {"query": "x" * 2001}, "at most 2000 characters (it has 2001)"
    for sent, message in [long, *INPUTS["queries"]]:
        assert message in text_of(panel.post(MATCHES, sent))


def test_match_preview_fits_no_model(panel):
    make.paper("Bread")
    assert "No ranking model yet" in text_of(panel.post(MATCHES, {"query": "bread"}))
    assert not FittedModel.objects.exists()


def test_match_preview_works_without_scripts(panel, papers):
    topic = make.topic("Sparse attention")
    data = {"name": "Bread", "slug": "b", "query": "bread", "categories": "", "_matches": ""}
    for url, is_new in ((ADD, True), (change_page(topic), False)):
        response = panel.post(url, data)
        text = text_of(response)
        assert "1 of the 4 papers of the last 7 days match" in text
        assert ("compared to the saved topic" in text) is not is_new
        assert response.context["adminform"].form["query"].value() == "bread"
    assert Topic.objects.get().query == "Sparse attention"


def test_match_preview_needs_permission(papers):
    topic = make.topic("Sparse attention")
    for rights, may_add, may_change in [
        (["view_topic"], False, False),
        (["add_topic"], True, False),
        (["view_topic", "change_topic"], False, True),
    ]:
        panel = panel_of(*rights)
        for sent, may in (({}, may_add), ({"topic": topic.pk}, may_change)):
            response = panel.post(MATCHES, {"query": "bread"} | sent)
            assert response.status_code == (200 if may else 403), rights


# ---- What is saved


def test_useless_topic_cannot_be_offered(panel):
    make.topic("Bread")
    topic = make.topic("Sparse attention")
    data = {"name": "Rye", "slug": "rye", "query": "rye", "categories": "", "is_offered": "on"}
    for sent, message in INPUTS["saved"]:
        response = panel.post(change_page(topic), data | sent)
        assert response.status_code == (200 if message else 302), sent
        assert not message or message in text_of(response)
        assert Topic.objects.filter(slug="rye").exists() is not bool(message)
        topic.save()  # As it was.


# ---- Who follows


def test_subscribers_of_a_topic_are_listed_in_few_queries(panel, django_assert_max_num_queries):
    topic = make.topic("Bread")
    for n in range(50):
        make.subscriber(f"r{n}@example.org", topics=[topic])
    mute = make.subscriber("mute@example.org", muted=[topic], unsubscribed_at=NOW)
    url = reverse("admin:subscriptions_topic_readers", args=[topic.pk])
    with django_assert_max_num_queries(8):
        text = text_of(panel.get(url))
    assert "51 subscribers follow or mute this topic" in text
    assert "r0@example.org Active follow 1" in text
    assert "mute@" not in text
    last = panel.get(url, {"page": 2})
    assert "mute@example.org Unsubscribed mute 1" in text_of(last)
    page = reverse("admin:subscriptions_subscriber_change", args=[mute.pk])
    assert page in last.content.decode()


def test_subscribers_and_own_topics_need_permission():
    topic = make.topic("Bread")
    subscriber = make.subscriber("reader@example.org", topics=[topic], interests="my own words")
    own_topic = Topic.objects.get(owner=subscriber)
    followers, own_followers = (
        reverse("admin:subscriptions_topic_readers", args=[one.pk]) for one in (topic, own_topic)
    )
    for is_shown, name in ((False, f"No. {subscriber.pk}"), (True, subscriber.email)):
        panel = panel_of("view_topic", *["view_subscriber"] * is_shown)
        text = text_of(panel.get(followers))
        assert f"{name} Active follow 1" in text
        assert ("reader@" in text) is is_shown
        assert ("my own words" in text_of(panel.get(TOPICS, {"owner": "all"}))) is is_shown
        assert (panel.get(change_page(own_topic)).status_code == 200) is is_shown
        assert panel.get(own_followers).status_code == (200 if is_shown else 404)
    assert panel_of("view_paper").get(followers).status_code == 403


# ---- Topics as a file: what is exported can be imported, and a bad file changes nothing


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
def test_exported_topics_import_unchanged(name):
    odd = {"query": "a\nb\t\x7f\u2028'''\"\"\"", "description": "Café, #1: *x*"}
    make.topic('"Odd" \\ topic', slug="odd", is_offered=False, **odd)
    make.topic("Fields", query="", categories=["cs.LG", "stat.ML"])
    before, text = rows(), export(name)
    assert totals(load(text, name)) == {"skip": 2}
    assert rows() == before
    Topic.objects.all().delete()
    assert totals(load(text, name)) == {"new": 2}
    assert [row | {"id": 0} for row in rows()] == [row | {"id": 0} for row in before]


def test_starter_topics_file_can_be_imported():
    starter_topics.make_topics()
    result = load((starter_topics.FOLDER / "computer-science.yaml").read_text())
    assert totals(result) == {"skip": Topic.objects.by_subject().count()}


def test_import_keeps_omitted_fields():
    make.topic("Reefs", slug="reefs", description="Old", categories=["q-bio.PE"], is_offered=False)
    ice = "- {name: Sea ice, categories: [cs.lg, stat.ML, cs.LG], slug: ice}\n"
    assert totals(load(REEFS + ice)) == {"update": 1, "new": 1}
    topic, ice = Topic.objects.order_by("-slug")
    assert (topic.name, topic.description, topic.is_offered) == ("Coral reefs", "Old", False)
    assert topic.categories == ["q-bio.PE"]
    assert (ice.name, ice.query, ice.categories) == ("Sea ice", "", ["cs.LG", "stat.ML"])
    assert totals(load(REEFS)) == {"skip": 1}


def test_own_topics_are_not_exported():
    make.subscriber(interests="coral reefs")
    assert "coral" not in export(topics=Topic.objects.all())


def test_file_with_one_bad_topic_is_refused():
    for topic, reason in BAD.items():
        result = load(f"{REEFS}\n- {topic}\n")
        assert reason in errors_of(result), topic
        assert "TopicResource" not in errors_of(result), topic
        assert result.has_errors() or result.has_validation_errors()
        assert not Topic.objects.exists()


BAD = data_files.cases("bad_topics") | {
    f"{{slug: a, name: {201 * 'A'}, query: a}}": "at most 200 characters",
    f"{{slug: {81 * 'a'}, name: A, query: a}}": "at most 80 characters",
    f"{{slug: a, name: A, query: {20_001 * 'a'}}}": "more than 20000 characters",
}


def test_invalid_topics_file_is_refused():
    deep = {
        "[" * 100_000: "nested too deeply",
        f"- slug: {'1' * 5_000}": "integer string conversion",
    }
    for content, reason in (INPUTS["files"] | deep).items():
        with pytest.raises(ParseError, match=reason):
            load(content)


def test_csv_export_contains_no_formulas():
    make.topic("=HYPERLINK(1)", slug="a")
    assert "=" not in export("a.csv")
    assert "=HYPERLINK" in export("a.json")


# ---- In the panel


def upload(panel, content, name="pack.yaml"):
    content = content if isinstance(content, bytes) else content.encode()
    return panel.post(IMPORT, {"import_file": SimpleUploadedFile(name, content), "resource": "0"})


def confirm(panel, response, **sent):
    form = response.context["confirm_form"]
    return panel.post(CONFIRM, form.initial | sent, follow=True)


def test_import_is_previewed_then_confirmed(panel):
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


def test_template_imports_without_slugs_or_format(panel):
    url = re.search(r'href="([^"]+)" download="topics.csv"', panel.get(IMPORT).text)[1]
    template = (settings.BASE_DIR / "static" / url.rpartition("/")[2]).read_bytes()
    make.topic("Coral REEFS", slug="reefs")
    response = upload(panel, template, "Topics.CSV")
    assert "1 new, 1 updated" in text_of(confirm(panel, response))
    names = dict(Topic.objects.values_list("slug", "name"))
    assert names == {"reefs": "Coral reefs", "sea-ice": "Sea ice"}


@pytest.mark.parametrize("name", ["C++", "\u673a\u5668", ""])
def test_name_without_own_slug_is_refused(name):
    make.topic("C", slug="c")
    result = load(f'- {{name: "{name}", query: x}}\n')
    assert "slug" in errors_of(result)
    assert Topic.objects.get().name == "C"


def test_invalid_upload_is_explained(panel):
    long = "#" * 600_000, "a.yaml", "larger than 500,000 bytes"
    for content, name, message in [long, *INPUTS["uploads"]]:
        response = upload(panel, content.encode("latin-1"), name)
        assert message in text_of(response)
        assert "confirm_form" not in response.context
    assert upload(panel, b"#" * 50_000_000).status_code == 413


def test_only_previewed_file_is_imported(panel):
    response = upload(panel, REEFS)
    for sent in (
        {"import_file_name": "../../../etc/passwd"},
        {"import_file_name": signing.dumps(REEFS)},
        {"format": "7"},
        {"format": "x"},
    ):
        assert confirm(panel, response, **sent).status_code in (200, 400)
    assert not Topic.objects.exists()


def test_import_failing_at_confirmation_changes_nothing(panel, monkeypatch):
    response = upload(panel, f"{REEFS}- {{slug: ice, name: Ice, query: ice}}\n")
    monkeypatch.setattr(topic_files, "VALUE_TYPES", {"query": bool})
    assert "nothing was imported" in text_of(confirm(panel, response))
    assert not Topic.objects.filter(slug="reefs").exists()
    assert not LogEntry.objects.exists()


def test_all_or_selected_topics_are_exported():
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


def test_import_needs_add_and_change_permission():
    for rights in (["view_topic", "add_topic"], ["view_topic", "change_topic"], ["view_paper"]):
        panel = panel_of(*rights)
        assert panel.get(IMPORT).status_code == 403
        assert upload(panel, REEFS).status_code == 403
        assert panel.post(CONFIRM, {}).status_code == 403
    assert panel_of("view_paper").get(EXPORT).status_code == 403
    assert panel_of("add_topic", "change_topic").get(IMPORT).status_code == 200


# ---- From a shell


def test_topics_command_exports_and_imports(tmp_path, capsys):
    make.topic("Reefs")
    file = tmp_path / "topics.yaml"
    call_command("topics", "export", str(file))
    Topic.objects.all().delete()
    call_command("topics", "import", str(file), "--dry-run")
    assert "1 new, 0 changed, 0 unchanged. Nothing was changed." in capsys.readouterr().out
    assert not Topic.objects.exists()
    call_command("topics", "import", str(file))
    assert Topic.objects.get().name == "Reefs"
    with pytest.raises(CommandError, match="Choose another name"):
        call_command("topics", "export", str(file))


def test_topics_without_new_papers_are_listed(panel, papers):
    make.topic("Sparse attention")
    quiet = make.topic("Zebras")
    listed = panel.get(TOPICS, {"owner": "quiet"}).context["cl"].result_list
    assert list(listed) == [quiet]


def test_topics_command_explains_errors(tmp_path, capsys):
    file = tmp_path / "a.yaml"
    for content, message in [
        (None, "No such file"),
        ("#" * 600_000, "larger than 500,000 bytes"),
        ("- slug: {", "line 1, column 10"),
        (f"{REEFS}- {{slug: x}}", "Nothing was imported"),
    ]:
        if content is not None:
            file.write_text(content)
        with pytest.raises(CommandError, match=message):
            call_command("topics", "import", str(file))
    assert "topic 2, name: This" in capsys.readouterr().err
    file = file.rename(tmp_path / "a.csv")
    file.write_text(f"slug\n{200_000 * 'x'}")
    with pytest.raises(CommandError, match="field larger than field limit"):
        call_command("topics", "import", str(file))
    assert not Topic.objects.exists()
