-- How often releases were downloaded, by license and day. A license need not be known here: what
-- a gate served is counted under what its token said.
CREATE TABLE downloads (
    license_id  TEXT   NOT NULL,
    package     TEXT   NOT NULL,
    version     TEXT   NOT NULL,
    day         TEXT   NOT NULL,
    customer_id TEXT   NOT NULL,
    count       BIGINT NOT NULL CHECK (count > 0),
    PRIMARY KEY (license_id, package, version, day)
);
CREATE INDEX downloads_by_customer ON downloads (customer_id, day);
CREATE INDEX downloads_by_package ON downloads (package, version, day);
CREATE INDEX downloads_by_day ON downloads (day);

-- Which batches were counted, so that none is again.
CREATE TABLE download_batches (
    id       TEXT   PRIMARY KEY,
    taken_at BIGINT NOT NULL
);
CREATE INDEX download_batches_by_time ON download_batches (taken_at);

-- For the licenses that gates warn of.
CREATE INDEX licenses_with_grace ON licenses (expires_at) WHERE grace_seconds > 0;
