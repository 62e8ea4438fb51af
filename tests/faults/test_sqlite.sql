-- Subscribers who are due, each with a digest of today that is planned. Every paper goes to many.

-- people
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)
INSERT INTO subscriptions_subscriber (email, public_id, timezone, hour, size, language,
    wants_quiet_days, learns, asked_at, pending_settings, confirmed_at, suppressed_by, suppressed_reason)
SELECT 'reader-' || i || '@example.org', lower(hex(randomblob(16))), 'UTC', 7, 10, 'en', false, true,
    :now, '{}', :now, '', '' FROM numbers

-- letters
INSERT INTO subscriptions_letter (subscriber_id, kind, day, state, reason, created_at,
    closes_at, next_try_at, attempt, failed_attempts, repeats, message_id, mime_offset, mime_size,
    stage, last_reply)
SELECT id, 'digest', date(:now), 'planned', '', :now, datetime(:now, '+20 hours'), :now,
    0, 0, 0, '', 0, 0, '', '' FROM subscriptions_subscriber

-- events
INSERT INTO subscriptions_letterevent (letter_id, at, old_state, new_state, attempt, note)
SELECT id, created_at, '', 'planned', 0, '' FROM subscriptions_letter

-- digests
INSERT INTO digest_digest (subscriber_id, day, letter_id, public_id, considered, receipt)
SELECT subscriber_id, day, id, lower(hex(randomblob(16))), 30, '{}' FROM subscriptions_letter

-- picks
INSERT INTO digest_pick (digest_id, subscriber_id, paper_id, position, score, basis, "group",
    topic_name, terms)
SELECT digest, subscriber, paper, place, 0.5, 'trend', 'new', '', '[]' FROM (
    SELECT d.id AS digest, subscriber_id AS subscriber, p.id AS paper,
        row_number() OVER (PARTITION BY d.id ORDER BY (p.number + d.id) % 97) AS place
    FROM digest_digest d, (SELECT id, row_number() OVER (ORDER BY id) * 41 AS number FROM digest_paper) p
) WHERE place <= :picks
