-- Which accounts are the same person's. Flat: the account that is named stands for all of them and names none itself.
ALTER TABLE users ADD COLUMN same_person_as BLOB REFERENCES users (id);
CREATE INDEX users_same_person ON users (same_person_as) WHERE same_person_as IS NOT NULL;
