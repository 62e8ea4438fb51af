-- The digests of one day, accepted, with papers that nobody has had yet.

-- letters
INSERT INTO subscriptions_letter (subscriber_id, kind, day, state, reason, created_at,
    closes_at, ended_at, left_at, attempt, failed_attempts, repeats, message_id, mime_offset, mime_size, stage,
    last_reply)
    SELECT id, 'digest', %(day)s, 'accepted', '', %(at)s, %(at)s, %(at)s, %(at)s, 1, 0, 0, '', 0, 0,
    'dot', '' FROM subscriptions_subscriber

-- digests
INSERT INTO digest_digest (subscriber_id, day, letter_id, public_id, considered, receipt)
    SELECT subscriber_id, day, id, %(uuid)s, 500, '{}' FROM subscriptions_letter
    WHERE id > (SELECT coalesce(max(letter_id), 0) FROM digest_digest)

-- picks
INSERT INTO digest_pick (digest_id, subscriber_id, paper_id, position, score, basis, "group",
    topic_name, terms) SELECT digest.id, subscriber_id, paper.id, row_number() OVER (PARTITION BY
    digest.id), 1, 'topic', 'new', 'Graph networks', '["graph", "network"]' FROM digest_digest AS digest
    JOIN digest_paper AS paper ON paper.day = digest.day
    WHERE digest.id > (SELECT coalesce(max(digest_id), 0) FROM digest_pick)
