-- A message that starts now, and digests that become due in some hours.

-- message
INSERT INTO subscriptions_message (subject, text, written_by, receivers, starts_at, last_subscriber)
VALUES ('Maintenance', 'On Sunday.', 'ada', %s, now(), 0) RETURNING id

-- release: those that wait, of which all ids or the even ones
UPDATE subscriptions_letter SET created_at = now(), next_try_at = now() + %s * interval '1 hour'
WHERE kind = 'digest' AND state = 'planned' AND mod(id, 2) <= %s RETURNING id

-- stop
UPDATE subscriptions_message SET stopped_at = clock_timestamp() RETURNING id

-- now: once it has committed, since a final check just before may still pass
SELECT clock_timestamp()

-- delays of even and of odd ids
SELECT extract(epoch FROM max(ended_at - created_at))::float FROM subscriptions_letter
WHERE kind = 'digest' GROUP BY mod(id, 2) ORDER BY mod(id, 2)

-- handed over
SELECT email, extract(epoch FROM left_at)::float FROM subscriptions_letter l
JOIN subscriptions_subscriber s ON s.id = subscriber_id
WHERE kind = 'message' AND state = 'accepted'
