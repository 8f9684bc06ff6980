-- Shared by SQLite and PostgreSQL: TEXT and BIGINT only, times in microseconds since 1970,
-- lists and maps as JSON text, absence as NULL.

CREATE TABLE licenses (
    id          TEXT   PRIMARY KEY,
    customer_id TEXT   NOT NULL,
    key_digest  TEXT   NOT NULL UNIQUE,
    tier        TEXT,
    status      TEXT   NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
    expires_at  BIGINT,
    max_boxes   BIGINT CHECK (max_boxes >= 0),
    add_ons     TEXT   NOT NULL,
    metadata    TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    revision    BIGINT NOT NULL
);
CREATE INDEX licenses_by_customer ON licenses (customer_id, id);

CREATE TABLE boxes (
    id           TEXT   PRIMARY KEY,
    license_id   TEXT   NOT NULL REFERENCES licenses (id),
    fingerprint  TEXT   NOT NULL,
    name         TEXT,
    activated_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    UNIQUE (license_id, fingerprint)
);

CREATE TABLE credentials (
    id         TEXT   PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN ('operator', 'gate', 'publisher', 'application')),
    name       TEXT   NOT NULL,
    role       TEXT   CHECK (role IN ('admin', 'support', 'viewer', 'billing')),
    digest     TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE TABLE audit (
    sequence   BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    before     TEXT,
    after      TEXT,
    reason     TEXT,
    request_id TEXT
);
CREATE INDEX audit_by_subject ON audit (subject, sequence);

-- Numbers that must have no gaps and no repeats are counted here, in the transaction that uses them.
CREATE TABLE counters (
    name  TEXT   PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('audit', 0), ('change', 0);
