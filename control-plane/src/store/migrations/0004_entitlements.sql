-- What subjects have beside their tier, and what is switched off for all. The layout is the one of
-- the library `entitlements` under its own prefix.
CREATE TABLE entitlement_overrides (
    subject    TEXT   NOT NULL,
    kind       TEXT   NOT NULL CHECK (kind IN ('feature', 'limit')),
    name       TEXT   NOT NULL,
    value      BIGINT CHECK (value >= 0),
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (subject, kind, name),
    CHECK (kind = 'limit' OR (value IS NOT NULL AND value <= 1))
);
CREATE TABLE entitlement_add_ons (
    subject    TEXT   NOT NULL,
    position   BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (subject, position)
);
CREATE TABLE entitlement_switches (
    feature    TEXT    PRIMARY KEY,
    is_on      BOOLEAN NOT NULL,
    was_on     BOOLEAN,
    version    BIGINT  NOT NULL,
    actor      TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL
);
