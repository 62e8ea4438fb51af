-- Subscribers who are due, each with a digest of today that is planned. Every paper goes to many.

-- people
INSERT INTO subscriptions_subscriber (email, public_id, timezone, hour, size, language,
    wants_quiet_days, learns, asked_at, pending_settings, confirmed_at, suppressed_by, suppressed_reason)
SELECT format(%(address)s, i), gen_random_uuid(), 'UTC', 7, 10, 'en', false, true, now(), '{}',
    now(), '', '' FROM generate_series(%(first)s::int, %(last)s::int) i;

-- letters
WITH written AS (
    INSERT INTO subscriptions_letter (subscriber_id, kind, day, state, reason, created_at,
        closes_at, next_try_at, attempt, failed_attempts, repeats, message_id, mime_offset, mime_size,
        stage, last_reply)
    SELECT s.id, 'digest', current_date, 'planned', '', now(), now() + interval '20 hours', now(),
        0, 0, 0, '', 0, 0, '', ''
    FROM subscriptions_subscriber s
    WHERE NOT EXISTS (SELECT FROM subscriptions_letter l WHERE l.subscriber_id = s.id)
    RETURNING id, subscriber_id, day
), noted AS (
    INSERT INTO subscriptions_letterevent (letter_id, at, old_state, new_state, attempt, note)
    SELECT id, now(), '', 'planned', 0, '' FROM written
), digests AS (
    INSERT INTO digest_digest (subscriber_id, day, letter_id, public_id, considered, receipt)
    SELECT subscriber_id, day, id, gen_random_uuid(), 30, '{}' FROM written
    RETURNING id, subscriber_id
)
INSERT INTO digest_pick (digest_id, subscriber_id, paper_id, position, score, basis, "group",
    topic_name, terms)
SELECT d.id, d.subscriber_id, p.id, p.place, 0.5, 'trend', 'new', '', '[]'
FROM digests d, LATERAL (
    SELECT id, row_number() OVER (ORDER BY id) AS place FROM digest_paper
    ORDER BY (hashtext(id) + d.subscriber_id) %% 97, id LIMIT %(picks)s
) p;

-- due
UPDATE subscriptions_subscriber SET next_due_at = now() - make_interval(hours => %s)

-- own paper
INSERT INTO digest_paper SELECT (jsonb_populate_record(paper, %s)).*
FROM digest_paper paper ORDER BY paper.id LIMIT 1

-- own pick
UPDATE digest_pick SET paper_id = %s::jsonb ->> 'id' WHERE id = (
    SELECT min(p.id) FROM digest_pick p JOIN subscriptions_subscriber s ON s.id = p.subscriber_id
    WHERE s.email = %s)
