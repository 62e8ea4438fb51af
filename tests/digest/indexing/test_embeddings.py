"""Sentence embeddings: encoded, computed in the background, stored, refused if damaged."""

import json
import shutil
import sys

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from digest import tasks
from digest.indexing import embeddings
from digest.indexing.encoder import MODULES, POOLING, PROMPTS, Encoder, EncoderError, paper_text
from digest.models import Paper, PaperEmbedding
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.helpers import services
from tests.helpers.checks import result

pytestmark = pytest.mark.django_db
PROMPT = {"query": "the question: ", "document": ""}


class FakeEncoder:
    """Gives each text a vector of its own, and notes the texts."""

    identity, dimensions = "fake", 8

    def __init__(self):
        self.texts = []

    def encode(self, texts):
        self.texts += texts
        vectors = np.array([np.random.default_rng(len(text)).normal(size=8) for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    encode_queries = encode


@pytest.fixture
def fake(settings, monkeypatch):
    encoder = FakeEncoder()
    settings.SEMANTIC_MODEL = "fake"
    monkeypatch.setattr(Encoder, "load", lambda *args, **options: encoder)
    return encoder


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(embeddings, "_loaded", {})
    monkeypatch.setattr(embeddings, "_logged", set())


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    services.require("semantic")
    return Encoder.load(str(services.semantic_model()), tmp_path_factory.mktemp("none"))


def titles(encoder):
    return [text.partition("\n")[0] for text in encoder.texts]


# ---- The model


@pytest.mark.services
def test_texts_of_similar_meaning_are_near(real):
    texts = ["Robots that talk with people", "Humanoid chatbots", "Proton decay in the early sun"]
    vectors = real.encode(texts)
    assert vectors.shape == (3, real.dimensions) == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] > 0.3 + vectors[0] @ vectors[2]


@pytest.mark.services
def test_vector_does_not_depend_on_batch(real):
    long = "a study of corals " * 100
    together = real.encode(["Corals", long, f"{long} and galaxies"])
    np.testing.assert_array_equal(together[:1], real.encode(["Corals"]))
    np.testing.assert_array_equal(together[1], together[2])
    assert not np.array_equal(together[1], real.encode(["a study of corals " * 10])[0])


@pytest.mark.services
def test_model_is_downloaded_once_on_request(tmp_path, monkeypatch, real):
    calls = []

    def snapshot_download(name, *, local_dir, allow_patterns):
        calls.append(name)
        shutil.copytree(services.semantic_model(), local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(EncoderError, match="Cannot use some/model: it is not downloaded yet"):
        Encoder.load("some/model", tmp_path, download=False)
    assert Encoder.load("some/model", tmp_path).identity == real.identity
    assert Encoder.load("some/model", tmp_path, download=False).identity == real.identity
    assert calls == ["some/model"]


def model_with(folder, modules, pooling, prompts):
    """Return the encoder of the tests' model with these JSON files beside it."""
    folder = shutil.copytree(services.semantic_model(), folder)
    (folder / POOLING).parent.mkdir()
    for path, content in ((MODULES, modules), (POOLING, pooling), (PROMPTS, prompts)):
        (folder / path).write_text(json.dumps(content))
    return Encoder.load(str(folder), folder)


def pooled(way):
    return {"word_embedding_dimension": 384, f"pooling_mode_{way}": True, "include_prompt": True}


@pytest.mark.services
def test_pooling_and_prompts_are_those_of_the_model(tmp_path, real):
    mean, cls = (
        model_with(tmp_path / way, [], pooled(way), {"prompts": PROMPT})
        for way in ("mean_tokens", "cls_token")
    )
    np.testing.assert_array_equal(mean.encode(["corals"]), real.encode(["corals"]))
    np.testing.assert_array_equal(
        mean.encode_queries(["corals"]), real.encode(["the question: corals"])
    )
    assert mean.encode(["corals"])[0] @ cls.encode(["corals"])[0] < 0.99
    assert len({real.identity, mean.identity, cls.identity}) == 3


UNSUPPORTED = [
    ([{"type": "sentence_transformers.models.Dense"}], {}, "modules Dense are not supported"),
    ([], pooled("lasttoken"), "pooling pooling_mode_lasttoken is not supported"),
    ([], pooled("max_tokens") | pooled("cls_token"), "is not supported"),
    ([], pooled("mean_tokens") | {"include_prompt": False}, "without the prompt"),
]


@pytest.mark.services
@pytest.mark.parametrize(("modules", "pooling", "refused"), UNSUPPORTED)
def test_unsupported_model_is_refused(tmp_path, real, modules, pooling, refused):
    with pytest.raises(EncoderError, match=refused):
        model_with(tmp_path / "model", modules, pooling, {})


def test_missing_packages_disable_embeddings(settings, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    settings.SEMANTIC_MODEL = "/srv/minilm"
    assert embeddings.vectors_of(["1"]).shape == (1, 0)
    assert embeddings.encode_queries(["corals"]).shape == (1, 0)
    tasks.embed_new_papers()
    advice = "onnxruntime is not installed: run `uv sync --group semantic`."
    assert [record.message for record in caplog.records] == [
        f"Papers are ranked without embeddings: {advice}"
    ]
    grade, message = result("embeddings")
    assert (grade, message.startswith(advice)) == ("wrong", True)
    with pytest.raises(CommandError, match="uv sync --group semantic"):
        call_command("embed")


def test_nothing_is_loaded_without_setting(caplog):
    make.paper()
    assert embeddings.vectors_of(["1", "2"]).shape == (2, 0)
    tasks.embed_new_papers()
    tasks.delete_old_rows()
    assert not PaperEmbedding.objects.exists()
    assert result("embeddings")[0] == "ok"
    assert not caplog.records
    with pytest.raises(CommandError, match="SEMANTIC_MODEL is empty"):
        call_command("embed")


# ---- Vectors of papers


def test_newest_papers_are_embedded_first(fake, settings, monkeypatch):
    monkeypatch.setattr(embeddings, "LIST_SIZE", 1)
    settings.CORPUS_DAYS = 3
    for ago in (1, 3, 0, 2):
        make.paper(f"{ago} days old", "Corals.", day=NOW.date() - ago * DAY)
    arriving = iter(["New"])
    embeddings.embed_missing(NOW, on_batch=lambda _: [make.paper(title) for title in arriving])
    assert titles(fake) == ["0 days old", "New", "1 days old", "2 days old"]
    assert fake.texts[0] == paper_text("0 days old", "Corals.")
    assert embeddings.embed_missing(NOW) == 0
    assert embeddings.embed_missing(NOW, since=NOW.date() - 9 * DAY) == 1


def test_embedding_stops_on_time_and_resumes(fake, monkeypatch):
    monkeypatch.setattr(embeddings, "BATCH", 2)
    for _ in range(7):
        make.paper()
    monkeypatch.setattr(embeddings, "monotonic", iter([0, 100, 239, 240, *range(99)]).__next__)
    assert embeddings.embed_missing(NOW, seconds=240) == 4
    assert embeddings.embed_missing(NOW, is_stopping=lambda: True) == 0
    assert embeddings.embed_missing(NOW) == 3
    assert len(set(titles(fake))) == PaperEmbedding.objects.count() == 7


def test_changed_paper_gets_a_new_vector(fake):
    paper = make.paper("Corals", "")
    embeddings.embed_missing(NOW)
    Paper.objects.update(title="Corals, revised", changed_at=NOW + DAY)
    embeddings.embed_missing(NOW)
    assert titles(fake) == ["Corals", "Corals, revised"]
    (expected,) = fake.encode(["Corals, revised\n"])
    np.testing.assert_allclose(embeddings.vectors_of([paper.pk])[0], expected, atol=1e-3)


def test_vectors_follow_requested_order(fake, monkeypatch):
    monkeypatch.setattr(embeddings, "READ_BATCH", 2)
    papers = [make.paper("x" * number, "").pk for number in range(1, 4)]
    embeddings.embed_missing(NOW)
    vectors = embeddings.vectors_of([papers[2], "unknown", papers[0], papers[2]])
    expected = fake.encode(["xxx\n", "x\n", "xxx\n"])
    np.testing.assert_allclose(vectors[[0, 2, 3]], expected, atol=1e-3)
    assert not vectors[1].any()
    assert embeddings.vectors_of([]).shape == (0, 8)


FOREIGN = [{"model": "other"}, {"vector": b""}, {"vector": b"\x01\x7c" * 8}]  # Signalling NaNs.
FOREIGN += [{"vector": np.full(*of, "<f2").tobytes()} for of in [(4, 1), (8, 1), (8, np.inf)]]


@pytest.mark.parametrize("fields", FOREIGN)
def test_a_foreign_or_damaged_vector_is_refused(fake, fields):
    ids = [make.paper("Corals").pk, make.paper("Reefs").pk]
    embeddings.embed_missing(NOW)
    PaperEmbedding.objects.filter(pk=ids[0]).update(**fields)
    assert embeddings.vectors_of(ids).any(axis=1).tolist() == [False, True]


# ---- The command and the doctor


def test_command_embeds_all_and_doctor_counts(fake, capsys):
    for ago in (0, 1, 200):
        make.paper(day=NOW.date() - ago * DAY)
    assert result("embeddings")[0] == "note"
    assert result("embeddings")[1].startswith("2 of 2 papers of the last 90 days have none")
    call_command("embed")
    assert capsys.readouterr().out == "2 papers embedded.\n"
    assert result("embeddings")[0] == "ok"
    call_command("embed", "--since=2025-01-01")
    assert capsys.readouterr().out == "1 paper embedded.\n"
