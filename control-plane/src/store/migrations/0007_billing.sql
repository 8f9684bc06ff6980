-- Whom the vendor knows, and since when: from the first license, assignment or billing event on.
CREATE TABLE customers (
    id         TEXT   PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO customers (id, created_at)
    SELECT customer_id, MIN(since) FROM (
        SELECT customer_id, created_at AS since FROM licenses
        UNION ALL SELECT customer_id, assigned_at AS since FROM customer_tiers
    ) AS known GROUP BY customer_id;

-- What billing providers told of subscriptions, the newest of each sort: how it stands, its last
-- invoice, the checkout that it came from (JSON). `customer_id` and `status` follow from these.
CREATE TABLE subscriptions (
    provider    TEXT NOT NULL,
    id          TEXT NOT NULL,
    customer_id TEXT,
    status      TEXT CHECK (status IN ('trialing', 'active', 'past_due', 'incomplete', 'canceled')),
    standing    TEXT,
    invoice     TEXT,
    checkout    TEXT,
    PRIMARY KEY (provider, id)
);
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id, provider, id);

-- Which events were taken, so that none is again. One that names no known customer is kept under
-- the empty text.
CREATE TABLE billing_events (
    provider    TEXT   NOT NULL,
    customer_id TEXT   NOT NULL,
    event_id    TEXT   NOT NULL,
    taken_at    BIGINT NOT NULL,
    PRIMARY KEY (provider, customer_id, event_id)
);
CREATE INDEX billing_events_by_time ON billing_events (taken_at);
