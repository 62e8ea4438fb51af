"""The starter topics."""

import pytest

from digest.personalization.profiles import to_interest
from digest.ranking.query import queries, queries_of
from digest.topics import starter_topics


@pytest.mark.parametrize("field", starter_topics.FIELDS)
def test_starter_topic_is_a_list_of_phrases(field):
    for topic in starter_topics.topics_of(field):
        topic_queries = queries_of(to_interest(topic).lines)
        assert topic_queries == queries(topic.query)
        assert topic_queries or topic.categories
        assert not any(query.is_text for query in topic_queries)
