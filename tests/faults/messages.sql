-- A message that starts now.

-- message
INSERT INTO subscriptions_message (subject, text, written_by, receivers, starts_at, last_subscriber)
VALUES ('Maintenance', 'On Sunday.', 'ada', %s, now(), 0) RETURNING id

-- stop
UPDATE subscriptions_message SET stopped_at = clock_timestamp() RETURNING id

-- now: once it has committed, since a final check just before may still pass
SELECT clock_timestamp()

-- handed over
SELECT email, extract(epoch FROM left_at)::float FROM subscriptions_letter l
JOIN subscriptions_subscriber s ON s.id = subscriber_id
WHERE kind = 'message' AND state = 'accepted'
