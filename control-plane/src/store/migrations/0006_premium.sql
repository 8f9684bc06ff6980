-- Users who are premium, each by one grant.
CREATE TABLE premium_users (
    user_id    TEXT   PRIMARY KEY,
    granted_at BIGINT NOT NULL,
    grantor    TEXT   NOT NULL,
    reason     TEXT
);

-- Overrides of flags. The scope is `platform`, `team:…` or `user:…`, the value JSON.
CREATE TABLE flag_overrides (
    flag   TEXT   NOT NULL,
    scope  TEXT   NOT NULL,
    value  TEXT   NOT NULL,
    actor  TEXT   NOT NULL,
    reason TEXT,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (flag, scope)
);
CREATE INDEX flag_overrides_by_scope ON flag_overrides (scope, flag);
