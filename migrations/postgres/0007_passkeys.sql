-- Passkeys: public keys of people's authenticators. Of a credential only its counter and its flags ever change.
CREATE TABLE passkeys (
    id BYTEA PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    credential_id BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    credential TEXT NOT NULL,
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX passkeys_of_user ON passkeys (user_id);

-- With what the second factor of `mfa_at` was proven: until now it followed from how one signed in.
ALTER TABLE logins ADD COLUMN mfa_by TEXT;
UPDATE logins SET mfa_by = CASE method
    WHEN 'password_totp' THEN 'totp'
    WHEN 'oidc' THEN 'idp'
    WHEN 'sealed_codes' THEN 'sealed_codes'
END WHERE mfa_at IS NOT NULL;
