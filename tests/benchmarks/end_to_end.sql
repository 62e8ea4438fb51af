-- What a run of the day has written.

-- remove
SET session_replication_role = replica;
DELETE FROM digest_pick USING digest_digest AS digest
    WHERE digest_id = digest.id AND letter_id > %(last)s;
DELETE FROM digest_digest WHERE letter_id > %(last)s;
DELETE FROM subscriptions_letter WHERE id > %(last)s;
TRUNCATE subscriptions_letterevent, subscriptions_mimebatch;
UPDATE subscriptions_subscriber SET next_due_at = now() + interval '1 day';
SET session_replication_role = DEFAULT
