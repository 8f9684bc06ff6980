-- The whole life of a license. Only additions, so that the previous release can go on running
-- beside this one: it never reads a row that it would take wrongly, and what it writes is good.

-- What happens at the expiry, how long the grace lasts after it, and how long a silent box keeps
-- its seat. Tokens issued at or before `narrowed_at` are no longer good.
ALTER TABLE licenses ADD COLUMN expiry_strategy TEXT NOT NULL DEFAULT 'restrict'
    CHECK (expiry_strategy IN ('restrict', 'maintain'));
ALTER TABLE licenses ADD COLUMN grace_seconds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE licenses ADD COLUMN lease_seconds BIGINT;
ALTER TABLE licenses ADD COLUMN narrowed_at BIGINT;
CREATE INDEX licenses_by_expiry ON licenses (expires_at, id);
CREATE INDEX licenses_by_narrowing ON licenses (narrowed_at);
CREATE INDEX boxes_by_seniority ON boxes (license_id, activated_at, id);

-- Keys that were replaced and are good for a while yet.
CREATE TABLE rotated_keys (
    digest     TEXT   PRIMARY KEY,
    license_id TEXT   NOT NULL REFERENCES licenses (id),
    expires_at BIGINT NOT NULL
);
CREATE INDEX rotated_keys_by_license ON rotated_keys (license_id);

-- Boxes whose tokens are no longer good.
CREATE TABLE released_boxes (
    id          TEXT   PRIMARY KEY,
    license_id  TEXT   NOT NULL REFERENCES licenses (id),
    released_at BIGINT NOT NULL
);
CREATE INDEX released_boxes_by_time ON released_boxes (released_at);

-- The tier that a customer's licenses follow where they name none. A customer without a row has
-- the manifest's default.
CREATE TABLE customer_tiers (
    customer_id TEXT   PRIMARY KEY,
    tier        TEXT   NOT NULL,
    source      TEXT   NOT NULL CHECK (source IN ('billing', 'manual')),
    actor       TEXT   NOT NULL,
    reason      TEXT,
    assigned_at BIGINT NOT NULL
);

ALTER TABLE credentials ADD COLUMN last_used_at BIGINT;
ALTER TABLE credentials ADD COLUMN revoked_at BIGINT;

-- Public halves and times; the private halves are files. A key signs from `signs_from` on.
CREATE TABLE signing_keys (
    id         TEXT   PRIMARY KEY,
    public_key TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    removed_at BIGINT
);

-- Each row's keyed hash covers the row and the hash of the row before it.
ALTER TABLE audit ADD COLUMN mac TEXT;
CREATE INDEX audit_by_actor ON audit (actor, sequence);
CREATE INDEX audit_by_action ON audit (action, sequence);

-- What this database was last served with, to notice that it is another one now.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Answers to requests that carried an idempotency key, sealed.
CREATE TABLE kept_answers (
    key_digest     TEXT   PRIMARY KEY,
    request_digest TEXT   NOT NULL,
    answer         TEXT   NOT NULL,
    kept_at        BIGINT NOT NULL
);
CREATE INDEX kept_answers_by_time ON kept_answers (kept_at);

-- The outbox is the audit log itself: a webhook is told of its rows, in order, from `told` on.
-- Secrets are sealed.
CREATE TABLE webhooks (
    id                  TEXT   PRIMARY KEY,
    url                 TEXT   NOT NULL,
    description         TEXT,
    events              TEXT   NOT NULL,
    secret              TEXT   NOT NULL,
    old_secret          TEXT,
    old_secret_until    BIGINT,
    told                BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    disabled_at         BIGINT,
    disabled_reason     TEXT   CHECK (disabled_reason IN ('operator', 'gone', 'failing')),
    failing_since       BIGINT,
    paused_until        BIGINT
);
-- `attempts` counts all of them, `step` the failures since it was last begun with.
CREATE TABLE deliveries (
    webhook_id   TEXT   NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    sequence     BIGINT NOT NULL REFERENCES audit (sequence),
    status       TEXT   NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts     BIGINT NOT NULL,
    step         BIGINT NOT NULL,
    next_at      BIGINT,
    ended_at     BIGINT,
    PRIMARY KEY (webhook_id, sequence)
);
CREATE INDEX deliveries_by_turn ON deliveries (webhook_id, next_at, sequence)
    WHERE status = 'pending';
CREATE INDEX deliveries_by_end ON deliveries (ended_at);
CREATE TABLE delivery_attempts (
    webhook_id  TEXT   NOT NULL,
    sequence    BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    status      BIGINT,
    error       TEXT,
    response    TEXT,
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, sequence, attempt),
    FOREIGN KEY (webhook_id, sequence) REFERENCES deliveries (webhook_id, sequence)
        ON DELETE CASCADE
);
