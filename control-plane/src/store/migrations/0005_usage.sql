-- What subjects use, in the tables of the library: the aggregate of a metric in one bucket of the
-- calendar, and whether somebody was told that it passed its soft limit.
CREATE TABLE entitlement_usage (
    subject     TEXT   NOT NULL,
    metric      TEXT   NOT NULL,
    rule        TEXT   NOT NULL,
    bucket      BIGINT NOT NULL,
    value       BIGINT NOT NULL CHECK (value >= 0),
    last_at     BIGINT NOT NULL,
    events      BIGINT NOT NULL,
    soft_hit_at BIGINT,
    PRIMARY KEY (subject, metric, rule, bucket)
);

-- The events, for as long as they are kept.
CREATE TABLE entitlement_usage_events (
    subject     TEXT   NOT NULL,
    metric      TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    rule        TEXT   NOT NULL,
    nth         BIGINT NOT NULL,
    quantity    BIGINT NOT NULL CHECK (quantity >= 0),
    value       TEXT,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (subject, metric, at, rule, nth)
);
CREATE INDEX entitlement_usage_events_by_time ON entitlement_usage_events (at);

-- The different values of a bucket, where those are counted.
CREATE TABLE entitlement_usage_values (
    subject TEXT   NOT NULL,
    metric  TEXT   NOT NULL,
    rule    TEXT   NOT NULL,
    bucket  BIGINT NOT NULL,
    value   TEXT   NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (subject, metric, rule, bucket, value)
);
CREATE INDEX entitlement_usage_values_by_end ON entitlement_usage_values (ends_at);

-- The keys under which events were recorded, so that none counts twice.
CREATE TABLE entitlement_usage_keys (
    subject   TEXT   NOT NULL,
    event_key TEXT   NOT NULL,
    metric    TEXT   NOT NULL,
    amount    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    kept_at   BIGINT NOT NULL,
    PRIMARY KEY (subject, event_key)
);
CREATE INDEX entitlement_usage_keys_by_time ON entitlement_usage_keys (kept_at);

-- From when on events are kept.
CREATE TABLE entitlement_usage_horizon (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    until BIGINT NOT NULL
);
