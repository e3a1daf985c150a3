-- The signed bundle that a version of the rules came in, if it came in one.
ALTER TABLE access_policies ADD COLUMN bundle_version BIGINT;
ALTER TABLE access_policies ADD COLUMN bundle_sha256 TEXT;
