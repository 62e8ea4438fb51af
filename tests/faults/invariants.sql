-- Each counts the rows that break an invariant. Apart from digest/operations/invariants.py, to check it.

-- a letter that is open
SELECT count(*) FROM subscriptions_letter WHERE state IN ('planned', 'claimed', 'transmitting',
    'uncertain')

-- two letters of one reader and day
SELECT count(*) FROM (SELECT 1 FROM subscriptions_letter WHERE day IS NOT NULL GROUP BY
    subscriber_id, day HAVING count(*) > 1) twice

-- an attempt that is no claim
SELECT count(*) FROM subscriptions_letter l WHERE attempt <> (SELECT count(*) FROM
    subscriptions_letterevent e WHERE e.letter_id = l.id AND new_state = 'claimed')

-- more than one repeat
SELECT count(*) FROM subscriptions_letter WHERE repeats > 1

-- an end without its reason
SELECT count(*) FROM subscriptions_letter WHERE state IN ('skipped', 'failed', 'missed') AND
    reason = ''

-- picks of a letter that never left
SELECT count(*) FROM digest_pick p JOIN digest_digest d ON d.id = p.digest_id JOIN
    subscriptions_letter l ON l.id = d.letter_id WHERE l.repeats = 0 AND (l.state IN ('skipped',
    'missed') OR (l.state = 'failed' AND l.reason NOT LIKE 'unknown%'))

-- a letter that left without its picks
SELECT count(*) FROM digest_digest d JOIN subscriptions_letter l ON l.id = d.letter_id WHERE
    l.state = 'accepted' AND NOT EXISTS (SELECT 1 FROM digest_pick p WHERE p.digest_id = d.id)

-- events that don't follow each other
SELECT count(*) FROM (SELECT old_state, lag(new_state) OVER (PARTITION BY letter_id ORDER BY id) AS before
    FROM subscriptions_letterevent) chain WHERE before IS NOT NULL AND old_state <> before
