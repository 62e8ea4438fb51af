-- Rows for tests.benchmarks.panel_rows: what is inserted, by name. PAPER[n] is a paper's id.

-- SUBSCRIBERS
INSERT INTO subscriptions_subscriber (id, email, public_id, timezone, hour, size, asked_at,
    pending_settings, confirmed_at, paused_until, unsubscribed_at, suppressed_at, suppressed_by,
    suppressed_reason, next_due_at, learns, language, wants_quiet_days)
SELECT n, 'reader' || n || '@mail' || n %% 40 || '.example.org', gen_random_uuid(),
    (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'])[1 + n %% 4], n %% 24, 10,
    asked, '{}',
    CASE WHEN n %% 20 > 0 THEN asked + interval '5 minutes' END,
    CASE WHEN n %% 50 = 1 THEN %(today)s::date + 10 END,
    CASE WHEN n %% 9 = 1 THEN least(asked + n %% 97 * interval '1 day', %(midnight)s) END,
    CASE WHEN n %% 100 = 2 THEN least(asked + n %% 89 * interval '1 day', %(midnight)s) END,
    CASE WHEN n %% 100 = 2 THEN 'bounced' ELSE '' END,
    CASE WHEN n %% 100 = 2 THEN '550 5.1.1 no such user' ELSE '' END,
    %(midnight)s::timestamptz + interval '1 day' + n %% 24 * interval '1 hour', true, 'en', false
FROM (SELECT n, %(midnight)s::timestamptz
        - (%(readers)s - n) * (%(days)s * interval '1 day' / %(readers)s) AS asked
    FROM generate_series(1, %(readers)s) AS n) AS them

-- OWN_TOPICS
INSERT INTO subscriptions_topic (name, query, categories, description, is_offered, owner_id)
SELECT 'words of ' || n, 'words of reader ' || n, '[]', '', true, n
FROM generate_series(1, %(readers)s, 3) AS n

-- PREFERENCES
INSERT INTO subscriptions_topicpreference (subscriber_id, topic_id, stance, weight)
SELECT n, ids[1 + (n %% 17 * n + k * (7 + n %% 5)) %% array_length(ids, 1)],
    CASE WHEN k = 2 AND n %% 10 = 0 THEN 'mute' ELSE 'follow' END, 1
FROM generate_series(1, %(readers)s) AS n, generate_series(0, 2) AS k,
    (SELECT array_agg(id) AS ids FROM subscriptions_topic WHERE owner_id IS NULL) AS curated
UNION ALL SELECT owner_id, id, 'follow', 1 FROM subscriptions_topic WHERE owner_id IS NOT NULL
ON CONFLICT DO NOTHING

-- CONSENTS
INSERT INTO subscriptions_consent (act, at, via, wording, subscriber_id)
SELECT act, at, 'sign-up form', 'You agreed to a digest each day.', id FROM (
    SELECT 'asked' AS act, asked_at AS at, id FROM subscriptions_subscriber
    UNION ALL SELECT 'confirmed', confirmed_at, id FROM subscriptions_subscriber
    UNION ALL SELECT 'unsubscribed', unsubscribed_at, id FROM subscriptions_subscriber) AS acts
WHERE at IS NOT NULL ORDER BY at

-- PAPERS
INSERT INTO digest_paper (id, title, abstract, authors, categories, day, day_is_estimate, upvotes,
    url, version, is_withdrawn, comments, journal_ref, doi, license, github, is_sample, changed_at)
SELECT PAPER[n],
    words[1 + n %% 16] || ' ' || words[1 + n / 16 %% 16] || ' for ' || words[1 + n / 256 %% 16]
        || ' of the kind ' || md5(n::text),
    repeat(words[1 + n %% 16] || ' that nobody has seen before. ', 30),
    '["A. Author", "B. Author"]', '["cs.LG", "stat.ML"]',
    %(today)s::date - (n * %(days)s / %(papers)s), false, n %% 90, '', 1,
    false, '', '', '', '', '', false, now()
FROM generate_series(0, %(papers)s - 1) AS n, (SELECT ARRAY['graphs', 'attention', 'robots',
    'vision', 'speech', 'sparse', 'quantum', 'proteins', 'markets', 'privacy', 'compilers', 'games',
    'climate', 'galaxies', 'neurons', 'proofs'] AS words) AS w

-- LETTERS
INSERT INTO subscriptions_letter (id, subscriber_id, kind, day, state, reason, created_at,
    closes_at, attempt, failed_attempts, repeats, message_id, frozen_at, mime_offset, mime_size, left_at,
    stage, last_reply, ended_at)
SELECT %(first)s + n, n, 'digest', day, state,
    CASE state WHEN 'skipped' THEN 'nothing to say' WHEN 'failed' THEN 'refused: 550 5.7.1 no'
        WHEN 'missed' THEN 'its day ended first' ELSE '' END,
    at, at + interval '30 hours', 1, 0, 0,
    '<digest.' || day || '.' || md5(n || ' ' || day) || '@paperboy.example>', at, n %% 90 * 23000,
    23000, CASE state WHEN 'accepted' THEN at + interval '3 seconds' END, 'dot',
    CASE state WHEN 'accepted' THEN '250 2.0.0 Ok: queued as ' || md5(n::text) ELSE '' END,
    at + interval '4 seconds'
FROM (SELECT n, %(day)s::date AS day,
    %(begin)s + n * %(gap)s AS at,
    CASE WHEN (n * 7 + %(number)s) %% 997 < 5 THEN 'skipped'
         WHEN (n * 7 + %(number)s) %% 997 < 7 THEN 'failed'
         WHEN (n * 7 + %(number)s) %% 997 < 8 THEN 'missed' ELSE 'accepted' END AS state
    FROM generate_series(1, %(readers)s) AS n) AS them

-- OTHER_LETTERS
INSERT INTO subscriptions_letter (id, subscriber_id, kind, state, reason, created_at,
    closes_at, attempt, failed_attempts, repeats, message_id, frozen_at, mime_offset, mime_size, left_at,
    stage, last_reply, ended_at)
SELECT %(first)s + %(readers)s + row_number() OVER (), id, 'confirm', 'accepted', '', asked_at,
    asked_at + interval '7 days', 1, 0, 0,
    '<confirm.' || %(day)s || '.' || md5(id::text) || '@paperboy.example>', asked_at, 0, 9000,
    asked_at, 'dot', '250 2.0.0 Ok', asked_at
FROM subscriptions_subscriber WHERE asked_at >= %(day)s AND asked_at < %(day)s::date + 1

-- DIGESTS
INSERT INTO digest_digest (id, subscriber_id, day, letter_id, public_id, considered, receipt)
SELECT id, subscriber_id, day, id, gen_random_uuid(), 300 + id %% 500,
    jsonb_build_object('day', day, 'announced', 512, 'had', 512, 'is_verified', true)
FROM subscriptions_letter WHERE id > %(first)s AND id <= %(first)s + %(readers)s

-- PICKS
INSERT INTO digest_pick (position, score, basis, "group", topic_name, terms, digest_id, paper_id,
    subscriber_id)
SELECT k, 1.0 / k, 'topic', 'new', 'Graph learning', '["graph", "network"]', digest.id,
    PAPER[((%(number)s * %(size)s + k - 1) * step + digest.id %% step)], subscriber_id
FROM digest_digest AS digest, generate_series(1, %(size)s) AS k,
    (SELECT %(papers)s / (%(days)s * %(size)s) AS step) AS others -- No paper comes twice.
WHERE digest.id > %(first)s AND digest.id <= %(first)s + %(readers)s

-- EVENTS
INSERT INTO subscriptions_letterevent (letter_id, at, old_state, new_state, attempt, note)
SELECT id, ended_at, was, became, steps.attempt, '' FROM subscriptions_letter,
    (VALUES ('', 'planned', 0), ('planned', 'claimed', 1), ('claimed', 'transmitting', 1),
        ('transmitting', 'accepted', 1)) AS steps (was, became, attempt)
WHERE subscriptions_letter.id > %(first)s AND subscriptions_letter.id <= %(first)s + %(readers)s
    AND state = 'accepted'

-- FACTS
INSERT INTO subscriptions_letterfact (letter_id, kind, grade, status, reply, at, noted_at, via,
    message_id, key)
SELECT id, kind, CASE kind WHEN 'bounced' THEN (ARRAY['hard', 'policy', 'soft'])[1 + id %% 3]
        ELSE '' END, CASE kind WHEN 'bounced' THEN '5.1.1' ELSE '' END,
    CASE kind WHEN 'bounced' THEN '550 5.1.1 no such user ' || id ELSE '' END, ended_at,
    ended_at + interval '1 minute', 'mail', '', md5(id::text) || md5(kind)
FROM (SELECT id, ended_at, CASE WHEN id %% 9973 = 0 THEN 'complained'
        WHEN id %% 211 = 0 THEN 'bounced' ELSE 'delivered' END AS kind
    FROM subscriptions_letter
    WHERE id > %(first)s AND id <= %(first)s + %(readers)s AND state = 'accepted') AS them

-- FEEDBACK
INSERT INTO digest_feedback (value, at, saved_at, subscriber_id, paper_id)
SELECT (ARRAY['more', 'more', 'less', 'save'])[1 + (n + k) %% 4],
    %(midnight)s::timestamptz - random() * %(days)s * interval '1 day', %(midnight)s, n,
    PAPER[((n * 31 + k) %% %(papers)s)]
FROM generate_series(1, %(readers)s) AS n, generate_series(1, 10) AS k ON CONFLICT DO NOTHING

-- HARVESTS
INSERT INTO digest_harvest (source, today, started_at, touched_at, ended_at, state, cursor, records,
    new, changed, unreadable, result)
SELECT source, hours.at::date, hours.at, hours.at, hours.at, 'done', '', 900, 60, 20, 0,
    'All lists were read.'
FROM (SELECT %(midnight)s::timestamptz - n * interval '1 hour' AS at
    FROM generate_series(1, 90 * 24) AS n) AS hours,
    (VALUES ('arxiv'), ('huggingface')) AS s (source)
ORDER BY hours.at

-- TRAIL
INSERT INTO django_admin_log (action_time, object_id, object_repr, action_flag, change_message,
    content_type_id, user_id)
SELECT now() - (50000 - n) * interval '10 minutes', n, 'reader' || n || '@mail1.example.org', 2,
    'Changed.', (SELECT min(id) FROM django_content_type), (SELECT min(id) FROM auth_user)
FROM generate_series(1, 50000) AS n

-- COVERAGE
INSERT INTO digest_coverage (source, category, day, state, announced, stored, note, checked_at)
SELECT 'arxiv', 'area-' || k, %(today)s::date - n, 'fresh', 40, 40, '', now()
FROM generate_series(0, 89) AS n, generate_series(1, 20) AS k
